"""The protobuf classes that coremltools ships, without coremltools itself."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.extras import import_failure

_MESSAGES = "pocketvl_coremltools_proto"


def read_model(path: Path) -> Any:
    """The message CoreML.Specification.Model in the file `path`.

    Raises MissingExtraError without coremltools, BundleError for a file that cannot be read or parsed.
    """
    model = _messages().Model()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); export the bundle again.") from None
    except Exception as error:  # protobuf's DecodeError; its module may be a C extension
        raise BundleError(
            f"{path} is not a Core ML model ({error}); copy the bundle again or export it again."
        ) from None
    return model


def _messages() -> ModuleType:
    """coremltools.proto.Model_pb2, loaded by its place: `import coremltools` imports torch."""
    try:
        if _MESSAGES not in sys.modules:
            _load_package()
        return importlib.import_module(f"{_MESSAGES}.Model_pb2")
    except (ImportError, OSError, MemoryError) as error:
        sys.modules.pop(_MESSAGES, None)
        raise import_failure(error, "Core ML bundles need coremltools", "coreml") from None


def _load_package() -> None:
    found = importlib.util.find_spec("coremltools")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'coremltools'", name="coremltools")
    folder = Path(next(iter(found.submodule_search_locations))) / "proto"
    spec = importlib.util.spec_from_file_location(
        _MESSAGES, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no protobuf classes")
    package = importlib.util.module_from_spec(spec)
    sys.modules[_MESSAGES] = package
    spec.loader.exec_module(package)
