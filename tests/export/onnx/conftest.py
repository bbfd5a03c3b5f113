"""Bundles that several files only read, exported once a process; exports are spared what libraries repeat."""

from pathlib import Path

import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from tests.support.bundles import export_for_test
from tests.support.quick_exports import spare_repetitions


@pytest.fixture(scope="session", autouse=True)
def _quick_exports() -> None:
    spare_repetitions(names.ONNX)


@pytest.fixture(scope="session")
def int4_bundle(small_checkpoint: Path) -> Bundle:
    return export_for_test(
        small_checkpoint, small_checkpoint.with_name("onnx-int4"), "int4", target=names.ONNX
    )


@pytest.fixture(params=["fp32", "int4"])
def any_bundle(request: pytest.FixtureRequest, small_onnx_bundle: Bundle, int4_bundle: Bundle) -> Bundle:
    return {"fp32": small_onnx_bundle, "int4": int4_bundle}[request.param]
