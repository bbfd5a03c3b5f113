"""How much disk and memory an export to Core ML will take, known before it starts."""

from collections.abc import Iterable

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.text import chunk_spans
from pocketvl.export.estimate import DISK_EXTRA, Estimate
from pocketvl.export.layers import Layer, linear_layers, lm_head
from pocketvl.quant.recipe import Bits, Recipe
from pocketvl.runtime import names
from pocketvl.runtime.geometry import ModelGeometry

# Fitted to measured exports (docs/decisions/0009-coreml.md): libraries, traces, a small program; what a
# weight takes at the peak beside its own integer (1 byte) or fp16 (2); and an element of the hidden states of
# every block in the largest bucket.
_PEAK_BASE = 11 * 10**8
_PEAK_PER_WEIGHT = {names.VISION_ENCODER: 6.0, names.TEXT_DECODER: 4.2, names.LM_HEAD: 14.0}
_PEAK_PER_HIDDEN = 32


def estimate_packages(geometry: ModelGeometry, recipe: Recipe, settings: ExportSettings) -> Estimate:
    """Sizes of an export. Raises RecipeError as Recipe.bits does, UsageError for too many chunks."""
    head = lm_head(geometry.text)
    packages = _packages(geometry, settings)
    bits = {layer.name: recipe.bits(layer.name, layer.in_features) for layer in linear_layers(geometry)}
    artifacts = dict.fromkeys((names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD), 0)
    for layer in linear_layers(geometry):
        artifacts[layer.name.split(".")[0]] += package_bytes(layer, bits[layer.name])
    if not geometry.text.tie_word_embeddings:
        # A table of its own stays at 8 bits where the head has fewer.
        table = bits[head.name] if bits[head.name].is_float else Bits(8)
        artifacts[names.TOKEN_EMBEDDING] = package_bytes(head, table)
        packages[-1].append(head)
    vision, *others = [_peak((layer, bits[layer.name]) for layer in package) for package in packages]
    vision += _PEAK_PER_HIDDEN * settings.buckets[-1] * geometry.vision.depth * geometry.vision.hidden_size
    memory = max(vision, *others)
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, memory)


def package_bytes(layer: Layer, bits: Bits) -> int:
    """Weight and scales in weight.bin: fp16, or integers with a fp16 scale a row or a group."""
    weights = layer.out_features * layer.in_features
    if bits.is_float:
        return 2 * weights
    groups = layer.in_features // bits.group_size if bits.group_size is not None else 1
    return weights * bits.bits // 8 + 2 * layer.out_features * groups


def _packages(geometry: ModelGeometry, settings: ExportSettings) -> list[list[Layer]]:
    """Layers that are in memory at one time: of vision, of each chunk of the decoder, of the head."""
    layers = list(linear_layers(geometry))
    chunks = [
        [layer for layer in layers if layer.name.startswith(prefixes)]
        for prefixes in (
            tuple(f"{names.TEXT_DECODER}.layers.{index}." for index in span)
            for span in chunk_spans(geometry.text, settings)
        )
    ]
    vision = [layer for layer in layers if layer.name.startswith(f"{names.VISION_ENCODER}.")]
    return [vision, *chunks, [layer for layer in layers if layer.name == names.LM_HEAD]]


def _peak(layers: Iterable[tuple[Layer, Bits]]) -> int:
    """Bytes at the peak of one package."""
    held = 0.0
    for layer, bits in layers:
        each = _PEAK_PER_WEIGHT[layer.name.split(".")[0]] + (2 if bits.is_float else 1)
        held += layer.out_features * layer.in_features * each
    return _PEAK_BASE + int(held)
