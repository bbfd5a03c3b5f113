"""A call beside others gives its value, or fails where it is asked for it."""

import threading

import pytest

from pocketvl.export.isolated import Later


def test_runs_before_it_is_asked_for() -> None:
    ran = threading.Event()
    later = Later(lambda: ran.set() or 7)
    assert ran.wait(timeout=10)
    assert later.result() == 7


def test_fails_when_it_is_asked_for() -> None:
    def fail() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Later(fail).result()
