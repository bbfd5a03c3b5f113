"""Qwen2's decoder layers with the key-value cache as their own state.

Needs the llama custom operators: call pocketvl.export.executorch.xnnpack.load_custom_ops() before tracing.
"""

import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.executorch.operators import XnnpackRMSNorm, half_rotation
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import DecoderLayerParts
from pocketvl.runtime.bundle.geometry import TextGeometry


class TextDecoder(nn.Module):
    """From embeddings to hidden states.

    embeddings (1, S, D), rope_cos and rope_sin (S, head_dim), cache_position int64 (1,); gives hidden
    (1, S, D); all but the position are float32. The S tokens go to the cache's slots cache_position .. +S-1
    and see all slots up to their own. hidden is taken after the final norm. The host decides the rotary
    angles, so it knows about M-RoPE and this graph does not.
    """

    def __init__(self, plan: LayerPlan, max_context: int) -> None:
        super().__init__()
        text = plan.geometry.text
        self.max_context = max_context
        rotation = half_rotation(text.head_dim)
        self.layers = nn.ModuleList(
            DecoderLayer(modules.decoder_layer(plan, index, XnnpackRMSNorm), text, rotation)
            for index in range(text.num_layers)
        )
        self.caches = nn.ModuleList(KeyValueCache(text, max_context) for _ in self.layers)
        self.norm = modules.final_norm(plan, XnnpackRMSNorm)

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        cache_position: torch.Tensor,
    ) -> torch.Tensor:
        start = first_slot(cache_position, embeddings.shape[1], self.max_context)
        cos, sin = for_all_heads(rope_cos), for_all_heads(rope_sin)
        hidden = embeddings
        for layer, cache in zip(self.layers, self.caches, strict=True):
            hidden = layer(hidden, cos, sin, cache, start)
        normed: torch.Tensor = self.norm(hidden)
        return normed


def first_slot(cache_position: torch.Tensor, tokens: int, max_context: int) -> int:
    """The slot that the first of the tokens goes to, as a number that tracing keeps dynamic."""
    start: int = cache_position[0].item()  # type: ignore[assignment]
    torch._check(start >= 0)  # type: ignore[no-untyped-call]
    torch._check(start + tokens <= max_context)  # type: ignore[no-untyped-call]
    return start


def for_all_heads(rope: torch.Tensor) -> torch.Tensor:
    """(S, head_dim) to (1, S, 1, head_dim). XNNPACK runs a view; an index would stay outside of it."""
    return rope.view(1, -1, 1, rope.shape[-1])


class DecoderLayer(nn.Module):
    """One layer; its steps are modules and methods of their own, so that calibration can look in between and
    lowering can join what lies between two attentions."""

    def __init__(self, parts: DecoderLayerParts, geometry: TextGeometry, rotation: torch.Tensor) -> None:
        super().__init__()
        self.before = BeforeAttention(parts, geometry, rotation)
        self.after = AfterAttention(parts)

    def forward(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, cache: nn.Module, start: int
    ) -> torch.Tensor:
        attended = cache(*self.before(hidden, cos, sin), start)
        finished: torch.Tensor = self.after(attended, hidden)
        return finished


class BeforeAttention(nn.Module):
    """Norm, projections and rope: from a layer's input to its queries, keys and values."""

    def __init__(self, parts: DecoderLayerParts, geometry: TextGeometry, rotation: torch.Tensor) -> None:
        super().__init__()
        self.geometry = geometry
        self.norm = parts.input_norm
        self.q, self.k, self.v = parts.q, parts.k, parts.v
        self.rotation = nn.Buffer(rotation, persistent=False)

    def forward(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """hidden (1, S, D), cos and sin (1, S, 1, head_dim); gives (1, S, heads, head_dim) of q, k and v."""
        return self.project(self.norm(hidden), cos, sin)

    def project(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same from what the projections read."""
        geometry = self.geometry
        q = self.q(x).view(1, -1, geometry.num_heads, geometry.head_dim)
        k = self.k(x).view(1, -1, geometry.num_kv_heads, geometry.head_dim)
        v = self.v(x).view(1, -1, geometry.num_kv_heads, geometry.head_dim)
        q = q * cos + nn.functional.linear(q, self.rotation) * sin
        k = k * cos + nn.functional.linear(k, self.rotation) * sin
        return q, k, v


class KeyValueCache(nn.Module):
    """Grouped-query attention over the keys and values so far, which are this module's state."""

    def __init__(self, geometry: TextGeometry, max_context: int) -> None:
        super().__init__()
        cache = torch.zeros(1, max_context, geometry.num_kv_heads, geometry.head_dim)
        self.k_cache = nn.Buffer(cache, persistent=False)
        self.v_cache = nn.Buffer(cache.clone(), persistent=False)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int) -> torch.Tensor:
        """(1, S, heads, head_dim) of each."""
        torch.ops.llama.update_cache(k, self.k_cache, start)
        torch.ops.llama.update_cache(v, self.v_cache, start)
        attended: torch.Tensor = torch.ops.llama.custom_sdpa(
            q, self.k_cache, self.v_cache, start, None, 0.0, True
        )
        return attended


class AfterAttention(nn.Module):
    """The output projection and the feed-forward part, each added to what came in."""

    def __init__(self, parts: DecoderLayerParts) -> None:
        super().__init__()
        self.o, self.norm = parts.o, parts.post_norm
        self.gate, self.up, self.down = parts.gate, parts.up, parts.down

    def forward(self, attended: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """attended (1, S, heads, head_dim), hidden (1, S, D); gives (1, S, D)."""
        hidden = hidden + self.o(attended.view(1, -1, self.o.in_features))
        down: torch.Tensor = self.down(self.activate(self.norm(hidden)))
        return hidden + down

    def activate(self, normed: torch.Tensor) -> torch.Tensor:
        """What down reads, from what gate and up read: SwiGLU (Shazeer, 2020)."""
        gate = self.gate(normed)
        activated: torch.Tensor = gate * torch.sigmoid(gate) * self.up(normed)
        return activated
