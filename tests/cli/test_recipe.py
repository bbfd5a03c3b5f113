"""`pocketvl recipe` and the two goals of `pocketvl export`, on a small random model."""

import json
from collections import Counter
from pathlib import Path

import pytest

from pocketvl.cli.plans import parse_size
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.executorch.target import EXECUTORCH
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import linear_layers
from pocketvl.quant.recipe_file import load_recipe
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import UsageError
from tests.support.adapters import write_adapter
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.command_line import run
from tests.support.exporters import QUICK


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path) -> Path:
    return small_checkpoint


def test_a_budget_becomes_a_file_that_loads(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    status, out, _ = run(
        capsys,
        "recipe",
        checkpoint,
        "--size-budget",
        "300kB",
        "-o",
        path,
        "--calibration",
        "generated",
        "--calibration-samples",
        6,
        "--json",
    )
    assert status == 0
    told = json.loads(out)
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.method, recipe.calibration.samples) == ("mixed-300kB", "gptq", 6)
    sizes = EXECUTORCH.estimate(resolve(recipe, SMALL_GEOMETRY), ExportSettings()).artifacts
    assert sum(sizes.values()) == told["size"] <= 300_000
    for layer in linear_layers(SMALL_GEOMETRY):
        precision, named = recipe.precision(layer.name, layer.in_features), told["layers"][layer.name]
        assert (named["bits"], named["group_size"]) == (precision.bits, precision.group_size)
    assert told["predicted_kl"] == pytest.approx(sum(x["predicted_kl"] for x in told["layers"].values()))
    assert list(tmp_path.iterdir()) == [path]


