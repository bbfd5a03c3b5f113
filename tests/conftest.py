"""What all tests share: bundles that they only read, a cache folder, and the order in which files begin."""

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pocketvl.export.component import ExportSettings
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from tests.support.bundles import COREML_SETTINGS, SHARED, export_for_test
from tests.support.checkpoints import write_checkpoint

# The files that take longest, which begin first, so that no worker is left with one at the end.
LONGEST = (
    "tests/transformers_js/test_transformers_js.py",
    "tests/parity/test_reference.py",
    "tests/tiny/test_accuracy.py",
    "tests/export/executorch/test_vision.py",
    "tests/export/executorch/test_text.py",
    "tests/parity/test_rotated_bundles.py",
    "tests/cli/test_sweep.py",
    "tests/evaluate/sweep/test_sweep.py",
    "tests/export/coreml/test_conversation.py",
    "tests/export/onnx/test_text.py",
    "tests/export/coreml/test_parity.py",
    "tests/runtime/bundle/test_entry_points.py",
    "tests/export/coreml/test_settings.py",
    "tests/optimum/test_optimum_cli.py",
    "tests/export/test_gptq_export.py",
    "tests/parity/test_fp16.py",
)

# Exports make so many objects that at its usual 700 Python's collector of cycles takes a tenth of the time.
gc.set_threshold(50_000)

# The same examples each time, however slow the machine is.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For `--no-loadscope-reorder`, which keeps this order; else xdist begins with the most tests."""
    rank = {config.rootpath / file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look through it."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def shared_exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder for all workers: theirs are beside each other in that of the run."""
    own = tmp_path_factory.getbasetemp()
    SHARED.folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "exports"
    SHARED.folder.mkdir(exist_ok=True)


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


@pytest.fixture(scope="session")
def tiny_onnx_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped tiny model, which points at shapes; with room for the description of tools. In float32:
    answers are the same whatever was in the cache."""
    settings = ExportSettings(buckets=(256,), max_context=1024)
    folder = tmp_path_factory.mktemp("tiny") / "onnx"
    return export_for_test("tiny", folder, settings=settings, target=names.ONNX)


@pytest.fixture(scope="session")
def small_coreml_bundle(small_checkpoint: Path) -> Bundle:
    """In float16, in two chunks of one layer, so that states of two packages have to stay in step."""
    return export_for_test(
        small_checkpoint,
        small_checkpoint.with_name("coreml"),
        settings=replace(COREML_SETTINGS, decoder_chunks=2),
        target=names.COREML,
    )
