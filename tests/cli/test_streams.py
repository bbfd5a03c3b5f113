"""Outputs that cannot be written: a sentence and a status, whatever the command."""

import subprocess
import sys
from pathlib import Path

import pytest

from pocketvl.cli import app
from pocketvl.runtime.bundle.open import Bundle
from tests.support.command_line import run

COMMANDS = {
    "version": ["--version"],
    "help": ["--help"],
    "help of a command": ["bench", "--help"],
    "table": ["inspect", "{bundle}"],
    "json": ["inspect", "{bundle}", "--json"],
}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_full_disk_behind_stdout(name: str, small_bundle: Bundle) -> None:
    words = [word.format(bundle=small_bundle.folder) for word in COMMANDS[name]]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pocketvl.cli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert (done.stderr.count("\n"), "unexpected" in done.stderr) == (1, False), done.stderr


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (OSError(28, "No space left on device"), "Reading or writing failed: No space left on device."),
        (PermissionError(13, "Permission denied", "/x/y"), "/x/y: Permission denied."),
        (OSError("libtorch.so: failed to map segment"), "libtorch.so: failed to map segment."),
        (MemoryError(), "Memory ran out;"),
    ],
)
def test_what_the_system_refuses_is_no_fault_to_report(
    failure: Exception,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(app, "app", fail)
    status, _, err = run(capsys, "inspect", tmp_path)
    assert status == 1
    assert sentence in err
    assert "unexpected" not in err


LONG = "x" * 300
PLACES = {
    "export, long name": (["export", "{model}", "-o", LONG], "choose a shorter one"),
    "export, name that leaves no room": (["export", "{model}", "-o", "x" * 240], "choose a shorter one"),
    "export, below a file": (["export", "{model}", "-o", "{file}/deep/er"], "is a file, so"),
    "export, inside a bundle": (["export", "{model}", "-o", "{bundle}/more"], "choose a folder outside"),
    "export, several inside a bundle": (
        ["export", "{model}", "-o", "{bundle}", "--target", "onnx", "--target", "executorch"],
        "choose a folder outside",
    ),
    "demo, long name": (["demo", "-o", LONG], "File name too long"),
    "demo, below a file": (["demo", "-o", "{file}/deep"], "Not a directory"),
    "sweep, long name": (
        ["sweep", "{model}", "-o", LONG, *["--recipe", "int8", "--data", "generated:1"]],
        "name",
    ),
    "sweep, inside a bundle": (
        ["sweep", "{model}", "-o", "{bundle}/sweep", *["--recipe", "int8", "--data", "generated:1"]],
        "choose a folder outside",
    ),
    "recipe, long name": (["recipe", "{model}", "-o", f"{LONG}.toml", "--max-kl", "1"], "File name too long"),
    "recipe, no folder": (
        ["recipe", "{model}", "-o", "{file}/r.toml", "--max-kl", "1"],
        "choose another place",
    ),
    "bundle, long name": (["inspect", LONG], "File name too long"),
}


@pytest.mark.parametrize("name", list(PLACES))
def test_a_place_that_cannot_be_written(
    name: str,
    small_checkpoint: Path,
    small_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    words, sentence = PLACES[name]
    names = {"model": small_checkpoint, "bundle": small_bundle.folder, "file": tmp_path / "file"}
    status, _, err = run(capsys, *(word.format(**names) for word in words))
    assert status in (1, 2)
    assert sentence in err
    assert "unexpected" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("output", ["a\nb", "~nobody-of-this-name", "."])
def test_odd_names_of_an_output(
    output: str,
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None of them is refused; what comes next is."""
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "export", small_checkpoint, "-o", output, "--recipe", "int3")
    assert status == 2
    assert "'int3' is no recipe" in err


def test_an_output_of_the_home_folder(
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """bash leaves --output=~/x as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "taken").write_text("mine")
    for command in ("export", "sweep"):
        more = ("--recipe", "int8", *(("--data", "generated:1") if command == "sweep" else ()))
        status, _, err = run(capsys, command, small_checkpoint, "--output=~/taken", *more)
        assert status == 1
        assert str(tmp_path / "taken") in err
