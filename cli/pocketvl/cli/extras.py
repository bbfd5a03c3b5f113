"""Imports that only work where an extra of pocketvl is installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from pocketvl.runtime.extras import import_failure


@contextmanager
def needs_extra(extra: str, who: str) -> Iterator[None]:
    """Imports inside that fail become a sentence about `who`: MissingExtraError with the pip command where a
    package is not installed, PocketVLError where it does not load."""
    try:
        yield
    except (ImportError, OSError, MemoryError) as failure:
        raise import_failure(failure, f"{who} needs a package", extra) from None
