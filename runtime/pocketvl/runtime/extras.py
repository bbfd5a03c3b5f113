"""What to say where a package that an extra of pocketvl installs cannot be imported."""

import sys
from importlib.util import find_spec

from pocketvl.runtime.errors import MissingExtraError, PocketVLError


def import_failure(error: ImportError | OSError | MemoryError, needs: str, extra: str) -> PocketVLError:
    """`needs` says who needs what. MissingExtraError if a package is not installed; else it does not load:
    memory ran out, a file of it is damaged, or two packages do not fit together. An import within pocketvl
    that fails is a fault of pocketvl's, which no installing mends: it is raised as it is.
    """
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if package == "pocketvl":
        raise error
    if isinstance(error, ModuleNotFoundError) and not _is_installed(package):
        return MissingExtraError(f"{needs} ({error}); install it with: pip install 'pocketvl[{extra}]'.")
    reason = str(error) or type(error).__name__
    return PocketVLError(
        f"{needs}, which is installed but does not load ({reason}); free some memory, or install it again"
        f" with: pip install --force-reinstall 'pocketvl[{extra}]'."
    )


def _is_installed(package: str) -> bool:
    if sys.modules.get(package) is not None:
        return True
    try:
        return bool(package) and find_spec(package) is not None
    except (ImportError, ValueError):
        return False
