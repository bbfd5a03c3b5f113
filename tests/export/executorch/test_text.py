"""The exported decoder against transformers' own, run by ExecuTorch from the written file."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLTextModel

from pocketvl.export.component import ExportSettings
from pocketvl.export.executorch.census import read_pte
from pocketvl.export.executorch.text import export_text
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.target import Component
from pocketvl.export.weights import fill
from pocketvl.quant.recipe import Precision, Recipe, Rule, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.positions import text_rope
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.exporters import EOS, export_inputs
from tests.support.numbers import relative
from tests.support.random_source import RandomSource

CHUNKS = (64, 33, 1, 1, 50)
SETTINGS = ExportSettings(max_context=160, prefill_chunk=64)


def source_of(heads: int, kv_heads: int, head_dim: int, layers: int = 1, tied: bool = True) -> RandomSource:
    width = heads * head_dim  # transformers knows no other
    half = head_dim // 2
    third = half // 3
    text = TextGeometry(
        num_layers=layers,
        hidden_size=width,
        intermediate_size=96,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=300,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
        mrope_section=(half - 2 * third, third, third),
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
    )
    vision = replace(SMALL_GEOMETRY.vision, output_size=width)
    return RandomSource(ModelGeometry(vision, text), seed=heads, std=0.1)


def export(source: RandomSource, recipe: Recipe, folder: Path) -> tuple[Component, EmbeddingTable, Any]:
    component, table = export_text(export_inputs(source, recipe, folder, SETTINGS), lambda *_: None)
    files = {"text_decoder.pte"} | (set() if source.geometry.text.tie_word_embeddings else {table.file})
    assert {path.name for path in folder.iterdir()} == files
    return component, table, load(folder / names.TEXT_DECODER_PTE)


def load(path: Path) -> Any:
    import executorch.kernels.quantized  # noqa: F401
    from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401
    from executorch.extension.pybindings import portable_lib

    return portable_lib._load_for_executorch(str(path))


def reference(source: RandomSource) -> Qwen2VLTextModel:
    text = source.geometry.text
    config = Qwen2VLTextConfig(
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=text.num_layers,
        num_attention_heads=text.num_heads,
        num_key_value_heads=text.num_kv_heads,
        head_dim=text.head_dim,
        rms_norm_eps=text.rms_norm_eps,
        max_position_embeddings=text.max_position_embeddings,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": text.rope_theta,
            "mrope_section": list(text.mrope_section),
        },
        attn_implementation="eager",
    )
    model = Qwen2VLTextModel(config).eval()
    weights = {
        name.removeprefix("model."): source.tensor(name)
        for name in source.names()
        if name.startswith("model.")
    }
    model.load_state_dict(weights)
    return model


def inputs(source: RandomSource, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Embeddings (1, S, D) and M-RoPE ids (3, S) in which the three axes differ."""
    generator = np.random.default_rng(seed)
    length = sum(CHUNKS)
    embeddings = generator.normal(size=(1, length, source.geometry.text.hidden_size)).astype(np.float32)
    ids = np.sort(generator.integers(0, 300, (3, length)), axis=1)
    return torch.from_numpy(embeddings), ids


def run_chunks(program: Any, source: RandomSource, embeddings: torch.Tensor, ids: np.ndarray) -> torch.Tensor:
    cos, sin = (torch.from_numpy(part).contiguous() for part in text_rope(ids, source.geometry.text))
    parts, start = [], 0
    for size in CHUNKS:
        now = slice(start, start + size)
        arguments = [embeddings[:, now].contiguous(), cos[now], sin[now], torch.tensor([start])]
        parts.append(program.run_method("text_decoder", arguments)[0])
        start += size
    return torch.cat(parts, 1)


