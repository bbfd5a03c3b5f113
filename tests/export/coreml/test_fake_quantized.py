"""Packages compute what their own graphs compute in float32 torch with the dequantized weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvl.export.coreml.function import Signature, Weights, build_function, prepare
from pocketvl.export.coreml.package import Description, write_package
from pocketvl.export.coreml.text import decoder_states
from pocketvl.export.coreml.text_graph import DecoderChunk
from pocketvl.export.coreml.vision import HalfVisionEncoder
from pocketvl.export.layer_plan import resolve
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.entry_points import package_decoder, package_vision
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.engines.coreml.package import Package
from tests.support.geometries import GEOMETRIES
from tests.support.numbers import relative
from tests.support.random_source import RandomSource

_WIDE = GEOMETRIES["tied, 4/1 heads of 64"]
GEOMETRY = ModelGeometry(_WIDE.vision, replace(_WIDE.text, num_layers=2))
NEAR = 1e-3
SLOTS = 64


def package_of(graph: nn.Module, signatures: list[Signature], path: Path) -> Package:
    """Written from the graph, which holds the dequantized weights afterwards."""
    weights: Weights = prepare(graph, RandomSource(GEOMETRY, std=1 / 16), "rtn", lambda _: None)
    functions = {one.name: build_function(graph, one, weights) for one in signatures}
    write_package(path, functions, Description("", "", {}, {}))
    for name, stored in weights.items():
        data = torch.from_numpy(stored.data.astype(np.float32))
        if stored.scales is not None:
            scales = torch.from_numpy(stored.scales.astype(np.float32))
            data = data * scales.repeat_interleave(data.shape[1] // scales.shape[1], dim=1)
        graph.get_submodule(name).weight = nn.Parameter(data, requires_grad=False)
    return Package.open(path)


def inputs(signature: Signature, start: int) -> dict[str, np.ndarray]:
    """Random ones in fp16's values; masks and the position fit tokens from slot `start` on."""
    generator = np.random.default_rng(start)
    given = {}
    for spec in signature.inputs:
        shape = tuple(int(size) for size in spec.shape)
        given[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
        if spec.name in ("rope_cos", "rope_sin"):
            angles = np.random.default_rng(start).uniform(0, 6, (shape[0], shape[1] // 2))
            turned = (np.cos if spec.name == "rope_cos" else np.sin)(angles)
            given[spec.name] = np.concatenate([turned, turned], axis=1).astype(np.float16)
        if spec.name == "cache_position":
            given[spec.name] = np.array([start], np.int32)
        if spec.name == "key_mask":
            given[spec.name] = (np.arange(shape[0]) < 12).astype(np.float16)
        if spec.name == "attention_mask":
            seen = np.arange(shape[-1]) <= start + np.arange(shape[-2])[:, None]
            given[spec.name] = np.where(seen, 0, -3e4).astype(np.float16).reshape(shape)
    return given


def in_torch(graph: nn.Module, given: dict[str, np.ndarray]) -> np.ndarray:
    tensors = [torch.from_numpy(array) for array in given.values()]
    with torch.no_grad():
        output = graph(*(t.float() if t.is_floating_point() else t for t in tensors))
    return np.asarray(output.numpy())


@pytest.mark.parametrize("recipe", ["int4-small", "int8"])
def test_vision(tmp_path: Path, recipe: str) -> None:
    graph, signature = (
        HalfVisionEncoder(resolve(named_recipe(recipe), GEOMETRY)),
        Signature.of(package_vision(GEOMETRY.vision, 16)),
    )
    package = package_of(graph, [signature], tmp_path / "vision.mlpackage")
    given = inputs(signature, 0)
    (value,) = package.function().run(given).values()
    assert relative(value[:3].astype(np.float32), in_torch(graph, given)[:3]) < NEAR


@pytest.mark.parametrize("recipe", ["int4", "int8"])
def test_decoder(tmp_path: Path, recipe: str) -> None:
    """Prefill, then tokens one by one over the same cache."""
    text = GEOMETRY.text
    graph = DecoderChunk(resolve(named_recipe(recipe), GEOMETRY), SLOTS, range(text.num_layers))
    states = decoder_states(text, SLOTS, text.num_layers)
    signatures = {
        tokens: Signature.of(package_decoder(text, SLOTS, tokens, "decoder.mlpackage"), states)
        for tokens in (1, 16)
    }
    package = package_of(graph, list(signatures.values()), tmp_path / "decoder.mlpackage")
    graph.k_cache.zero_()
    graph.v_cache.zero_()
    state, start = package.new_state("decode"), 0
    for tokens in (16, 1, 1, 16, 1):
        given = inputs(signatures[tokens], start)
        (value,) = package.function(signatures[tokens].name).run(given, state).values()
        assert relative(value.astype(np.float32), in_torch(graph, given)) < NEAR
        start += tokens