def test_without_data_a_recipe_is_measured_on_generated_images_and_rounds(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    words = ("recipe", checkpoint, "--size-budget", "300kB", "-o", path, "--calibration-samples", 6)
    status, _, err = run(capsys, *words)
    assert status == 0
    assert "Measuring on generated images of simple shapes, and rounding to nearest" in err
    assert load_recipe(str(path)).method == "rtn"


def test_without_data_an_export_rounds_and_says_so_once(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketvl.export.targets.target_for", lambda _: QUICK)
    targets = ("--target", "executorch", "--target", "onnx")
    status, _, err = run(capsys, "export", checkpoint, "-o", tmp_path / "out", *targets)
    assert status == 0
    assert err.count("rounded to nearest (rtn)") == 1
    for target in ("executorch", "onnx"):
        manifest = open_bundle(tmp_path / "out" / target).manifest
        assert (manifest.recipe, manifest.quantization_method) == ("int4", "rtn")
        assert manifest.provenance.calibration is None


def test_a_divergence_becomes_a_table(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    words = (
        "recipe",
        checkpoint,
        "--max-kl",
        0.05,
        "--method",
        "rtn",
        "-o",
        path,
        "--calibration-samples",
        6,
    )
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert "share of KL" in out
    assert "predicted KL" in out
    assert load_recipe(str(path)).method == "rtn"
    status, _, err = run(capsys, *words)
    assert status == 2
    assert "--overwrite" in err


def test_export_leaves_its_recipe_beside_the_bundle(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", checkpoint, "-o", tmp_path / "bundle", "--size-budget", "300kB", "--method", "rtn")
    status, out, _ = run(
        capsys, *words, "--calibration-samples", 6, "--buckets", 64, "--max-context", 320, "--target", "onnx"
    )
    assert status == 0
    recipe = load_recipe(str(tmp_path / "bundle.recipe.toml"))
    assert "bundle.recipe.toml" in out
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.recipe == recipe.name == "mixed-300kB"
    stored = {
        (group.component, group.bits, group.group_size): group.layers
        for group in manifest.layers
        if group.component != "token_embedding"
    }
    chosen = Counter(
        (layer.name.partition(".")[0], precision.bits, precision.group_size)
        for layer in linear_layers(SMALL_GEOMETRY)
        for precision in [recipe.precision(layer.name, layer.in_features)]
    )
    assert stored == chosen


MISTAKES = {
    "no goal": (["recipe", "{model}", "-o", "{new}.toml"], "--size-budget"),
    "two goals": (
        ["recipe", "{model}", "-o", "{new}.toml", "--size-budget", "1MB", "--max-kl", "1"],
        "two goals",
    ),
    "no size": (["recipe", "{model}", "-o", "{new}.toml", "--size-budget", "3.1MiB"], "3.1MiB"),
    "no divergence": (["recipe", "{model}", "-o", "{new}.toml", "--max-kl", "nan"], "must be positive"),
    "another suffix": (["recipe", "{model}", "-o", "{new}.json", "--max-kl", "1"], ".toml"),
    "unknown method": (["recipe", "{model}", "-o", "{new}.toml", "--max-kl", "1", "--method", "awq"], "awq"),
    "gptq without data": (
        ["recipe", "{model}", "-o", "{new}.toml", "--max-kl", "1", "--method", "gptq"],
        "--method gptq needs data: add --calibration FOLDER",
    ),
    "gptq of an export without data": (
        ["export", "{model}", "-o", "{new}", "--method", "gptq"],
        "--method gptq needs data: add --calibration FOLDER",
    ),
    "samples without data": (
        ["export", "{model}", "-o", "{new}", "--calibration-samples", "8"],
        "--calibration-samples 8 needs data: add --calibration FOLDER",
    ),
    "a name that needs data": (
        ["export", "{model}", "-o", "{new}", "--recipe", "int4-gptq"],
        "'int4-gptq' needs",
    ),
    "revision of a folder": (
        ["recipe", "{model}", "-o", "{new}.toml", "--max-kl", "1", "--revision", "v1"],
        "v1",
    ),
    "goal and recipe": (
        ["export", "{model}", "-o", "{new}", "--size-budget", "1MB", "--recipe", "int4"],
        "--recipe out",
    ),
    "two goals of an export": (
        ["export", "{model}", "-o", "{new}", "--size-budget", "1MB", "--max-kl", "1"],
        "two",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes_get_a_sentence(
    name: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sentence = MISTAKES[name]
    names = {"model": checkpoint, "new": tmp_path / "new"}
    status, _, err = run(capsys, *(word.format(**names) for word in arguments))
    assert status == 2
    assert sentence in err
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_stands_beside_the_output_is_kept(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "bundle.recipe.toml"
    kept.write_text("mine")
    status, _, err = run(capsys, "export", checkpoint, "-o", tmp_path / "bundle", "--max-kl", 1)
    assert status == 2
    assert "bundle.recipe.toml" in err
    assert kept.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [kept]


def test_an_adapter_is_part_of_what_is_measured(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_adapter(tmp_path / "adapter")
    words = ("recipe", checkpoint, "--max-kl", 1, "--method", "rtn", "--calibration-samples", 6, "--json")
    predicted = []
    for name, more in {"without": (), "with": ("--lora", tmp_path / "adapter")}.items():
        status, out, _ = run(capsys, *words, "-o", tmp_path / f"{name}.toml", *more)
        assert status == 0
        predicted.append(json.loads(out)["predicted_kl"])
    assert predicted[0] != predicted[1]
    status, _, err = run(capsys, *words, "-o", tmp_path / "none.toml", "--lora", tmp_path / "gone")
    assert status == 1
    assert "gone" in err


def test_a_folder_that_is_gone_is_named(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gone" / "mine.toml"
    status, _, err = run(
        capsys, "recipe", checkpoint, "--max-kl", 1, "-o", path, "--calibration-samples", 6, "--method", "rtn"
    )
    assert status == 2
    assert "gone" in err


@pytest.mark.parametrize(
    ("text", "size"),
    [("1.2GB", 1_200_000_000), ("800MB", 800_000_000), ("3100000", 3_100_000), (" 12 kb", 12_000), ("7B", 7)],
)
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1,2GB", "-3MB", "3 MB of it", "1e6"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be a size such as"):
        parse_size(text)


def test_the_tiny_model_is_small_enough_to_be_measured() -> None:
    from pocketvl.export.sensitivity.measure import can_measure

    assert can_measure(open_checkpoint("tiny").geometry)
