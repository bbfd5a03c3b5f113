"""The prompt of `pocketvl chat`: what Tab offers, and what Ctrl-C does."""

from pathlib import Path

import pytest

from pocketvl.cli import line
from pocketvl.cli.line import completions, read_line

COMMANDS = ("/image ", "/reset", "/quit")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a b.png", "apple.jpg", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "old.png").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/", ["/image ", "/reset", "/quit"]),
        ("/i", ["/image "]),
        ("What is", []),
        ("/image ap", ["apple.jpg"]),
        ("/image a", ["a\\ b.png", "apple.jpg", "archive/"]),
        ("/image ", ["a\\ b.png", "apple.jpg", "archive/"]),
        ("/image .h", [".hidden"]),
        ("/image archive/", ["archive/old.png"]),
        ("/image x.png ./ap", ["./apple.jpg"]),
        ("/image ~/ap", ["~/apple.jpg"]),
        ("/image nowhere/x", []),
        ("/image [", []),
    ],
)
@pytest.mark.usefixtures("folder")
def test_tab_completes_commands_and_paths(typed: str, offered: list[str]) -> None:
    assert completions(typed, typed.rpartition(" ")[2], COMMANDS) == offered


def test_tab_completes_below_the_root(folder: Path) -> None:
    assert f"{folder}/apple.jpg" in completions(f"/image {folder}/ap", f"{folder}/ap", COMMANDS)
    assert "/tmp/" in completions("/image /tm", "/tm", COMMANDS)


def test_ctrl_c_clears_the_line_and_leaves_only_the_second_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter([KeyboardInterrupt, "hello", KeyboardInterrupt, KeyboardInterrupt])

    def read(_: str) -> str:
        entry = next(typed)
        if isinstance(entry, str):
            return entry
        raise entry

    monkeypatch.setattr(line, "input", read, raising=False)
    assert [read_line("> "), read_line("> ")] == ["hello", None]
    assert "Ctrl-C again, or Ctrl-D, leaves" in capsys.readouterr().err


def test_the_end_of_input_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(line, "input", read, raising=False)
    assert read_line("> ") is None
