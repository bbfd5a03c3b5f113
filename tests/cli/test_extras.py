"""What a command says where a package of an extra is missing, and where one is there but does not load."""

import sys
from pathlib import Path

import pytest

from pocketvl.cli.extras import needs_extra
from pocketvl.runtime.errors import MissingExtraError, PocketVLError
from pocketvl.runtime.extras import import_failure


def test_the_missing_package_and_the_pip_command_are_named() -> None:
    sentence = r"^sweep needs a package \(No module named 'absent'\); .* pip install 'pocketvl\[all\]'\.$"
    with pytest.raises(MissingExtraError, match=sentence), needs_extra("all", "sweep"):
        import absent  # type: ignore[import-not-found]  # noqa: F401


def test_a_package_may_be_installed_and_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory runs out while a shared library is mapped; the file of another kind stands for it."""
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("from heavy import core")
    (tmp_path / "heavy" / "core.abi3.so").write_bytes(b"no library")
    monkeypatch.syspath_prepend(tmp_path)
    refused = pytest.raises(PocketVLError, match="installed but does not load")
    with refused as caught, needs_extra("all", "sweep"):
        import heavy  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)
    assert "core.abi3.so" in str(caught.value)


def test_a_fault_of_our_own_imports_is_no_missing_extra() -> None:
    """Installing again would not mend it, and the traceback of --debug would be lost."""
    with pytest.raises(ImportError, match="cannot import name 'absent'"), needs_extra("all", "sweep"):
        from pocketvl.runtime.errors import absent  # type: ignore[attr-defined]  # noqa: F401


def test_a_part_that_is_missing_from_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "__init__.py").write_text("import torn.part")
    monkeypatch.syspath_prepend(tmp_path)
    refused = pytest.raises(PocketVLError, match=r"does not load \(No module named 'torn.part'\)")
    with refused, needs_extra("all", "sweep"):
        import torn  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize(
    "error",
    [
        OSError("libtorch_cpu.so: failed to map segment from shared object"),
        MemoryError(),
        ImportError("libx.so: cannot allocate memory", name="numpy"),
    ],
)
def test_memory_that_ran_out_is_no_missing_package(error: ImportError | OSError | MemoryError) -> None:
    failure = import_failure(error, "This bundle needs ExecuTorch", "executorch")
    assert not isinstance(failure, MissingExtraError)
    assert "free some memory" in str(failure)


def test_a_package_that_is_blocked_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError), needs_extra("onnx", "ask"):
        import onnxruntime  # noqa: F401


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), needs_extra("all", "sweep"):
        _ = 1 / 0
