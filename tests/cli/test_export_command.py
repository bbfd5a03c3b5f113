"""The command that a bundle records says what was asked for, but not where it lay on this machine."""

from pathlib import Path

import pytest
import typer

from pocketvl.cli.export import export
from pocketvl.cli.export_command import export_command
from pocketvl.quant.recipe import named_recipe
from pocketvl.quant.recipe_file import recipe_toml
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import open_bundle
from tests.support.checkpoints import write_checkpoint
from tests.support.command_line import run
from tests.support.exporters import QUICK
from tests.support.geometries import ONE_LAYER


def recorded(*words: str) -> str:
    app = typer.Typer(add_completion=False)
    app.command()(export)
    return export_command(typer.main.get_command(app).make_context("export", list(words)))


@pytest.mark.parametrize(
    "words",
    [
        ("--output", "/home/ann/x/out"),
        ("--output=/home/ann/x/out",),
        ("-o", "/home/ann/x/out"),
        ("-o/home/ann/x/out",),
        ("--output=~/x/out/",),
        ("-o../../ann/out",),
    ],
)
def test_every_spelling_of_an_option(words: tuple[str, ...]) -> None:
    assert recorded("tiny", *words) == recorded(*words, "tiny") == "pocketvl export tiny --output out"


@pytest.mark.parametrize("option", ["--lora", "--calibration", "--recipe"])
@pytest.mark.parametrize("value", ["/home/ann/mine.toml", "ann/mine.toml", "~/mine.toml"])
def test_every_option_that_takes_a_path(option: str, value: str) -> None:
    wanted = f"pocketvl export tiny --output o {option} mine.toml"
    for words in ((option, value), (f"{option}={value}",)):
        assert recorded("tiny", "-oo", *words) == wanted


def test_a_revision_keeps_its_slashes() -> None:
    wanted = "pocketvl export a/b --output o --revision refs/pr/3"
    assert recorded("a/b", "-oo", "--revision=refs/pr/3") == wanted


def test_what_was_not_given_is_left_out_and_the_rest_is_kept() -> None:
    words = ("--target=onnx", "--target", "coreml", "--max-kl=0.01", "--lora", "/a/one", "--lora=b/two")
    assert recorded("a/b", "-oo", "--overwrite", *words, "--buckets=16,64", "--calibration=generated:84") == (
        "pocketvl export a/b --output o --target onnx --target coreml --max-kl 0.01"
        " --calibration generated:84 --lora one --lora two --buckets 16,64 --overwrite"
    )


@pytest.mark.parametrize("folder", ["my model", "models--Qwen--Qwen2-VL-2B-Instruct/snapshots/0123"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_folder_is_called_as_the_source_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, absolute: bool
) -> None:
    (tmp_path / "x" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    model = str(tmp_path / "x" / folder) if absolute else f"x/{folder}"
    named = "'my model'" if folder == "my model" else "Qwen/Qwen2-VL-2B-Instruct"
    assert recorded(model, "-oo") == f"pocketvl export {named} --output o"


def test_no_file_of_a_bundle_names_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pocketvl.export.targets.target_for", lambda _: QUICK)
    write_checkpoint(tmp_path / "small", ONE_LAYER)
    (tmp_path / "mine.toml").write_text(recipe_toml(named_recipe("fp32")))
    bundle = tmp_path / "out"
    words = (f"--output={bundle}", f"--recipe={tmp_path / 'mine.toml'}", "--buckets=16", "--max-context=64")
    status, _, err = run(capsys, "export", tmp_path / "small", *words, "--prefill-chunk", 16)
    assert status == 0, err
    assert open_bundle(bundle).manifest.provenance.command == (
        "pocketvl export small --output out --recipe mine.toml --buckets 16 --max-context 64"
        " --prefill-chunk 16"
    )
    for name in (names.MANIFEST_FILE, names.MODEL_CARD):
        assert str(tmp_path) not in (bundle / name).read_text()
