"""How much disk and memory an export to ONNX will take, known before it starts."""

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import DISK_EXTRA, Estimate
from pocketvl.export.layers import Layer, linear_layers, lm_head
from pocketvl.export.onnx.matmul_nbits import block_size
from pocketvl.quant.recipe import Bits, Recipe
from pocketvl.runtime import names
from pocketvl.runtime.geometry import ModelGeometry

# Interpreter, libraries and the tracing of 28 layers.
_LIBRARIES = 8 * 10**8
# Bytes a weight of the largest layer: the checkpoint's, its integer, the packed one; float32, half, checked.
_HELD, _HELD_FLOAT = 4, 7


def estimate_onnx(geometry: ModelGeometry, recipe: Recipe, _: ExportSettings) -> Estimate:
    """Sizes of an export. Raises RecipeError if a layer has no bits or cannot take them."""
    artifacts = {names.VISION_ENCODER: 0, names.TEXT_DECODER: 0, names.LM_HEAD: 0}
    most = 0
    for layer in linear_layers(geometry):
        bits = recipe.bits(layer.name, layer.in_features)
        artifacts[layer.name.split(".")[0]] += stored_bytes(layer, bits)
        held = _HELD_FLOAT if bits.is_float else _HELD
        most = max(most, layer.out_features * layer.in_features * held)
    text = geometry.text
    head = lm_head(text)
    bits = recipe.bits(head.name, head.in_features)
    # transformers.js has a copy of the table for itself; a table of its own stays at 8 bits.
    own = bits if text.tie_word_embeddings or bits.is_float else Bits(8)
    copies = 1 if text.tie_word_embeddings else 2
    artifacts[names.TOKEN_EMBEDDING] = copies * stored_bytes(head, own)
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, _LIBRARIES + most)


def stored_bytes(layer: Layer, bits: Bits) -> int:
    """Weight and scales in a data file: a float32 scale for each block."""
    if bits.is_float:
        return layer.out_features * layer.in_features * bits.bits // 8
    block = block_size(layer.in_features, bits.group_size or layer.in_features)
    blocks = -(-layer.in_features // block)
    return layer.out_features * blocks * (block * bits.bits // 8 + 4)
