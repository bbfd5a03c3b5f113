"""The decoder as XNNPACK delegates, one between each two attentions, and the graph that calls them.

Each is filled with weights, lowered and let go of before the next, so that one layer is in memory at a time
beside what was written.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from pocketvl.export import modules
from pocketvl.export.executorch.constants import Fill, Written
from pocketvl.export.executorch.operators import XnnpackRMSNorm, half_rotation
from pocketvl.export.executorch.text_graph import (
    AfterAttention,
    BeforeAttention,
    DecoderLayer,
    KeyValueCache,
    first_slot,
    for_all_heads,
)
from pocketvl.export.executorch.xnnpack import Stencils
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.runtime.bundle.geometry import TextGeometry

TRACE_LENGTH = 2  # 1 would be taken for a constant


class LoweredDecoder(nn.Module):
    """TextDecoder (see text_graph.py) with delegates in the place of its arithmetic."""

    def __init__(
        self, first: nn.Module, after: list[nn.Module], text: TextGeometry, max_context: int
    ) -> None:
        """after: what follows the attention of each layer."""
        super().__init__()
        self.max_context = max_context
        self.first = first
        # The files name the buffers of these as names.cache_buffer does.
        self.layers = nn.ModuleList(_Layer(one, text, max_context) for one in after)

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        cache_position: torch.Tensor,
    ) -> torch.Tensor:
        start = first_slot(cache_position, embeddings.shape[1], self.max_context)
        hidden = embeddings
        cos, sin, *heads = self.first(hidden, rope_cos, rope_sin)
        for layer in self.layers[:-1]:
            hidden, *heads = layer(*heads, start, hidden, cos, sin)
        normed: torch.Tensor = self.layers[-1](*heads, start, hidden)[0]
        return normed


class _Layer(nn.Module):
    """Attention, and what follows it up to that of the next layer or to the end."""

    def __init__(self, after: nn.Module, text: TextGeometry, max_context: int) -> None:
        super().__init__()
        self.attention = KeyValueCache(text, max_context)
        self.after = after

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """others: what `after` reads beside attention."""
        outputs: tuple[torch.Tensor, ...] = self.after(self.attention(q, k, v, start), *others)
        return outputs


class First(nn.Module):
    """What lies before the first attention, and the rope in the form that all layers take."""

    def __init__(self, before: BeforeAttention) -> None:
        super().__init__()
        self.before = before

    def forward(
        self, hidden: torch.Tensor, rope_cos: torch.Tensor, rope_sin: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cos, sin = for_all_heads(rope_cos), for_all_heads(rope_sin)
        return cos, sin, *self.before(hidden, cos, sin)


class Between(nn.Module):
    """What lies between the attention of one layer and that of the next."""

    def __init__(self, after: AfterAttention, before: BeforeAttention) -> None:
        super().__init__()
        self.after, self.before = after, before

    def forward(
        self, attended: torch.Tensor, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        hidden = self.after(attended, hidden)
        return hidden, *self.before(hidden, cos, sin)


class Last(nn.Module):
    """What follows the last attention; a delegate gives its outputs in a tuple."""

    def __init__(self, after: AfterAttention, norm: nn.Module) -> None:
        super().__init__()
        self.after, self.norm = after, norm

    def forward(self, attended: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.norm(self.after(attended, hidden)),)


class _Outline(nn.Module):
    """The shapes of the graphs above without their work."""

    def __init__(self, text: TextGeometry) -> None:
        super().__init__()
        self.heads = (text.num_heads, text.num_kv_heads, text.num_kv_heads)
        self.head_dim = text.head_dim

    def queries_keys_values(self, cos: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(cos.expand(1, -1, heads, self.head_dim).clone() for heads in self.heads)


class _FirstOutline(_Outline):
    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cos = for_all_heads(cos.clone())
        return cos, for_all_heads(sin.clone()), *self.queries_keys_values(cos)


class _BetweenOutline(_Outline):
    def forward(
        self, attended: torch.Tensor, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        return hidden.clone(), *self.queries_keys_values(cos)


class _LastOutline(_Outline):
    def forward(self, attended: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor]:
        return (hidden.clone(),)


def lower_decoder(
    plan: LayerPlan, max_context: int, prefill_chunk: int, fill: Fill, written: Written
) -> LoweredDecoder:
    """fill: gives a graph's leaves their weights, and says how they are stored; called with one graph after
    the other. written: called when a graph's layers have been."""
    text = plan.geometry.text
    tokens = dynamic("tokens", prefill_chunk)
    length = min(TRACE_LENGTH, prefill_chunk)
    hidden = torch.zeros(1, length, text.hidden_size)
    attended = torch.zeros(1, length, text.num_heads, text.head_dim)
    rope = (torch.zeros(length, text.head_dim), torch.zeros(length, text.head_dim))
    shared = (for_all_heads(rope[0]), for_all_heads(rope[1]))
    by_row, by_token = {0: tokens}, {1: tokens}
    first = Stencils(_FirstOutline(text), (hidden, *rope), (by_token, by_row, by_row))
    between = Stencils(_BetweenOutline(text), (attended, hidden, *shared), (by_token,) * 4)
    last = Stencils(_LastOutline(text), (attended, hidden), (by_token, by_token))

    def write(stencils: Stencils, graph: nn.Module) -> nn.Module:
        stored = fill(graph)
        module = stencils.write(graph, stored)
        written(stored)
        return module

    graphs = _segments(plan)
    lowered_first = write(first, next(graphs))
    after = [write(between, next(graphs)) for _ in range(text.num_layers - 1)]
    return LoweredDecoder(lowered_first, [*after, write(last, next(graphs))], text, max_context)


def _segments(plan: LayerPlan) -> Iterator[nn.Module]:
    """What lies before the first attention, between each two, and after the last."""
    text = plan.geometry.text
    rotation = half_rotation(text.head_dim)
    after: AfterAttention | None = None
    for index in range(text.num_layers):
        layer = DecoderLayer(modules.decoder_layer(plan, index, XnnpackRMSNorm), text, rotation)
        yield First(layer.before) if after is None else Between(after, layer.before)
        after = layer.after
    assert after is not None
    yield Last(after, modules.final_norm(plan, XnnpackRMSNorm))


def dynamic(name: str, largest: int) -> Any:
    """torch's description of the lengths 1..largest; None for a single length."""
    return Dim(name, min=1, max=largest) if largest > 1 else None
