"""Exports here are spared what their libraries repeat."""

import pytest

from pocketvl.runtime import names
from tests.support.quick_exports import spare_repetitions


@pytest.fixture(scope="session", autouse=True)
def _quick_exports() -> None:
    spare_repetitions(names.COREML)
