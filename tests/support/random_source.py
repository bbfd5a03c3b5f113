"""A checkpoint of random weights that is never stored: each tensor is made when it is asked for."""

from dataclasses import dataclass
from zlib import crc32

import torch

from benchmarks.make_checkpoint import GEOMETRY as FULL
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry
from pocketvl.runtime.errors import CheckpointError

FULL_TEXT, FULL_VISION = FULL.text, FULL.vision


@dataclass(frozen=True)
class RandomSource:
    """A TensorSource. The same geometry, seed and name always give the same tensor.

    Weights and biases are normal with deviation `std`, norm weights 1 plus that.
    """

    geometry: ModelGeometry
    seed: int = 0
    dtype: torch.dtype = torch.float32
    std: float = 0.02

    def tensor(self, name: str) -> torch.Tensor:
        shapes = _text_shapes(self.geometry.text) | _vision_shapes(self.geometry.vision)
        if name == "lm_head.weight" and self.geometry.text.tie_word_embeddings:
            name = "model.embed_tokens.weight"
        if name not in shapes:
            raise CheckpointError(f"the checkpoint has no tensor {name}.")
        generator = torch.Generator().manual_seed(crc32(f"{self.seed}/{name}".encode()))
        value = torch.empty(shapes[name], dtype=self.dtype).normal_(0, self.std, generator=generator)
        is_norm = any(part in name for part in ("norm", "ln_q")) and name.endswith(".weight")
        return value.add_(1) if is_norm else value

    def quantized(self, layer: str) -> None:
        return None

    def names(self) -> tuple[str, ...]:
        """All tensors of the checkpoint; a tied lm_head.weight is not among them."""
        return tuple(_text_shapes(self.geometry.text) | _vision_shapes(self.geometry.vision))


def _text_shapes(text: TextGeometry) -> dict[str, tuple[int, ...]]:
    width, ffn = text.hidden_size, text.intermediate_size
    queries, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (text.vocab_size, width),
        "model.norm.weight": (width,),
    }
    if not text.tie_word_embeddings:
        shapes["lm_head.weight"] = (text.vocab_size, width)
    for index in range(text.num_layers):
        layer = f"model.layers.{index}"
        shapes[f"{layer}.input_layernorm.weight"] = (width,)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (width,)
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            shapes[f"{layer}.self_attn.{name}.weight"] = (rows, width)
            shapes[f"{layer}.self_attn.{name}.bias"] = (rows,)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, queries)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (ffn, width)
        shapes[f"{layer}.mlp.up_proj.weight"] = (ffn, width)
        shapes[f"{layer}.mlp.down_proj.weight"] = (width, ffn)
    return shapes


def _vision_shapes(vision: VisionGeometry) -> dict[str, tuple[int, ...]]:
    width, ffn = vision.hidden_size, vision.intermediate_size
    merged = width * vision.merge_area
    patch = (vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    shapes: dict[str, tuple[int, ...]] = {"visual.patch_embed.proj.weight": (width, *patch)}
    linears = {
        "visual.merger.mlp.0": (merged, merged),
        "visual.merger.mlp.2": (vision.output_size, merged),
    }
    norms = ["visual.merger.ln_q"]
    for index in range(vision.depth):
        block = f"visual.blocks.{index}"
        norms += [f"{block}.norm1", f"{block}.norm2"]
        linears[f"{block}.attn.qkv"] = (3 * width, width)
        linears[f"{block}.attn.proj"] = (width, width)
        linears[f"{block}.mlp.fc1"] = (ffn, width)
        linears[f"{block}.mlp.fc2"] = (width, ffn)
    for name, shape in linears.items():
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]
    for name in norms:
        shapes[f"{name}.weight"] = (width,)
        shapes[f"{name}.bias"] = (width,)
    return shapes
