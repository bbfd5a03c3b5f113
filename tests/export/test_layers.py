"""The table of linear layers, against a list of the hub's tensors that was written down by itself."""

from math import prod

import pytest

from pocketvl.export.layers import expected_tensors, linear_layers
from pocketvl.runtime.bundle.geometry import ModelGeometry
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.geometries import GEOMETRIES
from tests.support.random_source import RandomSource


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
def test_layers_are_the_tensors_of_the_hub(geometry: ModelGeometry) -> None:
    source = RandomSource(geometry)
    stored = source.names()
    for layer in linear_layers(geometry):
        weight = source.tensor(f"{layer.source}.weight")
        assert weight.shape[0] == layer.out_features
        assert weight.numel() == layer.weights
        assert layer.bias == (f"{layer.source}.bias" in stored)
    assert set(expected_tensors(geometry)) == set(stored)


def test_every_matrix_of_the_checkpoint_is_a_layer() -> None:
    """Their elements are those of all weights with two or more axes, the embedding once as the head."""
    matrices = [shape for shape in expected_tensors(SMALL_GEOMETRY).values() if len(shape) > 1]
    layers = linear_layers(SMALL_GEOMETRY)
    assert sum(layer.weights for layer in layers) == sum(map(prod, matrices))
    assert len({layer.name for layer in layers}) == len(layers) == len(matrices)


def test_names_say_where_a_layer_is() -> None:
    layer = next(one for one in linear_layers(SMALL_GEOMETRY) if one.source == "model.layers.1.mlp.up_proj")
    assert (layer.name, layer.component, layer.kind) == (
        "text_decoder.layers.1.up_proj",
        "text_decoder",
        "up_proj",
    )
