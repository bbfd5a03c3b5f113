"""The exported decoder against transformers' own, run by onnxruntime from the written files."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch

from pocketvl.export.layers import Layer
from pocketvl.export.modules import Linear
from pocketvl.export.onnx.census import expected
from pocketvl.export.onnx.folder import graph_name
from pocketvl.export.onnx.text import write_embed_tokens
from pocketvl.export.weights import decided
from pocketvl.quant.recipe import Precision, Recipe, Rule, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.errors import CensusError
from tests.export.executorch.test_text import reference, source_of
from tests.export.onnx import graphs
from tests.support.numbers import relative

CALLS = (24, 17, 1, 1, 9)
TOKENS = sum(CALLS)


def inputs(width: int) -> tuple[Any, Any]:
    """Embeddings (S, D) and M-RoPE ids (3, S) in which the three axes differ."""
    generator = np.random.default_rng(0)
    ids = np.sort(generator.integers(0, 300, (3, TOKENS)), axis=1)
    return generator.normal(size=(TOKENS, width)).astype(np.float32), ids


def transformers_hidden(source: Any, embeddings: Any, ids: Any) -> Any:
    with torch.no_grad():
        model = reference(source)
        positions = torch.from_numpy(ids)[:, None]
        output = model(inputs_embeds=torch.from_numpy(embeddings)[None], position_ids=positions)
    return output.last_hidden_state[0].numpy()


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "layers", "tied"), [(6, 2, 32, 2, True), (5, 5, 64, 1, False)]
)
def test_float_graphs_compute_what_transformers_does(
    tmp_path: Path, heads: int, kv_heads: int, head_dim: int, layers: int, tied: bool
) -> None:
    source = source_of(heads, kv_heads, head_dim, layers, tied)
    text = source.geometry.text
    _, table = graphs.export(source, named_recipe("fp32"), tmp_path)
    embeddings, ids = inputs(text.hidden_size)
    hidden = graphs.hidden(tmp_path, text, embeddings, ids, CALLS)
    wanted = transformers_hidden(source, embeddings, ids)
    assert np.abs(hidden - wanted).max() < 1e-4
    expected = wanted @ source.tensor("lm_head.weight").numpy().T
    assert np.abs(graphs.logits(tmp_path, hidden) - expected).max() < 1e-4
    merged = graphs.merged_logits(tmp_path, text, embeddings, ids, (TOKENS,), 0)
    assert np.abs(merged - expected).max() < 1e-4
    last = graphs.merged_logits(tmp_path, text, embeddings, ids, CALLS, 1)
    assert np.abs(last - expected[np.cumsum(CALLS) - 1]).max() < 1e-4
    assert (table.file == names.TOKEN_EMBEDDING_FILE) is not tied
    rows = source.tensor("model.embed_tokens.weight").numpy()
    assert np.array_equal(EmbeddingMap(tmp_path / table.file, table).gather(range(300)), rows)
    assert np.array_equal(embed(tmp_path, range(300)), rows)


@pytest.fixture(scope="module", params=["int8", "int4-small"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    source, recipe = source_of(4, 2, 32, 2), named_recipe(request.param)
    return source, recipe, folder, *graphs.export(source, recipe, folder)


def test_quantized_graphs_are_near_transformers_with_the_same_integers(quantized: Any) -> None:
    source, recipe, folder, *_ = quantized
    text = source.geometry.text
    embeddings, ids = inputs(text.hidden_size)
    model = Dequantized(source, recipe)
    wanted = transformers_hidden(model, embeddings, ids)
    hidden = graphs.hidden(folder, text, embeddings, ids, CALLS)
    assert relative(hidden, wanted) < 0.02
    whole = graphs.hidden(folder, text, embeddings, ids, (TOKENS,))
    assert relative(hidden, whole) < 0.01
    logits = graphs.logits(folder, whole)
    assert relative(logits, whole @ model.tensor("lm_head.weight").numpy().T) < 0.02
    merged = graphs.merged_logits(folder, text, embeddings, ids, (TOKENS,), 0)
    assert relative(merged, logits) < 0.01


class Dequantized:
    """A source whose quantized layers hold what their integers stand for."""

    def __init__(self, source: Any, recipe: Recipe) -> None:
        self.geometry, self._source, self._recipe = source.geometry, source, recipe

    def names(self) -> tuple[str, ...]:
        names_: tuple[str, ...] = self._source.names()
        return names_

    def tensor(self, name: str) -> torch.Tensor:
        value: torch.Tensor = self._source.tensor(name)
        path = name.removesuffix(".weight")
        if path == "lm_head":
            layer = path
        elif path.endswith("_proj"):
            layer = path.replace("model.", "text_decoder.").replace("self_attn.", "").replace("mlp.", "")
        else:
            return value
        precision = self._recipe.precision(layer, value.shape[1])
        if precision.is_float:
            return value.half().float() if precision.bits == 16 else value
        leaf = Linear(Layer(layer, path, *value.shape, False), precision)
        return torch.from_numpy(decided(leaf, self._source, self._recipe.method).dequantize())


def test_the_table_is_the_heads_own_rows(quantized: Any) -> None:
    source, recipe, folder, _, table = quantized
    assert table.storage == ("int4" if recipe.name == "int4-small" else "offset_int8")
    gathered = EmbeddingMap(folder / table.file, table).gather(range(300))
    model = Dequantized(source, recipe)
    assert np.array_equal(gathered, model.tensor("lm_head.weight").numpy())
    assert np.array_equal(embed(folder, range(300)), gathered)


@pytest.mark.parametrize("key", ["weight_key", "scale_key"])
def test_a_table_with_other_values_is_refused(quantized: Any, tmp_path: Path, key: str) -> None:
    source, recipe, folder, _, table = quantized
    shape = (table.rows, table.columns)
    leaf = Linear(Layer("lm_head", "lm_head", *shape, False), recipe.precision("lm_head", table.columns))
    integers = decided(leaf, source, recipe.method)
    holds = expected("lm_head", leaf.precision, integers.integers, integers.scales)
    copytree(folder, tmp_path / "copy")
    write_embed_tokens(tmp_path / "copy", table, holds)
    with pytest.raises(CensusError, match=r"lm_head was written into embed_tokens_.* of other values"):
        write_embed_tokens(tmp_path / "copy", table, replace(holds, **{key: "0" * 64}))


def embed(folder: Path, ids: range) -> Any:
    """By transformers.js's graph."""
    (path,) = (folder / names.ONNX_FOLDER).glob("embed_tokens*.onnx")
    return graphs.session(path).run(None, {"input_ids": np.array([ids])})[0][0]


