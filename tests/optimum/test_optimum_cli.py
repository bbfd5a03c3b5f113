"""The command of optimum's own command line: found by optimum, same options, same export."""

import subprocess
import sys
import zipfile
from argparse import ArgumentParser
from pathlib import Path

import pytest
import typer

from pocketvl.cli.export import export
from pocketvl.cli.optimum_options import add_options, command_words
from pocketvl.quant.recipe import named_recipe
from pocketvl.quant.recipe_file import recipe_toml
from pocketvl.runtime.bundle.open import open_bundle
from tests.support.checkpoints import write_checkpoint
from tests.support.geometries import ONE_LAYER

ROOT = Path(__file__).parents[2]
OPTIMUM_CLI = Path(sys.executable).with_name("optimum-cli")
installed = pytest.mark.skipif(not OPTIMUM_CLI.exists(), reason="needs pip install 'pocketvl[optimum]'")


def optimum_cli(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (OPTIMUM_CLI, "export", "pocketvl", *words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def options() -> set[str]:
    app = typer.Typer(add_completion=False)
    app.command()(export)
    parameters = typer.main.get_command(app).params
    return {name for parameter in parameters for name in parameter.opts if name.startswith("--")}


@installed
def test_help_names_every_option() -> None:
    done = optimum_cli("--help")
    assert done.returncode == 0, done.stderr
    assert len(options()) > 15
    for option in options() - {"--help", "--output"}:
        assert option in done.stdout, option
    assert "--model" in done.stdout


@installed
def test_a_real_export(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "small", ONE_LAYER)
    (tmp_path / "mine.toml").write_text(recipe_toml(named_recipe("fp32")))
    done = optimum_cli(
        *(f"--model={tmp_path / 'small'}", "--target", "onnx", f"--recipe={tmp_path / 'mine.toml'}"),
        *("--buckets", "16"),
        *("--max-context", 64, "--prefill-chunk", 16, tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "out", verify="always").manifest
    assert (manifest.recipe, manifest.buckets, manifest.max_context) == ("fp32", (16,), 64)
    assert manifest.provenance.command == (
        "pocketvl export small --output out --target onnx --recipe mine.toml --buckets 16"
        " --max-context 64 --prefill-chunk 16"
    )


@installed
def test_errors_are_ours(tmp_path: Path) -> None:
    done = optimum_cli("--model", "tiny", "--recipe", "int7", tmp_path / "out")
    assert done.returncode == 2
    assert "int7" in done.stderr
    assert "Traceback" not in done.stderr


def words(*given: str) -> list[str]:
    parser = ArgumentParser()
    add_options(parser)
    return command_words(parser.parse_args(given))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--model", "tiny", "out"], ["export", "tiny", "--output", "out"]),
        (["out", "-m", "a/b", "--overwrite"], ["export", "a/b", "--output", "out", "--overwrite"]),
        (
            ["--lora", "one", "--model", "m", "--lora", "two", "o", "--target", "onnx", "--target", "coreml"],
            [
                "export",
                "m",
                "--output",
                "o",
                "--target",
                "onnx",
                "--target",
                "coreml",
                "--lora",
                "one",
                "--lora",
                "two",
            ],
        ),
        (
            ["-m", "m", "o", "--max-kl=0.01", "--decoder-packages", "no number"],
            ["export", "m", "--output", "o", "--max-kl", "0.01", "--decoder-packages", "no number"],
        ),
    ],
)
def test_words(given: list[str], meant: list[str]) -> None:
    assert words(*given) == meant


@pytest.mark.parametrize("given", [["out"], ["--model", "tiny"], ["--model", "tiny", "out", "--nonsense"]])
def test_wrong_usage(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        words(*given)
    assert left.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_wheel_adds_one_file_to_optimums_namespace(tmp_path: Path) -> None:
    builders = pytest.importorskip("hatchling.builders.wheel", reason="needs hatchling")
    (wheel,) = builders.WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    added = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("optimum/")]
    assert added == ["optimum/commands/register/register_pocketvl.py"]


def test_no_folder_of_the_namespace_has_an_init() -> None:
    names = {path.name for path in (ROOT / "cli" / "optimum").rglob("*.py")}
    assert names == {"register_pocketvl.py"}
