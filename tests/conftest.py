"""Bundles that several files only read: exported once a process. No test sees the user's cache folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketvl.runtime import names
from pocketvl.runtime.bundle import Bundle
from tests.support.bundles import export_for_test
from tests.support.checkpoints import write_checkpoint


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of SMALL_GEOMETRY."""
    folder = tmp_path_factory.mktemp("small") / "checkpoint"
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def small_bundle(small_checkpoint: Path) -> Bundle:
    """For ExecuTorch, in float32."""
    return export_for_test(small_checkpoint, small_checkpoint.with_name("fp32"))


@pytest.fixture(scope="session")
def small_onnx_bundle(small_checkpoint: Path) -> Bundle:
    """In float32: products of quantized activations differ a little by the number of rows."""
    return export_for_test(small_checkpoint, small_checkpoint.with_name("onnx"), target=names.ONNX)
