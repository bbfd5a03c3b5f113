"""The torch modules that hold a model's tensors, and the parts of a block, for the graphs of every target.

A graph is built on the meta device; pocketvl.export.weights fills its modules one tensor at a time. How the
parts of a block are put together, and in which operators, is each target's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pocketvl.export import layers
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer
from pocketvl.quant.recipe import Precision


class Linear(nn.Module):
    """y = x W^T + b.

    layer: the name that recipes know it by, text_decoder.layers.0.q_proj; source: tensor of the checkpoint
    without ".weight", model.layers.0.self_attn.q_proj.
    """

    def __init__(self, layer: Layer, precision: Precision) -> None:
        super().__init__()
        self.layer, self.source, self.precision = layer.name, layer.source, precision
        self.out_features, self.in_features = layer.out_features, layer.in_features
        self.weight = _on_meta(layer.out_features, layer.in_features)
        self.bias = _on_meta(layer.out_features) if layer.bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) to (..., out_features), float32."""
        return nn.functional.linear(x, self.weight, self.bias)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, 2019)."""

    def __init__(self, source: str, size: int, eps: float) -> None:
        super().__init__()
        self.source, self.epsilon = source, eps
        self.weight = _on_meta(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) float32, same shape out."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


class LayerNorm(nn.Module):
    """torch's layer norm over the last axis, with weight and bias."""

    def __init__(self, source: str, size: int, eps: float) -> None:
        super().__init__()
        self.source, self.epsilon = source, eps
        self.weight, self.bias = _on_meta(size), _on_meta(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., size) float32, same shape out."""
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class VisionBlockParts:
    """x + proj(attention(qkv(norm1(x)))), then x + fc2(QuickGELU(fc1(norm2(x))))."""

    norm1: LayerNorm
    qkv: Linear
    proj: Linear
    norm2: LayerNorm
    fc1: Linear
    fc2: Linear


@dataclass(frozen=True)
class MergerParts:
    """fc2(GELU(fc1(join(norm(x))))), where join makes one row of merge_area neighbouring ones."""

    norm: LayerNorm
    fc1: Linear
    fc2: Linear


@dataclass(frozen=True)
class DecoderLayerParts:
    """x + o(attention(q, k, v of input_norm(x))), then x + down(SiLU(gate(y)) * up(y)), y = post_norm(x)."""

    input_norm: RMSNorm
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    post_norm: RMSNorm
    gate: Linear
    up: Linear
    down: Linear


class LMHead(nn.Module):
    """hidden (1, K, D), after the final norm, to logits (1, K, vocabulary)."""

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        text = plan.geometry.text
        has_rotation = plan.rotated and text.tie_word_embeddings
        self.rotation = linear(plan, layers.head_rotation(text)) if has_rotation else None
        self.head = linear(plan, layers.lm_head(text))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.rotation is not None:
            hidden = hidden + self.rotation(hidden)
        logits: torch.Tensor = self.head(hidden)
        return logits


def linear(plan: LayerPlan, layer: Layer) -> Linear:
    """A linear layer with the bits that are planned for it."""
    return Linear(layer, plan.precisions[layer.name])


def linears(graph: nn.Module) -> Iterator[Linear]:
    """All linear layers of a graph, in its order."""
    return (module for module in graph.modules() if isinstance(module, Linear))


def patch_embed(plan: LayerPlan) -> Linear:
    """From patches (N, patch_dim) to hidden states (N, width)."""
    return linear(plan, layers.patch_embed(plan.geometry.vision))


def vision_block(plan: LayerPlan, index: int) -> VisionBlockParts:
    """Of block `index`."""
    vision = plan.geometry.vision
    source, width, eps = f"visual.blocks.{index}", vision.hidden_size, vision.layer_norm_eps
    qkv, proj, fc1, fc2 = (linear(plan, layer) for layer in layers.vision_block(vision, index))
    norm1, norm2 = (LayerNorm(f"{source}.{name}", width, eps) for name in ("norm1", "norm2"))
    return VisionBlockParts(norm1, qkv, proj, norm2, fc1, fc2)


def merger(plan: LayerPlan) -> MergerParts:
    """Of the end of the vision tower."""
    vision = plan.geometry.vision
    norm = LayerNorm("visual.merger.ln_q", vision.hidden_size, vision.layer_norm_eps)
    fc1, fc2 = (linear(plan, layer) for layer in layers.merger(vision))
    return MergerParts(norm, fc1, fc2)


def decoder_layer(plan: LayerPlan, index: int, norm: type[RMSNorm] = RMSNorm) -> DecoderLayerParts:
    """Of layer `index`. norm: how the target computes an RMSNorm."""
    text = plan.geometry.text
    source, width, eps = f"model.layers.{index}", text.hidden_size, text.rms_norm_eps
    q, k, v, o, gate, up, down = (linear(plan, layer) for layer in layers.decoder_layer(text, index))
    input_norm = norm(f"{source}.input_layernorm", width, eps)
    post_norm = norm(f"{source}.post_attention_layernorm", width, eps)
    return DecoderLayerParts(input_norm, q, k, v, o, post_norm, gate, up, down)


def final_norm(plan: LayerPlan, norm: type[RMSNorm] = RMSNorm) -> RMSNorm:
    """What the decoder ends with."""
    return norm("model.norm", plan.geometry.text.hidden_size, plan.geometry.text.rms_norm_eps)


def _on_meta(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)
