"""`pocketvl chat` as someone at a terminal meets it."""

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle

_PATIENCE = 120.0
_HEEDED_WITHIN = 3.0


class Terminal:
    """A `pocketvl chat` in a pseudo-terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.seen = ""
        self.process, self.file = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.environ["TERM"] = "xterm"
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            os.execv(sys.executable, [sys.executable, "-m", "pocketvl", *words])

    def type(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def wait_for(self, text: str) -> None:
        """Until it is printed after what was waited for last."""
        assert self._comes(text, _PATIENCE), f"no {text!r} in {self.seen!r}"

    def interrupt(self, *, until: str | None) -> None:
        """Ctrl-C, until that is printed; None: until it is gone.

        Python loses a signal that comes after the prompt is printed and before it waits for a key.
        """
        for _ in range(int(_PATIENCE / _HEEDED_WITHIN)):
            self.type("\x03")
            if self._comes(until, _HEEDED_WITHIN):
                return
        raise AssertionError(f"no {until!r} in {self.seen!r}")

    def _comes(self, text: str | None, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while text is None or text not in self.seen:
            if not select.select([self.file], [], [], max(0.0, end - time.monotonic()))[0]:
                return False
            try:
                read = os.read(self.file, 4096)
            except OSError:  # its end is closed
                read = b""
            if not read:
                return text is None
            self.seen += read.decode(errors="replace")
        self.seen = self.seen.partition(text)[2]
        return True

    def status(self) -> int:
        """Of the end, which is waited for."""
        assert self._comes(None, _PATIENCE), f"still there after {self.seen!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def chat(small_bundle: Bundle, tmp_path: Path) -> Iterator[Terminal]:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red house.png")
    terminal = Terminal(tmp_path, "chat", str(small_bundle.folder), "--max-tokens", "3", "--temperature", "0")
    terminal.wait_for("Ctrl-D leaves")
    terminal.wait_for("tokens free] > ")
    time.sleep(0.5)  # readline heeds signals a moment after it has printed the prompt
    yield terminal
    try:
        os.kill(terminal.process, signal.SIGKILL)
        os.waitpid(terminal.process, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    os.close(terminal.file)


def test_images_are_completed_and_confirmed_and_ctrl_c_clears_the_line(chat: Terminal) -> None:
    chat.type("/im\tre\t\n")
    chat.wait_for("red house.png: seen as")
    chat.wait_for("tokens; now ask")
    chat.wait_for("> ")
    chat.type("half a ques")
    chat.wait_for("half a ques")
    chat.interrupt(until="Ctrl-C again, or Ctrl-D, leaves")
    chat.wait_for("> ")
    chat.type("What is it?\n")
    chat.wait_for("1 encoded, 0 cached")
    chat.wait_for("> ")
    chat.type("/image nowhere.png\n")
    chat.wait_for("error:")
    chat.wait_for("> ")
    chat.type("/quit\n")
    assert chat.status() == 0


def test_ctrl_c_twice_leaves(chat: Terminal) -> None:
    chat.interrupt(until="Ctrl-C again, or Ctrl-D, leaves")
    chat.wait_for("> ")
    chat.interrupt(until=None)
    assert chat.status() == 0
