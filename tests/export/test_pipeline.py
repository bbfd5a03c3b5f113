"""The whole export around the two exporters, which are replaced by quick ones here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocketvl.export import estimate, pipeline
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import Calibration, Precision, Recipe, Rule, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import CheckpointError, ExportError, RecipeError, SpaceError, UsageError
from tests.support.checkpoints import CHAT_TEMPLATE, write_checkpoint
from tests.support.exporters import QUICK, full_disk
from tests.support.tokenizers import tokenizer_json


def never(*_: object) -> Any:
    raise AssertionError("work began")


NEVER = replace(QUICK, export_vision=never, export_text=never)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "models" / "small", tied=False)
    return tmp_path / "models" / "small"


def export(model: Path, output: Path, **options: Any) -> Manifest:
    options = {
        "recipe": named_recipe("int8"),
        "settings": ExportSettings(),
        "command": "pocketvl export small",
        "target": QUICK,
    } | options
    return export_bundle(str(model), output, **options)


def test_the_bundle(model: Path, tmp_path: Path) -> None:
    manifest = export(model, tmp_path / "out")
    bundle = open_bundle(tmp_path / "out", verify="always")
    assert bundle.manifest == manifest
    assert [record.path for record in manifest.files] == [
        names.CHAT_TEMPLATE_FILE,
        names.TEXT_DECODER_PTE,
        names.TOKEN_EMBEDDING_FILE,
        names.TOKENIZER_FILE,
        names.VISION_ENCODER_PTE,
    ]
    assert bundle.path(names.CHAT_TEMPLATE_FILE).read_text() == CHAT_TEMPLATE
    assert bundle.path(names.TOKENIZER_FILE).read_text() == tokenizer_json()
    assert manifest.chat
    assert manifest.recipe == "int8"
    assert manifest.quantization_method == "rotation + rtn"
    assert [entry.name for entry in manifest.entry_points] == ["vision_encoder", "text_decoder", "lm_head"]
    assert manifest.max_context == 1024  # the model's own, less than the default
    assert manifest.provenance.source == "small"
    assert len(manifest.provenance.source_sha256) == 64
    assert set(manifest.provenance.tools) == {"torch", "torchao", "executorch"}
    assert manifest.provenance.command == "pocketvl export small"
    assert str(tmp_path) not in (tmp_path / "out" / names.MANIFEST_FILE).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]


def test_the_same_export_twice_is_the_same(model: Path, tmp_path: Path) -> None:
    assert export(model, tmp_path / "a") == export(model, tmp_path / "b")


def test_a_large_export_runs_in_processes_of_its_own(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: list[tuple[str, float]] = []
    apart: list[tuple[str, float]] = []
    manifest = export(model, tmp_path / "here", progress=lambda *step: here.append(step))
    monkeypatch.setattr(pipeline, "_ISOLATED_ABOVE", 0)
    assert export(model, tmp_path / "apart", progress=lambda *step: apart.append(step)) == manifest
    # Steps of the other processes come through, in any order: both run at the same time.
    assert {step for step, _ in apart} == {step for step, _ in here}
    shares = [share for _, share in apart]
    assert shares == sorted(shares)


def test_options(model: Path, tmp_path: Path) -> None:
    settings = ExportSettings(buckets=(64, 256), max_context=200, prefill_chunk=50)
    manifest = export(
        model,
        tmp_path / "out",
        recipe=named_recipe("fp32", "hqq"),
        settings=settings,
        min_pixels=1000,
        max_pixels=100_000,
    )
    assert manifest.quantization_method == "none"
    assert (manifest.max_context, manifest.prefill_chunk) == (200, 50)
    assert manifest.buckets == (64, 256)
    assert (manifest.image.min_pixels, manifest.image.max_pixels) == (1000, 100_000)


def test_a_base_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", chat=False)
    manifest = export(tmp_path / "base", tmp_path / "out")
    assert not manifest.chat
    assert not (tmp_path / "out" / names.CHAT_TEMPLATE_FILE).exists()
    open_bundle(tmp_path / "out", verify="always")


def test_progress_only_grows_and_ends_at_one(model: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    export(model, tmp_path / "out", progress=lambda _, share: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"settings": ExportSettings(max_context=5000)}, UsageError),
        ({"settings": ExportSettings(buckets=(8000,))}, UsageError),
        ({"max_pixels": 5}, UsageError),
        ({"recipe": Recipe("x", "rtn", (Rule("*", Precision(4, 32)),))}, RecipeError),
        ({"recipe": named_recipe("fp16")}, UsageError),
        (
            {"recipe": Recipe("x", "rtn", (Rule("lm_heads", Precision(8)), Rule("*", Precision(8))))},
            RecipeError,
        ),
        ({"revision": "v1"}, UsageError),
    ],
)
def test_what_cannot_succeed_is_refused_before_any_work(
    model: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        export(model, tmp_path / "out", target=NEVER, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        export(tmp_path / "nothing", tmp_path / "out")


def test_an_existing_bundle_is_refused_before_the_checkpoint_is_read(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "out")
    with pytest.raises(ExportError, match="--overwrite"):
        export(tmp_path / "nothing", tmp_path / "out")
    first = open_bundle(tmp_path / "out").manifest
    second = export(model, tmp_path / "out", overwrite=True, recipe=named_recipe("int4"))
    assert open_bundle(tmp_path / "out", verify="always").manifest == second != first


def test_too_little_space(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = estimate.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(SpaceError, match=r"1\.0 MB free"):
        export(model, tmp_path / "out", target=NEVER)


def test_little_memory_is_a_warning(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=10**6))
    warnings: list[str] = []
    export(model, tmp_path / "out", warn=warnings.append)
    assert len(warnings) == 1
    assert "1.0 MB are free" in warnings[0]


def test_a_disk_that_fills_up(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "out")
    with pytest.raises(SpaceError, match="became full"):
        export(model, tmp_path / "out", overwrite=True, target=replace(QUICK, export_vision=full_disk))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]
    open_bundle(tmp_path / "out", verify="always")


def test_damage_found_while_working_leaves_nothing(model: Path, tmp_path: Path) -> None:
    """The headers are sound, so the NaN in the embedding is only seen when it is read."""
    path = model / "model.safetensors"
    data = bytearray(path.read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    start = 8 + int.from_bytes(data[:8], "little") + header["model.embed_tokens.weight"]["data_offsets"][0]
    data[start : start + 2] = b"\xff\x7f"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="NaN"):
        export(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


CALIBRATED = replace(named_recipe("int4", "gptq"), calibration=Calibration("generated", 8))


def test_a_calibrated_export_says_what_it_saw_and_leaves_nothing_else(model: Path, tmp_path: Path) -> None:
    manifest = export(model, tmp_path / "out", recipe=CALIBRATED)
    assert manifest.quantization_method == "rotation + gptq + rtn"  # the vision tower has 8 bits
    assert manifest.provenance.calibration == "8 of generated"
    assert len(manifest.provenance.calibration_sha256 or "") == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]


def test_an_interrupted_calibration_is_kept_and_gone_on_from(model: Path, tmp_path: Path) -> None:
    steps: list[str] = []

    def stop(step: str, _: float) -> None:
        if step.endswith("merger"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(model, tmp_path / "out", recipe=CALIBRATED, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.calibration", "models"]
    export(model, tmp_path / "out", recipe=CALIBRATED, progress=lambda step, _: steps.append(step))
    assert next(step for step in steps if step.startswith("calibrating")).endswith("merger")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]
