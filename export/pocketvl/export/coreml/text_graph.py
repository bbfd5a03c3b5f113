"""Qwen2's decoder layers over one stateful key-value cache, for a fixed number of tokens a call.

The layers are those of pocketvl.export.graphs.text_decoder; only what happens between their linear layers
q, k, v and o is Core ML's own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pocketvl.export.coreml.leaf import rotate, signed
from pocketvl.export.graphs.leaf import RMSNorm
from pocketvl.export.graphs.text_decoder import DecoderLayer
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import TextGeometry


@dataclass(frozen=True)
class Slots:
    """Where the tokens of one call go, and what they see."""

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

    def __init__(self, geometry: TextGeometry, recipe: Recipe, max_context: int, span: range) -> None:
        super().__init__()
        self.groups = geometry.num_heads // geometry.num_kv_heads
        # The layers' own caches and rotation are ExecuTorch's and not used here, so they may be tiny.
        unused = torch.zeros(0, 0)
        layers = [DecoderLayer(geometry, recipe, 1, index, unused) for index in span]
        for slot, layer in enumerate(layers):
            layer.attention = StateAttention(layer.attention, geometry, slot)  # type: ignore[assignment]
        self.layers = nn.ModuleList(layers)
        self.norm: nn.Module = nn.Identity()
        if span.stop == geometry.num_layers:
            self.norm = RMSNorm("model.norm", geometry.hidden_size, geometry.rms_norm_eps)
        shape = (len(span), geometry.num_kv_heads, max_context, geometry.head_dim)
        # Core ML takes two states a model at most, hence all layers in one tensor.
        self.k_cache = nn.Buffer(torch.zeros(shape))
        self.v_cache = nn.Buffer(torch.zeros(shape))

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        cache_position: torch.Tensor,
        attention_mask: torch.Tensor,
    ) -> torch.Tensor:
        mask = attention_mask.repeat(1, 1, self.groups, 1)
        slots = Slots(self.k_cache, self.v_cache, cache_position[0], mask)
        hidden, sin = embeddings, signed(rope_sin)
        for layer in self.layers:
            hidden = layer(hidden, rope_cos, sin, slots)
        normed: torch.Tensor = self.norm(hidden)
        return normed


class StateAttention(nn.Module):
    """Grouped-query attention over one layer's share of the cache."""

    def __init__(self, leaves: Any, geometry: TextGeometry, slot: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = leaves.q, leaves.k, leaves.v, leaves.o
        self.geometry, self.slot = geometry, slot

    def attend(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, slots: Slots) -> torch.Tensor:
        """What o reads, (1, T, heads * head_dim), from what q, k and v read."""
        geometry, tokens, layer = self.geometry, x.shape[1], slice(self.slot, self.slot + 1)
        q = rotate(self._heads(self.q(x), geometry.num_heads), cos, sin)
        k = rotate(self._heads(self.k(x), geometry.num_kv_heads), cos, sin)
        v = self._heads(self.v(x), geometry.num_kv_heads)
        filled = slice(slots.start, slots.start + tokens)
        slots.k_cache[layer, :, filled] = k
        slots.v_cache[layer, :, filled] = v
        # Core ML's fused attention knows no groups: the queries that share a key stand below one another.
        rows = q.reshape(1, geometry.num_kv_heads, -1, geometry.head_dim)
        y = nn.functional.scaled_dot_product_attention(
            rows, slots.k_cache[layer], slots.v_cache[layer], attn_mask=slots.mask
        )
        heads = y.reshape(1, geometry.num_heads, tokens, geometry.head_dim)
        return heads.transpose(1, 2).reshape(1, tokens, geometry.num_heads * geometry.head_dim)

    def _heads(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        """(1, T, heads * head_dim) to (1, heads, T, head_dim)."""
        return x.view(1, -1, heads, self.geometry.head_dim).transpose(1, 2)
