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
            DecoderLayer(modules.decoder_layer(plan, index, XnnpackRMSNorm), text, max_context, rotation)
            for index in range(text.num_layers)
        )
        self.norm = modules.final_norm(plan, XnnpackRMSNorm)

    def forward(
        self,
        embeddings: torch.Tensor,
        rope_cos: torch.Tensor,
        rope_sin: torch.Tensor,
        cache_position: torch.Tensor,
    ) -> torch.Tensor:
        start = cache_position[0].item()
        torch._check(start >= 0)  # type: ignore[no-untyped-call]
        torch._check(start + embeddings.shape[1] <= self.max_context)  # type: ignore[no-untyped-call]
        # (1, S, 1, head_dim): one for all heads. XNNPACK runs a view; an index would stay outside of it.
        cos = rope_cos.view(1, -1, 1, rope_cos.shape[-1])
        sin = rope_sin.view(1, -1, 1, rope_sin.shape[-1])
        hidden = embeddings
        for layer in self.layers:
            hidden = layer(hidden, cos, sin, start)
        normed: torch.Tensor = self.norm(hidden)
        return normed


class DecoderLayer(nn.Module):
    """One layer; its steps are methods of their own, so that calibration can look in between."""

    def __init__(
        self, parts: DecoderLayerParts, geometry: TextGeometry, max_context: int, rotation: torch.Tensor
    ) -> None:
        super().__init__()
        self.input_norm = parts.input_norm
        self.attention = Attention(parts, geometry, max_context, rotation)
        self.post_norm = parts.post_norm
        self.gate, self.up, self.down = parts.gate, parts.up, parts.down

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int) -> torch.Tensor:
        attended = self.attention.attend(self.input_norm(hidden), cos, sin, start)
        hidden = hidden + self.attention.o(attended)
        down: torch.Tensor = self.down(self.activate(self.post_norm(hidden)))
        return hidden + down

    def activate(self, normed: torch.Tensor) -> torch.Tensor:
        """What down reads, from what gate and up read: SwiGLU (Shazeer, 2020)."""
        gate = self.gate(normed)
        activated: torch.Tensor = gate * torch.sigmoid(gate) * self.up(normed)
        return activated


class Attention(nn.Module):
    """Grouped-query attention over the cache; the output projection o is its caller's to apply."""

    def __init__(
        self, parts: DecoderLayerParts, geometry: TextGeometry, max_context: int, rotation: torch.Tensor
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.q, self.k, self.v, self.o = parts.q, parts.k, parts.v, parts.o
        self.rotation = nn.Buffer(rotation, persistent=False)
        cache = torch.zeros(1, max_context, geometry.num_kv_heads, geometry.head_dim)
        self.k_cache = nn.Buffer(cache, persistent=False)
        self.v_cache = nn.Buffer(cache.clone(), persistent=False)

    def attend(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int) -> torch.Tensor:
        """What o reads, (1, S, heads * head_dim), from what q, k and v read."""
        geometry = self.geometry
        q = self.q(x).view(1, -1, geometry.num_heads, geometry.head_dim)
        k = self.k(x).view(1, -1, geometry.num_kv_heads, geometry.head_dim)
        v = self.v(x).view(1, -1, geometry.num_kv_heads, geometry.head_dim)
        q = q * cos + nn.functional.linear(q, self.rotation) * sin
        k = k * cos + nn.functional.linear(k, self.rotation) * sin
        torch.ops.llama.update_cache(k, self.k_cache, start)
        torch.ops.llama.update_cache(v, self.v_cache, start)
        y = torch.ops.llama.custom_sdpa(q, self.k_cache, self.v_cache, start, None, 0.0, True)
        attended: torch.Tensor = y.view(1, -1, geometry.num_heads * geometry.head_dim)
        return attended
