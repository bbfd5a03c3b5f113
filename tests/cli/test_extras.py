"""What a command says where a package of an extra is missing."""

import pytest

from pocketvl.cli.extras import needs_extra
from pocketvl.runtime.errors import MissingExtraError


def test_the_missing_package_and_the_pip_command_are_named() -> None:
    sentence = r"^sweep needs more packages \(No module named 'absent'\); .* pip install 'pocketvl\[all\]'\.$"
    with pytest.raises(MissingExtraError, match=sentence), needs_extra("all", "sweep"):
        import absent  # type: ignore[import-not-found]  # noqa: F401


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), needs_extra("all", "sweep"):
        _ = 1 / 0
