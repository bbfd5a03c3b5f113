"""Whether an opened graph takes and gives what the manifest's geometry says; any other is refused."""

from collections.abc import Sequence
from typing import Any

from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.bundle.signature import Signature
from pocketvl.runtime.errors import BundleError

_DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


def check_signature(file: str, signature: Signature, session: Any) -> None:
    """Raises BundleError if an opened session takes or gives anything else."""
    for kind, specs, found in (
        ("input", signature.inputs, session.get_inputs()),
        ("output", signature.outputs, session.get_outputs()),
    ):
        try:
            _check(file, kind, specs, {value.name: value for value in found})
        except UnicodeDecodeError:  # onnxruntime decodes names when they are asked for
            raise _unfit(file, f"has an {kind} whose name is no text") from None


def _check(file: str, kind: str, specs: Sequence[TensorSpec], found: dict[str, Any]) -> None:
    if unknown := found.keys() - {spec.name for spec in specs}:
        raise _unfit(file, f"has the {kind} {min(unknown)!r}, unknown to this pocketvl")
    for spec in specs:
        if spec.name not in found:
            raise _unfit(file, f"lacks the {kind} {spec.name!r}")
        value = found[spec.name]
        dtype = _DTYPES.get(value.type, value.type)
        if dtype != spec.dtype or not _fits(spec.shape, value.shape):
            raise _unfit(
                file,
                f"has the {kind} {spec.name!r} as {dtype} {list(value.shape)}, but the manifest's geometry"
                f" needs {spec.dtype} {list(spec.shape)}",
            )


def _fits(shape: Sequence[int | str], found: Sequence[int | str | None]) -> bool:
    """Equal sizes where both are static; a dynamic one must be dynamic in the graph."""
    if len(shape) != len(found):
        return False
    pairs = zip(shape, found, strict=True)
    return all(
        size == given if isinstance(size, int) else not isinstance(given, int) for size, given in pairs
    )


def _unfit(file: str, what: str) -> BundleError:
    return BundleError(f"{file} {what}; export the bundle again.")