def test_weights_are_stored_once(quantized: Any) -> None:
    _, _, folder, component, _ = quantized
    files = {path.name for path in (folder / names.ONNX_FOLDER).glob("*.onnx_data")}
    (data,) = (file for file in files if file.startswith(names.DECODER_MODEL))
    (copy,) = (file for file in files if file.startswith(names.EMBED_TOKENS))
    assert files == {data, copy}
    stored = sum(group.bytes for group in component.layers)
    small = (folder / names.ONNX_FOLDER / data).stat().st_size - stored
    assert 0 < small < 60_000  # norms, biases and what lies between pages
    for graph in (folder / names.ONNX_FOLDER).glob("*.onnx"):
        assert graph.stat().st_size < 20_000


def test_graphs_name_no_folder_of_this_machine(quantized: Any) -> None:
    _, _, folder, *_ = quantized
    for graph in (folder / names.ONNX_FOLDER).glob("*.onnx"):
        assert b".py" not in graph.read_bytes()


def test_entry_points_name_the_graphs_tensors(quantized: Any) -> None:
    _, _, folder, component, _ = quantized
    for entry in component.entry_points:
        found = graphs.session(folder / entry.file)
        specs = ((entry.inputs, found.get_inputs()), (entry.outputs, found.get_outputs()))
        for wanted, nodes in specs:
            assert [(spec.name, list(spec.shape)) for spec in wanted] == [
                (node.name, node.shape) for node in nodes
            ]


def test_each_layer_gets_its_own_bits(tmp_path: Path) -> None:
    """Stacks of unlike layers fall apart and still give q, k, v in their order; a table of its own has 8."""
    rules = (
        Rule("vision_encoder.*", Precision(8)),
        Rule("text_decoder.layers.0.k_proj", Precision(32)),
        Rule("text_decoder.layers.0.v_proj", Precision(16)),
        Rule("text_decoder.*.up_proj", Precision(8)),
        Rule("text_decoder.*.down_proj", Precision(4, 32)),
        Rule("text_decoder.layers.1.*", Precision(4, 64)),
        Rule("text_decoder.*", Precision(4, 32)),
        Rule("lm_head", Precision(4, 32)),
    )
    source, recipe = source_of(2, 1, 64, layers=2, tied=False), Recipe("mixed", "hqq", rules)
    component, table = graphs.export(source, recipe, tmp_path)
    found = {(g.component, g.bits, g.group_size): g.layers for g in component.layers}
    assert found == {
        ("text_decoder", 32, None): 1,
        ("text_decoder", 16, None): 1,
        ("text_decoder", 8, None): 2,
        ("text_decoder", 4, 32): 5,
        ("text_decoder", 4, 64): 5,
        ("lm_head", 4, 32): 1,
        ("token_embedding", 8, None): 1,
    }
    text = source.geometry.text
    embeddings, ids = inputs(text.hidden_size)
    wanted = transformers_hidden(Dequantized(source, recipe), embeddings, ids)
    assert relative(graphs.hidden(tmp_path, text, embeddings, ids, CALLS), wanted) < 0.03
    assert table.file == names.TOKEN_EMBEDDING_FILE
    gathered = EmbeddingMap(tmp_path / table.file, table).gather(range(300))
    weight = source.tensor("model.embed_tokens.weight").numpy()
    assert np.abs(gathered - weight).max() <= np.abs(weight).max() / 254 * 1.001
    assert np.array_equal(embed(tmp_path, range(300)), gathered)


def test_graphs_are_named_by_the_bits_of_most_weights() -> None:
    layers = [
        Linear(Layer("", "", 8, 8, False), precision)
        for precision in (Precision(32), Precision(8), Precision(8))
    ]
    assert graph_name("model", layers) == "model_int8.onnx"
    assert (
        graph_name("model", [*layers, Linear(Layer("", "", 99, 8, False), Precision(4, 32))])
        == "model_q4.onnx"
    )
    assert graph_name("model", layers[:1]) == "model.onnx"
