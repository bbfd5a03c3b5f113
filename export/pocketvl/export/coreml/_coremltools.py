"""coremltools, imported when it is needed and kept quiet."""

import io
import logging
from contextlib import redirect_stderr
from typing import Any

from pocketvl.runtime.errors import ExportError, SpaceError
from pocketvl.runtime.extras import import_failure


def import_coremltools() -> Any:
    """The package, told to keep its warnings of untested versions to itself. Raises MissingExtraError."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    try:
        import coremltools
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Exporting to Core ML needs coremltools", "export,coreml") from None
    return coremltools


def convert(model: Any, **options: Any) -> Any:
    """coremltools.convert for iOS 18 and macOS 15, without its progress bars. Raises ExportError."""
    ct = import_coremltools()
    try:
        with redirect_stderr(io.StringIO()):
            return ct.convert(model, minimum_deployment_target=ct.target.iOS18, **options)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        if "FileWriter" in str(error):  # all that it says of a full disk
            raise SpaceError(
                f"coremltools could not write its files ({error}); free some space for temporary files, or"
                " name a folder with more in TMPDIR."
            ) from error
        raise ExportError(
            f"coremltools could not convert the graph ({error}); install coremltools==9.0."
        ) from error
