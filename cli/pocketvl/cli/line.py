"""A line typed at a prompt: Ctrl-C clears it, Tab completes commands and paths."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pocketvl.cli.console import note


def read_line(prompt: str) -> str | None:
    """None at the end of input, or where Ctrl-C comes twice in a row."""
    cleared = False
    while True:
        try:
            return input(prompt)
        except EOFError:
            _end_line()
            return None
        except KeyboardInterrupt:
            _end_line()
            if cleared:
                return None
            cleared = True
            note("Ctrl-C again, or Ctrl-D, leaves")


def complete_with_tab(commands: Sequence[str]) -> None:
    """From now on Tab completes a command at the start of a line, and paths after it.

    Does nothing where Python has no readline.
    """
    try:
        import readline
    except ImportError:
        return

    def complete(word: str, number: int) -> str | None:
        found = completions(readline.get_line_buffer(), word, commands)
        return found[number] if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n")
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def completions(line: str, word: str, commands: Sequence[str]) -> list[str]:
    """What `word`, the last of `line`, can become; folders end in a slash, spaces are escaped."""
    if not line.startswith("/"):
        return []
    if line == word:
        return [command for command in commands if command.startswith(word)]
    # The shell's own rule: what is before the last slash stays as it was typed.
    folder, slash, start = word.replace("\\ ", " ").rpartition("/")
    try:
        entries = sorted(Path(folder or slash or ".").expanduser().iterdir())
    except OSError:
        return []
    found = [entry for entry in entries if entry.name.startswith(start)]
    if not start:
        found = [entry for entry in found if not entry.name.startswith(".")]
    names = [f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}" for entry in found]
    return [name.replace(" ", "\\ ") for name in names]


def _end_line() -> None:
    sys.stdout.write("\n")
    sys.stdout.flush()
