"""The bits of every linear layer, resolved once from a recipe and a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from pocketvl.export.component import PackedSource
from pocketvl.export.layers import HEAD_ROTATION, Layer, linear_layers
from pocketvl.quant.recipe import Precision, Recipe, method_of, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry


@dataclass(frozen=True)
class LayerPlan:
    """What becomes of each linear layer.

    bits: layer, as recipes call it -> its bits, for every layer of the geometry. kept: layers whose integers
    go into the bundle as the checkpoint packs them. packing: "gptq", "awq", or None for floats. rotated:
    whether hidden states are, so that weights come from a RotatedSource.
    """

    recipe: Recipe
    geometry: ModelGeometry
    precisions: Mapping[str, Precision]
    kept: frozenset[str] = frozenset()
    packing: str | None = None
    rotated: bool = False

    def sizes(self, *components: str) -> dict[str, float]:
        """Layer -> how many weights it has, of these components."""
        return {layer.name: float(layer.weights) for layer, _ in self.layers if layer.component in components}

    @property
    def layers(self) -> tuple[tuple[Layer, Precision], ...]:
        """Every layer with its bits, in the order of the forward pass."""
        return tuple(
            (layer, self.precisions[layer.name]) for layer in linear_layers(self.geometry, self.rotated)
        )

    @property
    def method(self) -> str:
        """How integers are chosen that the checkpoint does not bring."""
        return self.recipe.method

    @property
    def calibrated(self) -> tuple[str, ...]:
        """The layers that calibration decides over; none where the method looks at no data."""
        return tuple(name for name, own in self.precisions.items() if self.recipe.calibrates(name, own))

    @property
    def table_bits(self) -> Precision:
        """Of a table of token embeddings beside the head: float beside a float head, else 8 bits.

        Rows are looked up and never multiplied, so 8 bits cost no speed, and below 8 bits an error goes into
        every layer.
        """
        head = self.precisions[names.LM_HEAD]
        return head if head.is_float else Precision(8)

    @property
    def method_name(self) -> str:
        """How integers were chosen, as the manifest records it: "rtn", "gptq checkpoint + rtn",
        "rotation + gptq + rtn", "none" .."""
        calibrated = frozenset(self.calibrated)
        own = {
            self.method if name in calibrated else method_of(self.method, precision)
            for name, precision in self.precisions.items()
            if name not in self.kept and not precision.is_float
        }
        parts = [f"{self.packing} checkpoint"] if self.kept else []
        parts += [names.ROTATION] if self.rotated else []
        parts += sorted(own)
        return " + ".join(parts) or "none"

    def describe_kept(self) -> str | None:
        """One sentence about the layers that keep the checkpoint's integers; None if there are none."""
        if not self.kept:
            return None
        forms = sorted({_describe(self.precisions[name]) for name in self.kept})
        return (
            f"Layers that keep the integers of the {self.packing} checkpoint: {len(self.kept)}"
            f" ({', '.join(forms)})."
        )

    def fingerprint(self) -> str:
        """sha256 of all that decides integers beside the checkpoint: not of the recipe's name."""
        used = self.recipe.calibration if self.recipe.calibrated else None
        return sha256(
            repr((self.method, list(self.precisions.items()), used, self.rotated)).encode()
        ).hexdigest()


def resolve(recipe: Recipe, geometry: ModelGeometry, source: PackedSource | None = None) -> LayerPlan:
    """Ask the recipe for the bits of every layer.

    source: the weights, where they may come from packed integers: those decide the bits of their layers
    unless the recipe keeps these in float. Packed integers cannot be rotated, and a model of floats alone
    gains nothing: both stay as they are whatever the recipe says. Raises RecipeError if a layer has no bits
    or cannot take them, or a rule matches no layer.
    """
    rotated = recipe.rotation and recipe.quantizes and (source is None or source.packing is None)
    asked, recipe = recipe, replace(recipe, rotation=rotated)
    layers = linear_layers(geometry, rotated)
    # A rule for the layer that only rotated models with tied embeddings have is no mistake elsewhere.
    extra = [HEAD_ROTATION] if asked.rotation else []
    recipe.check_rules([*(layer.name for layer in layers), *extra])
    precisions = {layer.name: recipe.precision(layer.name, layer.in_features) for layer in layers}
    if source is None:
        return LayerPlan(recipe, geometry, precisions, rotated=rotated)
    packed = {name: own for name, own in source.fixed_bits.items() if not precisions[name].is_float}
    kept = frozenset(packed) - source.requantized
    return LayerPlan(recipe, geometry, precisions | packed, kept, source.packing, rotated)


def float_plan(geometry: ModelGeometry, rotated: bool = False) -> LayerPlan:
    """Every layer in float32."""
    layers = linear_layers(geometry, rotated)
    precisions = {layer.name: Precision(32) for layer in layers}
    return LayerPlan(named_recipe("fp32"), geometry, precisions, rotated=rotated)


def _describe(precision: Precision) -> str:
    return f"{precision.bits} bits" + (
        f" in groups of {precision.group_size}" if precision.group_size else ""
    )
