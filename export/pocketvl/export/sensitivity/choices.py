"""The bits that each layer may take."""

from collections.abc import Mapping

from pocketvl.export.layers import linear_layers
from pocketvl.quant.recipe import Bits
from pocketvl.runtime.geometry import ModelGeometry

# The smallest first. Larger groups than 128 save less than 1.5 % of a layer.
CHOICES = (Bits(4, 128), Bits(4, 64), Bits(4, 32), Bits(8))

Choices = dict[str, tuple[Bits, ...]]  # layer, as recipes call it -> what it may take


def layer_choices(geometry: ModelGeometry, fixed: Mapping[str, Bits]) -> Choices:
    """All of CHOICES that divide a layer's inputs; a single one where `fixed` (layer -> bits) decides.

    8 bits fit every layer, and are all that a patch embedding of 1176 inputs can take.
    """
    return {
        layer.name: (fixed[layer.name],)
        if layer.name in fixed
        else tuple(bits for bits in CHOICES if bits.fits(layer.in_features))
        for layer in linear_layers(geometry)
    }
