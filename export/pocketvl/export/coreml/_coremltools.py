"""coremltools, imported when it is needed and kept quiet."""

import io
import logging
from contextlib import redirect_stderr
from typing import Any

from pocketvl.runtime.errors import ExportError, MissingExtraError


def import_coremltools() -> Any:
    """The package, told to keep its warnings of untested versions to itself. Raises MissingExtraError."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    try:
        import coremltools
    except ImportError as error:
        raise MissingExtraError(
            f"Exporting to Core ML needs more packages ({error}); install them with:"
            " pip install 'pocketvl[export,coreml]'."
        ) from None
    return coremltools


def convert(model: Any, **options: Any) -> Any:
    """coremltools.convert for iOS 18 and macOS 15, without its progress bars. Raises ExportError."""
    ct = import_coremltools()
    try:
        with redirect_stderr(io.StringIO()):
            return ct.convert(model, minimum_deployment_target=ct.target.iOS18, **options)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise ExportError(
            f"coremltools could not convert the graph ({error}); install coremltools==9.0."
        ) from error