def test_the_file_computes_what_transformers_does(tmp_path: Path) -> None:
    for number, shape in enumerate(((6, 2, 32, 2, True), (5, 5, 64, 1, False), (2, 1, 128, 6, True))):
        source, folder = source_of(*shape), tmp_path / str(number)
        folder.mkdir()
        component, table, program = export(source, named_recipe("fp32"), folder)
        if not source.geometry.text.tie_word_embeddings:
            assert np.array_equal(gathered(component, table, folder), table_of(source))
        run_chunks(program, source, *inputs(source, seed=1))  # slots are written again afterwards
        embeddings, ids = inputs(source)
        hidden = run_chunks(program, source, embeddings, ids)
        with torch.no_grad():
            wanted = reference(source)(
                inputs_embeds=embeddings, position_ids=torch.from_numpy(ids)[:, None]
            ).last_hidden_state
        assert hidden.shape == wanted.shape
        assert (hidden - wanted).abs().max() < 1e-4
        logits = program.run_method("lm_head", [hidden[:, :5].contiguous()])[0]
        expected = hidden[:, :5] @ source.tensor("lm_head.weight").T
        assert (logits - expected).abs().max() < 1e-4


@pytest.fixture(scope="module", params=["int8", "int4", "int4-small"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    source = source_of(4, 2, 32)
    recipe = named_recipe(request.param)
    return source, recipe, folder, *export(source, recipe, folder)


def test_quantized_file_equals_its_fake_quantized_reference(quantized: Any) -> None:
    """Not merely near the float model: near the model with these very integers, 8-bit inputs included."""
    source, recipe, _, _, _, program = quantized
    embeddings, ids = inputs(source)
    hidden = run_chunks(program, source, embeddings, ids)
    decoder = TextDecoder(resolve(recipe, source.geometry), SETTINGS.max_context)
    fill(decoder, source, recipe.method)
    cos, sin = (torch.from_numpy(part).contiguous() for part in text_rope(ids, source.geometry.text))
    with torch.no_grad():
        wanted = decoder(embeddings, cos, sin, torch.tensor([0]))
        plain = reference(source)(
            inputs_embeds=embeddings, position_ids=torch.from_numpy(ids)[:, None]
        ).last_hidden_state
    assert relative(hidden, wanted) < 0.02
    assert relative(hidden, plain) < (0.03 if recipe.name == "int8" else 0.2)


def test_the_table_is_the_heads_own_rows(quantized: Any) -> None:
    source, recipe, folder, _, table, _ = quantized
    assert table.file == "text_decoder.pte"
    assert table.storage == ("int4" if recipe.name == "int4-small" else "int8")
    gathered = EmbeddingMap(folder / table.file, table).gather(range(300))
    weight = source.tensor("model.embed_tokens.weight").numpy()
    steps = 7 if table.storage == "int4" else 127
    assert np.abs(gathered - weight).max() < np.abs(weight).max() / steps


def test_layer_groups_tell_stored_bytes(quantized: Any) -> None:
    _, recipe, _, component, _, _ = quantized
    decoder, head = component.layers
    per_layer = 2 * 128 * 128 + 2 * 64 * 128 + 3 * 96 * 128
    rows = 128 + 2 * 64 + 128 + 2 * 96 + 128
    assert (decoder.component, decoder.layers, decoder.parameters) == ("text_decoder", 7, per_layer)
    if recipe.name == "int8":
        assert (decoder.bits, decoder.group_size, decoder.bytes) == (8, None, per_layer + 4 * rows)
    else:
        assert (decoder.bits, decoder.group_size) == (4, 32)
        assert decoder.bytes == per_layer // 2 + per_layer // 32 * 2
    assert (head.component, head.layers, head.parameters) == ("lm_head", 1, 300 * 128)


def test_only_cache_and_attention_run_outside_xnnpack(quantized: Any) -> None:
    folder = quantized[2]
    methods = read_pte(folder / names.TEXT_DECODER_PTE).methods
    assert len(methods["text_decoder"].delegates) == 2  # before and behind the one layer's attention
    operators = {"update_cache": 2, "custom_sdpa": 1}
    assert methods["text_decoder"].kernels == Counter(
        {f"llama::{name}": count for name, count in operators.items()}
        | {"aten::select_copy": 1, "aten::_local_scalar_dense": 1}  # the cache position as a number
    )
    assert len(methods["lm_head"].delegates) == 1
    assert not methods["lm_head"].kernels


def test_layers_share_the_quantization_of_one_input(quantized: Any) -> None:
    folder = quantized[2]
    graphs = read_pte(folder / names.TEXT_DECODER_PTE).methods["text_decoder"].delegates
    conversions = sum(
        node["xnode_union_type"] == "XNNConvert" for graph in graphs for node in graph["xnodes"]
    )
    assert conversions == 4  # q/k/v, o, gate/up, down


def test_metadata_methods(quantized: Any) -> None:
    program = quantized[-1]
    assert program.run_method("get_max_seq_len", [])[0] == 64
    assert program.run_method("get_max_context_len", [])[0] == 160
    assert program.run_method("get_vocab_size", [])[0] == 300
    assert tuple(program.run_method("get_eos_ids", [])) == EOS
    assert program.run_method("use_kv_cache", [])[0] is True


def test_entry_points_name_the_files_tensors(quantized: Any) -> None:
    _, _, _, component, _, program = quantized
    for entry in component.entry_points:
        meta = program.method_meta(entry.method)
        assert meta.num_inputs() == len(entry.inputs)
        assert meta.num_outputs() == len(entry.outputs)
        for index, spec in enumerate(entry.inputs):
            bounds = {"tokens": 64, "rows": names.MAX_HEAD_ROWS}
            largest = tuple(bounds[size] if isinstance(size, str) else size for size in spec.shape)
            assert tuple(meta.input_tensor_meta(index).sizes()) == largest
    assert component.entry_points[1].outputs[0].shape == (1, "rows", 300)


def table_of(source: RandomSource) -> np.ndarray:
    table: np.ndarray = source.tensor("model.embed_tokens.weight").numpy()
    return table


def gathered(component: Component, table: EmbeddingTable, folder: Path) -> np.ndarray:
    """All rows of a table that has a file of its own, which the census counts."""
    group = component.layers[-1]
    assert (group.component, group.bytes) == ("token_embedding", (folder / table.file).stat().st_size)
    return EmbeddingMap(folder / table.file, table).gather(range(300))


def test_untied_embeddings_get_a_file(tmp_path: Path) -> None:
    """In 8 bits beside a head of 4; one of floats is in test_the_file_computes_what_transformers_does."""
    source = source_of(2, 1, 32, tied=False)
    component, table, _ = export(source, named_recipe("int4"), tmp_path)
    weight = table_of(source)
    rows = gathered(component, table, tmp_path)
    assert np.abs(rows - weight).max() <= np.abs(weight).max() / 254 * 1.001


def test_each_layer_gets_its_own_bits(tmp_path: Path) -> None:
    rules = (
        Rule("vision_encoder.*", Precision(8)),
        Rule("text_decoder.layers.0.k_proj", Precision(32)),
        Rule("text_decoder.*.down_proj", Precision(8)),
        Rule("text_decoder.layers.1.*", Precision(4, 64)),
        Rule("text_decoder.*", Precision(4, 32)),
        Rule("lm_head", Precision(8)),
    )
    component, _, program = export(source_of(2, 1, 64, layers=2), Recipe("mixed", "hqq", rules), tmp_path)
    found = {(g.component, g.bits, g.group_size): g.layers for g in component.layers}
    assert found == {
        ("text_decoder", 32, None): 1,
        ("text_decoder", 8, None): 2,
        ("text_decoder", 4, 32): 5,
        ("text_decoder", 4, 64): 6,
        ("lm_head", 8, None): 1,
    }
    source = source_of(2, 1, 64, layers=2)
    assert run_chunks(program, source, *inputs(source)).isfinite().all()


def test_one_token_chunks(tmp_path: Path) -> None:
    """prefill_chunk 1 leaves nothing dynamic."""
    source = source_of(2, 1, 32)
    settings = ExportSettings(max_context=8, prefill_chunk=1)
    export_text(export_inputs(source, named_recipe("int8"), tmp_path, settings), lambda *_: None)
    program = load(tmp_path / "text_decoder.pte")
    cos, sin = (torch.from_numpy(x) for x in text_rope(np.zeros((3, 1), np.int64), source.geometry.text))
    hidden = program.run_method("text_decoder", [torch.ones(1, 1, 64), cos, sin, torch.tensor([7])])[0]
    assert hidden.isfinite().all()
