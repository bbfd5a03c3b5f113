"""Qwen2's decoder for onnxruntime: one for our own runtime and one for transformers.js, over the same layers.

q, k, v and gate, up are stacked; attention is com.microsoft.GroupQueryAttention.
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pocketvl.export import modules
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.modules import DecoderLayerParts, LMHead
from pocketvl.export.onnx.operators import emit, emit_several, split
from pocketvl.export.onnx.weights import Stack
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.positions import text_frequencies

Cache = tuple[torch.Tensor, torch.Tensor]  # key and value (1, kv_heads, P, head_dim)


@dataclass(frozen=True)
class Tokens:
    """What all layers read of the S tokens of one call. Row s of cos and sin belongs to token s."""

    cos: torch.Tensor  # (S, head_dim / 2), like sin
    sin: torch.Tensor
    rows: torch.Tensor  # int64 (1, S): 0 .. S-1
    seqlens_k: torch.Tensor  # int32 (1,): tokens so far and new ones, less one
    total: torch.Tensor  # int32 (): tokens so far and new ones


class Decoder(nn.Module):
    """All layers and the final norm. embeddings (1, S, D) to hidden (1, S, D) and the caches with S more."""

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        text = plan.geometry.text
        parts = (modules.decoder_layer(plan, index) for index in range(text.num_layers))
        self.layers = nn.ModuleList(DecoderLayer(part, text) for part in parts)
        self.norm = modules.final_norm(plan)

    def forward(
        self, hidden: torch.Tensor, tokens: Tokens, past: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """past and what follows hidden: key and value of layer 0, of layer 1 .."""
        present: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            hidden, cache = layer(hidden, tokens, (past[2 * index], past[2 * index + 1]))
            present += cache
        return self.norm(hidden), *present


class DecoderLayer(nn.Module):
    """One layer, over past keys and values."""

    def __init__(self, parts: DecoderLayerParts, geometry: TextGeometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.input_norm, self.post_norm = parts.input_norm, parts.post_norm
        self.qkv = Stack(parts.q, parts.k, parts.v)
        self.o = parts.o
        self.gate_up = Stack(parts.gate, parts.up)
        self.down = parts.down
        self.ffn = geometry.intermediate_size

    def forward(self, hidden: torch.Tensor, tokens: Tokens, past: Cache) -> tuple[torch.Tensor, Cache]:
        attended, present = self._attend(self.input_norm(hidden), tokens, past)
        hidden = hidden + self.o(attended)
        gate, up = split(self.gate_up(self.post_norm(hidden)), (self.ffn, self.ffn))
        return hidden + self.down(gate * torch.sigmoid(gate) * up), present

    def _attend(self, normed: torch.Tensor, tokens: Tokens, past: Cache) -> tuple[torch.Tensor, Cache]:
        """What o reads, (1, S, heads * head_dim), and the cache with the new tokens."""
        geometry = self.geometry
        queries, keys = geometry.num_heads * geometry.head_dim, geometry.num_kv_heads * geometry.head_dim
        q, k, v = split(self.qkv(normed), (queries, keys, keys))
        cache = (1, geometry.num_kv_heads, past[0].shape[2] + normed.shape[1], geometry.head_dim)
        attended, key, value = emit_several(
            "com.microsoft::GroupQueryAttention",
            [
                rotate(q, tokens, geometry.num_heads),
                rotate(k, tokens, geometry.num_kv_heads),
                v,
                *past,
                tokens.seqlens_k,
                tokens.total,
            ],
            {"num_heads": geometry.num_heads, "kv_num_heads": geometry.num_kv_heads},
            ((1, normed.shape[1], queries), cache, cache),
        )
        return attended, (key, value)


class HostDecoder(nn.Module):
    """For a host that computes positions: embeddings to hidden states.

    embeddings (1, S, D), rope_cos and rope_sin (S, head_dim) float32, seqlens_k int32 (1,),
    total_sequence_length int32 (), then past keys and values of every layer (1, kv_heads, P, head_dim); gives
    hidden (1, S, D) and the present ones. Where past and present are one buffer, its P is the whole context.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        half = rope_cos.shape[1] // 2  # both halves of a head turn by the same angles
        rows = torch.arange(embeddings.shape[1])[None]
        tokens = Tokens(rope_cos[:, :half], rope_sin[:, :half], rows, seqlens_k, total_sequence_length)
        outputs: tuple[torch.Tensor, ...] = self.decoder(embeddings, tokens, past)
        return outputs


class MergedDecoder(nn.Module):
    """For transformers.js: M-RoPE ids to logits, decoder and head in one.

    inputs_embeds (1, S, D) float32, attention_mask int64 (1, P + S) of ones, position_ids int64 (3, 1, S) of
    t, h, w, num_logits_to_keep int64 (): of the last tokens, 0 for all; then past keys and values. Gives
    logits (1, K, vocabulary) and the present keys and values. One sequence at a time.
    """

    def __init__(self, decoder: Decoder, head: LMHead, geometry: TextGeometry) -> None:
        super().__init__()
        self.decoder, self.head = decoder, head
        axis = np.repeat(np.arange(3), geometry.mrope_section)  # the axis that turns each frequency
        frequencies = text_frequencies(geometry)
        self.axis = nn.Buffer(torch.from_numpy(axis), persistent=False)
        self.frequencies = nn.Buffer(torch.from_numpy(frequencies), persistent=False)

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        num_logits_to_keep: torch.Tensor,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        ids = position_ids[:, 0].to(torch.float32)
        angles = ids[self.axis].transpose(0, 1) * self.frequencies
        total = attention_mask.sum(1).to(torch.int32)
        rows = torch.arange(inputs_embeds.shape[1])[None]
        tokens = Tokens(torch.cos(angles), torch.sin(angles), rows, total - 1, total[0])
        hidden, *present = self.decoder(inputs_embeds, tokens, past)
        return self.head(_last(hidden, num_logits_to_keep)), *present


def rotate(x: torch.Tensor, tokens: Tokens, heads: int) -> torch.Tensor:
    """Rotary embedding of (1, S, heads * head_dim); cosines and sines of the call stand for the cache."""
    inputs = [x, tokens.rows, tokens.cos, tokens.sin]
    return emit("com.microsoft::RotaryEmbedding", inputs, {"num_heads": heads}, x.shape)


def _last(hidden: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """The last `count` rows of (1, S, D): from -count on, which is the first for 0."""
    end, axis = torch.tensor([torch.iinfo(torch.int64).max]), torch.tensor([1])
    return emit("Slice", [hidden, -count.reshape(1), end, axis], {}, hidden.shape)
