"""Core ML bundles with their programs in float32: what is left of a difference if float16 rounds nothing."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvl.runtime.bundle.manifest import EntryPoint, TensorSpec
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engines.coreml.layout import model_path
from pocketvl.runtime.engines.coreml.protobuf import read_model

_FLOAT16, _FLOAT32 = 10, 11  # of MIL's DataType
_CONSTANT = "const"  # weights keep what is stored: const, constexpr_blockwise_shift_scale


def in_float32(bundle: Bundle, folder: Path) -> Bundle:
    """A copy in `folder` with the same weights, whose states, inputs, outputs and values are float32.

    Core ML itself has no such states: for the evaluator alone. open_bundle would refuse it.
    """
    shutil.copytree(bundle.folder, folder)
    for package in folder.glob("*.mlpackage"):
        file = model_path(package)
        model = read_model(file)
        for function in model.mlProgram.functions.values():
            for port in function.inputs:
                _widen(port.type)
            for block in function.block_specializations.values():
                for operation in block.operations:
                    if not operation.type.startswith(_CONSTANT):
                        for port in operation.outputs:
                            _widen(port.type)
        file.write_bytes(model.SerializeToString())
    entries = tuple(_wide_entry(entry) for entry in bundle.manifest.entry_points)
    return Bundle(folder, replace(bundle.manifest, entry_points=entries))


def _widen(kind: Any) -> None:
    """kind: a ValueType, of a tensor or of a state that wraps one."""
    if kind.WhichOneof("type") == "stateType":
        kind = kind.stateType.wrappedType
    if kind.tensorType.dataType == _FLOAT16:
        kind.tensorType.dataType = _FLOAT32


def _wide_entry(entry: EntryPoint) -> EntryPoint:
    return replace(entry, inputs=_wide(entry.inputs), outputs=_wide(entry.outputs))


def _wide(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, dtype="float32") if spec.dtype == "float16" else spec for spec in specs)
