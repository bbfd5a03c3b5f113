"""Descriptor 2 is swapped for a moment, and is what it was afterwards."""

import os
import subprocess
import sys

import pytest

from pocketvl.runtime.engines.native_log import captured_stderr

IN_THREADS = """
import os, threading
from pocketvl.runtime.engines.native_log import captured_stderr

def swap():
    for _ in range(200):
        with captured_stderr():
            os.write(2, b"hidden")

threads = [threading.Thread(target=swap) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
os.write(2, b"seen")
"""

WITHOUT_STDERR = """
import sys
from pocketvl.runtime.engines.native_log import captured_stderr
with captured_stderr() as text:
    print(sys.stderr, repr(text()))
"""


def test_what_comes_inside_is_captured(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as text:
        os.write(2, b"inside")
        assert text() == "inside"
    os.write(2, b"outside")
    assert capfd.readouterr().err == "outside"


def test_threads_do_not_cross() -> None:
    done = subprocess.run([sys.executable, "-c", IN_THREADS], check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"seen")


def test_one_thread_may_nest(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as outer:
        with captured_stderr() as inner:
            os.write(2, b"in")
            assert inner() == "in"
        os.write(2, b"out")
        assert outer() == "out"
    assert capfd.readouterr().err == ""


def test_a_process_without_stderr() -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, WITHOUT_STDERR]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"None ''\n")
