"""Which versions of ONNX the installed onnxruntime takes: it is asked, with a model that does nothing."""

from pathlib import Path
from types import ModuleType

from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.onnx.header import ModelHeader
from pocketvl.runtime.onnx.wire import field

_OLD_IR, _OLD_OPSET = 3, ("", 7)  # any onnxruntime takes these


def check_versions(runtime: ModuleType, path: Path, header: ModelHeader) -> None:
    """Raises EngineError if the model in `path` is of a version that onnxruntime does not know."""
    if not _takes(runtime, header.ir_version, _OLD_OPSET):
        raise _unknown(runtime, path, f"IR version {header.ir_version}")
    for domain, version in header.opsets:
        if not _takes(runtime, _OLD_IR, (domain, version)):
            raise _unknown(runtime, path, f"opset {version} of {domain or 'ai.onnx'}")


def _takes(runtime: ModuleType, ir_version: int, opset: tuple[str, int]) -> bool:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        runtime.InferenceSession(_empty_model(ir_version, opset), options, ["CPUExecutionProvider"])
    except Exception:  # onnxruntime's exceptions have no common class
        return False
    return True


def _empty_model(ir_version: int, opset: tuple[str, int]) -> bytes:
    """A graph without nodes: what goes in, one float, comes out. Fields: onnx/onnx.proto."""
    shape = field(1, field(1, 1))  # one dimension of size 1
    value = field(1, b"x") + field(2, field(1, field(1, 1) + field(2, shape)))  # float32
    graph = field(2, b"empty") + field(11, value) + field(12, value)
    domain, version = opset
    return field(1, ir_version) + field(7, graph) + field(8, field(1, domain.encode()) + field(2, version))


def _unknown(runtime: ModuleType, path: Path, what: str) -> EngineError:
    return EngineError(
        f"{path} is written in {what}, which onnxruntime {runtime.__version__} does not know; install a newer"
        " one with: pip install -U onnxruntime, or export the bundle again."
    )
