"""Qwen2's decoder layers over one stateful key-value cache, for a fixed number of tokens a call."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.coreml.fp16 import attend, rotate, signed
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import DecoderLayerParts
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.positions import text_rope

Angles = tuple[torch.Tensor, torch.Tensor]  # cosines and signed sines, (T, head_dim) each


@dataclass(frozen=True)
class Call:
    """What turns the tokens of one call, where they go, and what they see."""

    queries: Angles  # with the scores' scale in them
    biases: Angles  # of keys: what is left of the angles without their mean

    k_cache: torch.Tensor  # (layers, kv_heads, max_context, head_dim)
    v_cache: torch.Tensor
    start: torch.Tensor  # the first slot
    mask: torch.Tensor  # (1, 1, groups * T, max_context), added to scores


class DecoderChunk(nn.Module):
    """Layers `span` of the decoder; the last chunk ends with the final norm.

    embeddings (1, T, D), rope_cos and rope_sin (T, head_dim), cache_position int32 (1,), attention_mask
    (1, 1, T, max_context): 0 or a large negative number; gives hidden (1, T, D). The T tokens go to the slots
    cache_position .. +T-1 of every layer before attention looks at the slots that the mask shows.
    """

    def __init__(self, plan: LayerPlan, max_context: int, span: range) -> None:
        super().__init__()
        geometry = plan.geometry.text
        self.groups = geometry.num_heads // geometry.num_kv_heads
        parts = [modules.decoder_layer(plan, index) for index in span]
        self.layers = nn.ModuleList(DecoderLayer(part, geometry, slot) for slot, part in enumerate(parts))
        self.norm: nn.Module = nn.Identity()
        if span.stop == geometry.num_layers:
            self.norm = modules.final_norm(plan)
        shape = (len(span), geometry.num_kv_heads, max_context, geometry.head_dim)
        # Core ML takes two states a model at most, hence all layers in one tensor.
        self.k_cache = nn.Buffer(torch.zeros(shape))
        self.v_cache = nn.Buffer(torch.zeros(shape))
        self.scale = 1 / math.sqrt(geometry.head_dim)
        cos, sin = (torch.from_numpy(mean) for mean in _mean_rope(geometry, max_context))
        self.mean_cos = nn.Buffer(cos, persistent=False)
        self.mean_sin = nn.Buffer(signed(sin), persistent=False)

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        cache_position: torch.Tensor,
        attention_mask: torch.Tensor,
    ) -> torch.Tensor:
        cos, sin = rope_cos, signed(rope_sin)
        call = Call(
            (cos * self.scale, sin * self.scale),
            (cos - self.mean_cos, sin - self.mean_sin),
            self.k_cache,
            self.v_cache,
            cache_position[0],
            attention_mask.repeat(1, 1, self.groups, 1),
        )
        hidden = embeddings
        for layer in self.layers:
            hidden = layer(hidden, cos, sin, call)
        normed: torch.Tensor = self.norm(hidden)
        return normed


class DecoderLayer(nn.Module):
    """One layer, over one slot of the states."""

    def __init__(self, parts: DecoderLayerParts, geometry: TextGeometry, slot: int) -> None:
        super().__init__()
        self.input_norm = parts.input_norm
        self.attention = StateAttention(parts, geometry, slot)
        self.post_norm = parts.post_norm
        self.gate, self.up, self.down = parts.gate, parts.up, parts.down

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, call: Call) -> torch.Tensor:
        attended = self.attention.attend(self.input_norm(hidden), cos, sin, call)
        hidden = hidden + self.attention.o(attended)
        normed = self.post_norm(hidden)
        gate = self.gate(normed)
        down: torch.Tensor = self.down(gate * torch.sigmoid(gate) * self.up(normed))
        return hidden + down


class StateAttention(nn.Module):
    """Grouped-query attention over one layer's share of the cache.

    The cache holds keys without the mean c of their rotated bias over all positions of the context. Scores
    of one query all change by the same q c, which softmax does not see. Qwen2's keys have biases of hundreds
    where rotation is slow: with them, scores and keys would be too large for fp16 to tell them apart.
    """

    def __init__(self, parts: DecoderLayerParts, geometry: TextGeometry, slot: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = parts.q, parts.k, parts.v, parts.o
        self.geometry, self.slot = geometry, slot

    def attend(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, call: Call) -> torch.Tensor:
        """What o reads, (1, T, heads * head_dim), from what q, k and v read."""
        geometry, tokens, layer = self.geometry, x.shape[1], slice(self.slot, self.slot + 1)
        q = rotate(self._heads(self.q(x), geometry.num_heads), *call.queries)
        k = rotate(self._heads(nn.functional.linear(x, self.k.weight), geometry.num_kv_heads), cos, sin)
        assert self.k.bias is not None
        bias = self.k.bias.view(1, geometry.num_kv_heads, 1, geometry.head_dim)
        v = self._heads(self.v(x), geometry.num_kv_heads)
        filled = slice(call.start, call.start + tokens)
        call.k_cache[layer, :, filled] = k + rotate(bias, *call.biases)
        call.v_cache[layer, :, filled] = v
        # The queries that share a key stand below one another, so that no key is repeated.
        rows = q.reshape(1, geometry.num_kv_heads, -1, geometry.head_dim)
        y = attend(rows, call.k_cache[layer], call.v_cache[layer], call.mask)
        heads = y.reshape(1, geometry.num_heads, tokens, geometry.head_dim)
        return heads.transpose(1, 2).reshape(1, tokens, geometry.num_heads * geometry.head_dim)

    def _heads(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        """(1, T, heads * head_dim) to (1, heads, T, head_dim)."""
        return x.view(1, -1, heads, self.geometry.head_dim).transpose(1, 2)


def _mean_rope(geometry: TextGeometry, max_context: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin (1, head_dim), on average over the positions of a text."""
    positions = np.broadcast_to(np.arange(max_context), (3, max_context))
    cos, sin = text_rope(positions, geometry)
    return cos.mean(0, keepdims=True), sin.mean(0, keepdims=True)
