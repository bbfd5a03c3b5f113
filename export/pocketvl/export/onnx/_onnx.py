"""onnx and onnx_ir, imported when they are needed, and torch's exporter kept quiet."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pocketvl.runtime.extras import import_failure


def import_onnx() -> Any:
    """The package that reads saved graphs. Raises MissingExtraError."""
    try:
        import onnx
        import onnx_ir  # noqa: F401
        import onnxscript  # noqa: F401
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Exporting to ONNX needs a package", "export") from None
    return onnx


def import_onnx_ir() -> Any:
    """The package that edits graphs. Raises MissingExtraError."""
    import_onnx()
    import onnx_ir

    return onnx_ir


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's notes about torchvision to itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
