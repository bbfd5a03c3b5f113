"""Qwen2-VL's forward pass for a batch of images of one size.

The weights are those of transformers' module; transformers itself runs the vision attention image by
image, which leaves two cores idle most of the time. ``train_tiny.py --check`` compares the two.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def patches(pixels: Tensor) -> Tensor:
    """uint8 [images, height, width, 3] to float [images, patches, 588], in 2x2 blocks of patches.

    One frame only: both frames of a still image are the same, so their weights can be added instead.
    """
    number, height, width, _ = pixels.shape
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    values = (pixels.float() / 255 - mean) / std
    blocks = values.view(number, height // 28, 2, 14, width // 28, 2, 14, 3)
    return blocks.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(number, height * width // 196, 588)


def vision_angles(rows: int, columns: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """cos and sin [patches, head_dim] for a grid of ``rows`` x ``columns`` patches in 2x2-block order."""
    frequencies = 10000.0 ** -(torch.arange(0, head_dim // 2, 2).float() / (head_dim // 2))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")

    def block_order(grid: Tensor) -> Tensor:
        return grid.view(rows // 2, 2, columns // 2, 2).permute(0, 2, 1, 3).reshape(-1).float()

    angles = torch.cat([torch.outer(block_order(axis), frequencies) for axis in (row, column)], dim=-1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def text_angles(positions: Tensor, head_dim: int, theta: float, sections: list[int]) -> tuple[Tensor, Tensor]:
    """cos and sin [size, 1, length, head_dim] from positions [3, size, length]."""
    frequencies = theta ** -(torch.arange(0, head_dim, 2).float() / head_dim)
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))
    angles = positions.float()[axis].permute(1, 2, 0) * frequencies
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    turned = torch.cat([-states[..., half:], states[..., :half]], dim=-1)
    return states * cos.to(states.dtype) + turned * sin.to(states.dtype)


def _rms(states: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(states, (states.shape[-1],), norm.weight.to(states.dtype), norm.variance_epsilon)


def vision_block(block: Any, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One block of the vision tower on [images, patches, width]."""
    number, count, width = states.shape
    heads, dtype = block.attn.num_heads, states.dtype
    normed = F.layer_norm(states, (width,), block.norm1.weight.to(dtype), block.norm1.bias.to(dtype), 1e-6)
    qkv = block.attn.qkv(normed).view(number, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    query, key = _rotate(qkv[0], cos, sin), _rotate(qkv[1], cos, sin)
    mixed = F.scaled_dot_product_attention(query, key, qkv[2])
    states = states + block.attn.proj(mixed.transpose(1, 2).reshape(number, count, width))
    normed = F.layer_norm(states, (width,), block.norm2.weight.to(dtype), block.norm2.bias.to(dtype), 1e-6)
    inner = block.mlp.fc1(normed)
    return states + block.mlp.fc2(inner * torch.sigmoid(1.702 * inner))


def decoder_layer(layer: Any, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One layer of the decoder on [size, length, hidden]."""
    size, length, _ = states.shape
    attention, head = layer.self_attn, layer.self_attn.head_dim
    normed = _rms(states, layer.input_layernorm)
    query = attention.q_proj(normed).view(size, length, -1, head).transpose(1, 2)
    key = attention.k_proj(normed).view(size, length, -1, head).transpose(1, 2)
    value = attention.v_proj(normed).view(size, length, -1, head).transpose(1, 2)
    group = query.shape[1] // key.shape[1]
    query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    states = states + attention.o_proj(mixed.transpose(1, 2).reshape(size, length, -1))
    normed = _rms(states, layer.post_attention_layernorm)
    return states + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(normed)) * layer.mlp.up_proj(normed))


def encode_images(visual: Any, pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 [images, height, width, 3] to embeddings [images, tokens, hidden]."""
    rows, columns = pixels.shape[1] // 14, pixels.shape[2] // 14
    weight = visual.patch_embed.proj.weight
    states = F.linear(patches(pixels), weight.sum(2).reshape(weight.shape[0], -1)).to(dtype)
    heads = visual.blocks[0].attn.num_heads
    number, count, width = states.shape
    cos, sin = vision_angles(rows, columns, width // heads)
    for block in visual.blocks:
        states = vision_block(block, states, cos, sin)
    norm = visual.merger.ln_q
    states = F.layer_norm(states, (width,), norm.weight.to(dtype), norm.bias.to(dtype), 1e-6)
    return visual.merger.mlp(states.reshape(number, count // 4, width * 4))


def decode(language: Any, states: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings [size, length, hidden] through the decoder, causally; also after one layer and half way.

    Padding stands on the right.
    """
    early = middle = states
    for number, layer in enumerate(language.layers):
        states = decoder_layer(layer, states, cos, sin)
        if number == 0:
            early = states
        if number + 1 == len(language.layers) // 2:
            middle = states
    return _rms(states, language.norm), early, middle


def answer_logits(model: Any, batch: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Logits [answer tokens, vocabulary] and the tokens [answer tokens] that they should give.

    Then what training looks into: the images' embeddings [images, tokens, hidden] and the decoder's
    states [size, length, hidden] after one layer and half way.
    """
    text = model.config.text_config
    language = model.model.language_model
    ids, weights = torch.from_numpy(batch.ids), torch.from_numpy(batch.weights)
    images = encode_images(model.model.visual, torch.from_numpy(batch.pixels), dtype)
    states = F.embedding(ids, language.embed_tokens.weight).to(dtype)
    states = states.masked_scatter((ids == model.config.image_token_id)[..., None], images)
    rope = text.rope_parameters
    cos, sin = text_angles(
        torch.from_numpy(batch.positions),
        language.layers[0].self_attn.head_dim,
        rope["rope_theta"],
        rope["mrope_section"],
    )
    states, early, middle = decode(language, states, cos, sin)
    wanted = weights > 0
    logits = F.linear(states[wanted], language.embed_tokens.weight.to(dtype)).float()
    return logits, ids.roll(-1, 1)[wanted], images, early, middle


def compile_blocks() -> None:
    """Compiles the repeated blocks: most of their time goes into element-wise steps, which fuse well."""
    for name in ("vision_block", "decoder_layer"):
        globals()[name] = torch.compile(globals()[name], dynamic=True)
