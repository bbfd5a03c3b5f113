"""Imports that only work where an extra of pocketvl is installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from pocketvl.runtime.errors import MissingExtraError


@contextmanager
def needs_extra(extra: str, who: str) -> Iterator[None]:
    """Imports inside that fail raise MissingExtraError, a sentence about `who` with the pip command."""
    try:
        yield
    except ImportError as failure:
        raise MissingExtraError(
            f"{who} needs more packages ({failure}); install them with: pip install 'pocketvl[{extra}]'."
        ) from None
