"""coremltools, imported when it is needed."""

import logging
from typing import Any

from pocketvl.runtime.errors import MissingExtraError


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
