"""onnxruntime, its sessions, and its errors as sentences."""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketvl.runtime.engines.native_log import captured_stderr
from pocketvl.runtime.errors import EngineError
from pocketvl.runtime.extras import import_failure

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : ")
# What it says of a model of a version that it does not know.
_NEWER = re.compile(
    r"Unsupported model IR version: (\d+)|Opset (\d+) is under development.*support for domain (\S+) is",
    re.DOTALL,
)
_FATAL = 4  # log severity: errors come as exceptions, too
_SPIN_MICROSECONDS = "10"


def import_runtime() -> ModuleType:
    """The package onnxruntime. Raises MissingExtraError."""
    try:
        with captured_stderr():  # it looks for graphics cards and says what it does not find
            return importlib.import_module("onnxruntime")
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "This bundle needs onnxruntime", "onnx") from None


def open_session(runtime: ModuleType, path: Path, threads: int | None) -> Any:
    """An InferenceSession over a model file. threads None: one a physical core. Raises EngineError.

    onnxruntime itself refuses data files that are missing, too short or outside of the model's folder.
    """
    try:
        with captured_stderr():
            return runtime.InferenceSession(str(path), _options(runtime, threads), ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common class
        if newer := _NEWER.search(str(error)):
            ir_version, opset, domain = newer.groups()
            written = f"IR version {ir_version}" if ir_version else f"opset {opset} of {domain}"
            raise EngineError(
                f"{path} is written in {written}, which onnxruntime {runtime.__version__} does not know;"
                " install a newer one with: pip install -U onnxruntime, or export the bundle again."
            ) from None
        raise EngineError(
            f"onnxruntime {runtime.__version__} cannot load {path}: {reason(error)}. Copy the whole bundle"
            " again or export it again."
        ) from None


def reason(error: Exception) -> str:
    """What onnxruntime says, on one line and without a full stop."""
    return _PREFIX.sub("", " ".join(str(error).split())).rstrip(".")


def _options(runtime: ModuleType, threads: int | None) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    # An arena keeps the activations of the longest call for good, a pattern allocates those of a whole call
    # at once: 0.1 GB more for 256 tokens of the 2B model, and no faster.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads that sleep between operators take 4 % longer over a token (2B decoder, 2 threads); threads that
    # spin for longer than this take half of the speed where another process wants the core.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    return options
