"""Refuses a .onnx file before onnxruntime sees it."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.header import ExternalData, ModelHeader, read_header


def check_graph(bundle: Bundle, file: str) -> ModelHeader:
    """check_model for a file of the manifest, whose weights must stand in files of the manifest, too."""
    return check_model(bundle.folder, file, {record.path: record.size for record in bundle.manifest.files})


def check_graphs(bundle: Bundle) -> None:
    """check_graph for all entry points."""
    for entry in bundle.manifest.entry_points:
        check_graph(bundle, entry.file)


def check_model(folder: Path, file: str, sizes: Mapping[str, int]) -> ModelHeader:
    """The header of the model `file`, all of whose weights stand in files of `sizes`.

    file and the keys of sizes are paths inside folder, sizes in bytes. Raises BundleError for a file that
    is no model, or whose data lie outside the folder, in a file that is not there, or behind its end.
    """
    header = read_header(folder / file)
    for tensor in header.external:
        path = _data_file(folder, file, tensor)
        if path not in sizes:
            raise BundleError(
                f"{folder / file} needs the weights in {folder / path}, which is missing; copy the whole"
                " bundle again or export it again."
            )
        if tensor.end > sizes[path]:
            raise BundleError(
                f"{folder / path} has {sizes[path]} bytes, but {tensor.tensor!r} of {file} ends at byte"
                f" {tensor.end}; the file is cut off: copy the bundle again or export it again."
            )
    return header


def _data_file(folder: Path, file: str, tensor: ExternalData) -> str:
    location = PurePosixPath(tensor.location)
    if not tensor.location or "\\" in tensor.location or location.is_absolute() or ".." in location.parts:
        raise BundleError(
            f"{folder / file} takes {tensor.tensor!r} from {tensor.location!r}, which is no file of the"
            " bundle; export the bundle again."
        )
    return str(PurePosixPath(file).parent / location)
