"""Qwen2's decoder layers with the key-value cache as their own state.

Needs the llama custom operators: call pocketvl.export.executorch.xnnpack.load_custom_ops() before tracing.
"""

import torch
from torch import nn

from pocketvl.export.modules import RMSNorm, half_rotation, linear
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import TextGeometry


class TextDecoder(nn.Module):
    """From embeddings to hidden states.

    embeddings (1, S, D), rope_cos and rope_sin (S, head_dim), cache_position int64 (1,); gives hidden
    (1, S, D); all but the position are float32. The S tokens go to the cache's slots cache_position .. +S-1
    and see all slots up to their own. hidden is taken after the final norm. The host decides the rotary
    angles, so it knows about M-RoPE and this graph does not.
    """

    def __init__(self, geometry: TextGeometry, recipe: Recipe, max_context: int) -> None:
        super().__init__()
        self.max_context = max_context
        rotation = half_rotation(geometry.head_dim)
        self.layers = nn.ModuleList(
            DecoderLayer(geometry, recipe, max_context, index, rotation)
            for index in range(geometry.num_layers)
        )
        self.norm = RMSNorm("model.norm", geometry.hidden_size, geometry.rms_norm_eps)

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
        self, geometry: TextGeometry, recipe: Recipe, max_context: int, index: int, rotation: torch.Tensor
    ) -> None:
        super().__init__()
        width, ffn = geometry.hidden_size, geometry.intermediate_size
        name, source = f"text_decoder.layers.{index}", f"model.layers.{index}"
        self.input_norm = RMSNorm(f"{source}.input_layernorm", width, geometry.rms_norm_eps)
        self.attention = Attention(geometry, recipe, max_context, index, rotation)
        self.post_norm = RMSNorm(f"{source}.post_attention_layernorm", width, geometry.rms_norm_eps)
        self.gate = linear(f"{name}.gate_proj", f"{source}.mlp.gate_proj", ffn, width, False, recipe)
        self.up = linear(f"{name}.up_proj", f"{source}.mlp.up_proj", ffn, width, False, recipe)
        self.down = linear(f"{name}.down_proj", f"{source}.mlp.down_proj", width, ffn, False, recipe)

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
        self, geometry: TextGeometry, recipe: Recipe, max_context: int, index: int, rotation: torch.Tensor
    ) -> None:
        super().__init__()
        self.geometry = geometry
        name, source = f"text_decoder.layers.{index}", f"model.layers.{index}.self_attn"
        width, head_dim = geometry.hidden_size, geometry.head_dim
        queries, keys = geometry.num_heads * head_dim, geometry.num_kv_heads * head_dim
        self.q = linear(f"{name}.q_proj", f"{source}.q_proj", queries, width, True, recipe)
        self.k = linear(f"{name}.k_proj", f"{source}.k_proj", keys, width, True, recipe)
        self.v = linear(f"{name}.v_proj", f"{source}.v_proj", keys, width, True, recipe)
        self.o = linear(f"{name}.o_proj", f"{source}.o_proj", width, queries, False, recipe)
        self.rotation = nn.Buffer(rotation, persistent=False)
        cache = torch.zeros(1, max_context, geometry.num_kv_heads, head_dim)
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
