"""From a checkpoint to a bundle: graphs, artifacts, manifest.

    from pocketvl.export import export_bundle

    export_bundle("Qwen/Qwen2-VL-2B-Instruct", "out", target="onnx", recipe="int4", calibration="photos")

It is imported when first used: torch takes seconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvl.export.targets import export_bundle

__all__ = ["export_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pocketvl.export import targets

    return getattr(targets, name)


def __dir__() -> list[str]:
    return __all__
