"""The model card: metadata the hub reads, figures from the manifest, and a place for parity."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pocketvl.export.bundle.model_card import card_text, check_card, update_parity, write_card
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import FileRecord, LayerGroup, Manifest
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.errors import BundleError
from tests.support.checkpoints import write_checkpoint
from tests.support.exporters import QUICK
from tests.support.manifests import small_manifest
from tests.support.odd_files import ODD, odd_file

FILES = tuple(
    FileRecord(path, size, "0" * 64)
    for path, size in ((names.TEXT_DECODER_PTE, 2_000_000), (names.VISION_ENCODER_PTE, 1_250_000))
)
LAYERS = (
    LayerGroup(names.VISION_ENCODER, 8, None, 13, 123_456, 130_000),
    LayerGroup(names.TEXT_DECODER, 4, 32, 14, 98_765, 60_000),
)


def manifest(source: str = "Qwen/Qwen2-VL-2B-Instruct", **changes: Any) -> Manifest:
    small = small_manifest(FILES)
    return replace(
        small, **{"layers": LAYERS, "provenance": replace(small.provenance, source=source)} | changes
    )


def metadata(text: str) -> dict[str, Any]:
    _, block, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(block))


def test_metadata() -> None:
    assert metadata(card_text(manifest(), {"license": "apache-2.0"})) == {
        "license": "apache-2.0",
        "base_model": "Qwen/Qwen2-VL-2B-Instruct",
        "base_model_relation": "quantized",
        "pipeline_tag": "image-text-to-text",
        "library_name": "executorch",
        "tags": ["pocketvl", "qwen2_vl", "executorch", "4-bit", "8-bit"],
    }


@pytest.mark.parametrize("source", ["tiny", "my-checkpoint", "tiny + adapter"])
def test_a_source_that_is_not_on_the_hub_is_no_base_model(source: str) -> None:
    text = card_text(manifest(source), {})
    assert "base_model" not in metadata(text)
    assert "license" not in metadata(text)
    assert "The licence is that of the model" in text


def test_a_merged_adapter_keeps_the_base_model() -> None:
    assert metadata(card_text(manifest("a/b + mine"), {}))["base_model"] == "a/b"


def test_float_weights_are_not_called_quantized() -> None:
    layers = (LayerGroup(names.TEXT_DECODER, 32, None, 1, 100, 400),)
    found = metadata(card_text(manifest(layers=layers, quantization_method="none"), {}))
    assert "base_model_relation" not in found
    assert found["tags"] == ["pocketvl", "qwen2_vl", "executorch"]


@pytest.mark.parametrize("target", names.TARGETS)
def test_the_command_to_install_it_works(target: str) -> None:
    """pocketvl is on no index: from a clone, with an extra that there is."""
    text = card_text(manifest(target=target), {})
    (extra,) = re.findall(r"^pip install '\.(?:\[(\w+)\])?'$", text, re.MULTILINE)
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert extra in ("", *project["optional-dependencies"])
    assert "from a clone of its repository, in that folder" in text


def test_figures_come_from_the_manifest() -> None:
    text = card_text(manifest(), {})
    assert "| vision_encoder | 8 |  | 13 | 123,456 | 0.1 MB |" in text
    assert "| text_decoder | 4 | 32 | 14 | 98,765 | 0.1 MB |" in text
    assert "| `text_decoder.pte` | 2.0 MB |" in text
    assert "3.2 MB" in text  # the whole
    assert "scaled to 3,136 to 12,544 pixels, sides in steps of 28" in text  # 64 patches of 14 x 14


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("none", "No layer is quantized."),
        ("rtn", "Integers were rounded to nearest."),
        ("gptq checkpoint + rtn", "kept as a GPTQ checkpoint had them or rounded to nearest."),
    ],
)
def test_how_integers_were_chosen(method: str, said: str) -> None:
    assert said in card_text(manifest(quantization_method=method), {})


def test_calibration_is_named() -> None:
    provenance = replace(
        manifest().provenance, calibration="128 of street.jsonl", calibration_sha256="ab" * 32
    )
    text = card_text(manifest(provenance=provenance), {})
    assert f"Calibrated on 128 of street.jsonl (sha256 `{'ab' * 32}`)." in text
    assert "Calibrated" not in card_text(manifest(), {})


@pytest.mark.parametrize("target", names.TARGETS)
def test_every_target_has_a_card(target: str) -> None:
    text = card_text(manifest(target=target), {})
    assert target in metadata(text)["tags"]
    assert ("transformers.js" in text) == (target == names.ONNX)


def test_a_name_cannot_break_the_metadata() -> None:
    strange = manifest('x"\n---\nlicense: mit')
    assert "license" not in metadata(card_text(strange, {}))


def test_the_licence_comes_from_the_sources_own_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: tongyi\ntags: [x]\n---\n# Model")
    (tmp_path / "out").mkdir()
    write_card(tmp_path / "out", manifest(), tmp_path)
    found = metadata((tmp_path / "out" / "README.md").read_text())
    assert (found["license"], found["license_name"]) == ("other", "tongyi")
    assert "x" not in found["tags"]


@pytest.mark.parametrize(
    "card", [b"no metadata", b"---\n[broken\n---\n", b"---\n- a list\n---\n", b"\xff\xfe"]
)
def test_a_source_card_that_says_nothing(tmp_path: Path, card: bytes) -> None:
    (tmp_path / "README.md").write_bytes(card)
    (tmp_path / "out").mkdir()
    write_card(tmp_path / "out", manifest(), tmp_path)
    assert "license" not in metadata((tmp_path / "out" / "README.md").read_text())


@pytest.mark.parametrize("kind", ODD)
def test_cards_that_never_end(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").mkdir()
    odd_file(tmp_path, kind, "README.md")
    write_card(tmp_path / "out", manifest(), tmp_path)
    assert "license" not in metadata((tmp_path / "out" / "README.md").read_text())
    with pytest.raises(BundleError, match=rf"README\.md {ODD[kind].replace('more', 'has .* more')}"):
        check_card(tmp_path)


def test_parity_is_written_into_its_place(tmp_path: Path) -> None:
    write_card(tmp_path, manifest(), tmp_path)
    card = tmp_path / "README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    check_card(tmp_path)
    update_parity(tmp_path, "| first |")
    update_parity(tmp_path, "| second |")
    text = card.read_text()
    assert "| second |" in text
    assert "| first |" not in text
    assert "Not measured yet" not in text
    assert text.endswith("\nMy own words.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "text", [None, "# mine", "<!-- parity --> open", "<!-- end of parity --><!-- parity -->"]
)
def test_a_card_without_the_place_is_left_alone(tmp_path: Path, text: str | None) -> None:
    card = tmp_path / "README.md"
    if text is not None:
        card.write_text(text)
    with pytest.raises(BundleError, match=r"README\.md"):
        check_card(tmp_path)
    with pytest.raises(BundleError, match=r"README\.md"):
        update_parity(tmp_path, "table")
    assert text is None or card.read_text() == text


def test_an_export_writes_its_card(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "small", tied=False)
    for _ in range(2):  # the second time it is there already, and no foreign file
        written = export_bundle(
            str(tmp_path / "small"),
            tmp_path / "out",
            recipe=named_recipe("int8"),
            settings=ExportSettings(),
            command="pocketvl export small",
            target=QUICK,
            overwrite=True,
        )
    text = (tmp_path / "out" / "README.md").read_text()
    assert text == card_text(written, {})
    assert open_bundle(tmp_path / "out", verify="always").manifest == written
    assert str(tmp_path) not in text
