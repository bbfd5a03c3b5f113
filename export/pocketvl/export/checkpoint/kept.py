"""What a checkpoint of packed integers decides, and what is left to the recipe."""

from collections.abc import Mapping, Set
from typing import Protocol

from pocketvl.export.component import TensorSource
from pocketvl.export.layers import linear_layers
from pocketvl.quant.recipe import Bits, Recipe


class PackedSource(TensorSource, Protocol):
    """A source that may come from packed integers; what the properties mean stands at Checkpoint."""

    @property
    def packing(self) -> str | None: ...

    @property
    def fixed_bits(self) -> Mapping[str, Bits]: ...

    @property
    def requantized(self) -> Set[str]: ...


def with_checkpoint_bits(recipe: Recipe, source: PackedSource) -> Recipe:
    """The recipe with the checkpoint's own bits for layers that it packs and the recipe does not keep in
    float. Raises RecipeError as Recipe.bits does."""
    fixed = source.fixed_bits
    layers = [layer for layer in linear_layers(source.geometry) if layer.name in fixed]
    quantized = [layer.name for layer in layers if not recipe.bits(layer.name, layer.in_features).is_float]
    return recipe.with_layers({name: fixed[name] for name in quantized})


def kept_layers(recipe: Recipe, source: PackedSource) -> dict[str, Bits]:
    """Layers whose integers go into the bundle as the checkpoint packs them. recipe: with its bits."""
    layers = {
        layer.name: recipe.bits(layer.name, layer.in_features) for layer in linear_layers(source.geometry)
    }
    own = source.fixed_bits.keys() - source.requantized
    return {name: bits for name, bits in layers.items() if name in own and not bits.is_float}


def describe_kept(kept: Mapping[str, Bits], source: PackedSource) -> str:
    """One sentence about a kept_layers that is not empty."""
    forms = sorted({_describe(bits) for bits in kept.values()})
    return (
        f"Layers that keep the integers of the {source.packing} checkpoint: {len(kept)} ({', '.join(forms)})."
    )


def method_name(recipe: Recipe, source: PackedSource) -> str:
    """How integers were chosen, as the manifest records it: "rtn", "gptq checkpoint + rtn", "none" ..."""
    layers = [
        layer.name
        for layer in linear_layers(source.geometry)
        if not recipe.bits(layer.name, layer.in_features).is_float
    ]
    kept = kept_layers(recipe, source)
    parts = [f"{source.packing} checkpoint"] if kept else []
    parts += [recipe.method] if len(layers) > len(kept) else []
    return " + ".join(parts) or "none"


def _describe(bits: Bits) -> str:
    return f"{bits.bits} bits" + (f" in groups of {bits.group_size}" if bits.group_size else "")
