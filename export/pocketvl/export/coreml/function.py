"""A graph in torch becomes a function of a Core ML program, in which the stored weights take their places."""

import gc
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pocketvl.export.coreml._coremltools import convert, import_coremltools
from pocketvl.export.coreml.blockwise import StoredWeight
from pocketvl.export.coreml.placeholders import Weights
from pocketvl.export.modules import Linear
from pocketvl.runtime.errors import ExportError
from pocketvl.runtime.manifest import TensorSpec
from pocketvl.runtime.memory import return_memory

# Placeholders of one shape are all alike, and must not become one.
_SKIPPED_PASSES = {"common::const_deduplication"}
# Core ML wants letters, digits and underscores in names; coremltools sees to it in programs with a main only.
_NAMES_PASS = "mil_backend::sanitize_name_strings"


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives; all shapes are static. A state is a buffer of the graph."""

    name: str
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    states: tuple[TensorSpec, ...] = ()


def build_function(graph: nn.Module, signature: Signature, weights: Weights) -> Any:
    """The graph, prepared by placeholders.prepare, as a function of a MIL program in fp16.

    Its layers hold `weights`: quantized ones as constexpr_blockwise_shift_scale, others as constants.
    Raises ExportError where a layer did not arrive in the program.
    """
    program = _convert(graph, signature)
    function = program.functions["main"]
    _place(function, signature.name, weights)
    # Programs are full of cycles, and the placeholders in them are as large as the model in fp16. The C
    # library would keep most of that for itself: 1 GB a function of the 2B model.
    gc.collect()
    return_memory()
    return function


def _convert(graph: nn.Module, signature: Signature) -> Any:
    ct = import_coremltools()
    example = tuple(
        torch.zeros(_shape(spec), dtype=getattr(torch, _traced(spec))) for spec in signature.inputs
    )
    with torch.no_grad():
        traced = torch.jit.trace(graph.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
    passes = ct.PassPipeline()
    passes.remove_passes(_SKIPPED_PASSES)
    passes.append_pass(_NAMES_PASS)
    return convert(
        traced,
        source="pytorch",
        convert_to="milinternal",
        inputs=[_tensor_type(spec) for spec in signature.inputs],
        outputs=[ct.TensorType(name=signature.output.name, dtype=np.dtype(signature.output.dtype).type)],
        states=[
            ct.StateType(ct.TensorType(shape=_shape(s), dtype=np.float16), s.name) for s in signature.states
        ],
        compute_precision=ct.precision.FLOAT16,
        pass_pipeline=passes,
    )


def _place(function: Any, name: str, weights: Weights) -> None:
    constants = {op.name: op for op in function.operations if op.op_type == "const"}
    for path, stored in weights.items():
        # coremltools calls a parameter by its path in the graph and marks what it made of it.
        placeholder = constants.get(f"{_name(path)}_weight_to_fp16")
        if placeholder is None:
            raise ExportError(
                f"{stored.layer} did not arrive in the Core ML function {name}; another coremltools may name"
                " weights differently: install coremltools==9.0."
            )
        _replace(function, placeholder, stored)


def _replace(function: Any, placeholder: Any, stored: StoredWeight) -> None:
    from coremltools.converters.mil.mil import Builder, types
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    old = placeholder.outputs[0]
    if old.shape != stored.data.shape:
        raise ExportError(
            f"{stored.layer} is {list(old.shape)} in the Core ML graph, but its weight is"
            f" {list(stored.data.shape)}; please report this with the recipe."
        )
    # coremltools refuses operators that do not say which module of the graph they are from.
    origin = (
        ScopeInfo(ScopeSource.TORCHSCRIPT_MODULE_NAME, [stored.layer]),
        ScopeInfo(ScopeSource.TORCHSCRIPT_MODULE_TYPE, [Linear.__name__]),
    )
    name = _name(stored.layer)
    with function, Builder.scope(*origin):
        if stored.scales is None:
            new = Builder.const(val=stored.data, name=name, before_op=placeholder)
            new.op.weight_id = stored.layer
        else:
            kind = types.np_int4_dtype if stored.bits.bits == 4 else np.int8
            new = Builder.constexpr_blockwise_shift_scale(
                data=stored.data.view(kind), scale=stored.scales, name=name, before_op=placeholder
            )
            # Constants of one id are written once, whatever functions they stand in.
            new.op.data.op.weight_id = stored.layer
            new.op.scale.op.weight_id = f"{stored.layer}.scales"
    function.replace_uses_of_var_after_op(placeholder, old, new, force_replace=True)
    function.remove_ops([placeholder])


def _name(path: str) -> str:
    return path.replace(".", "_")


def _tensor_type(spec: TensorSpec) -> Any:
    return import_coremltools().TensorType(spec.name, _shape(spec), np.dtype(spec.dtype).type)


def _traced(spec: TensorSpec) -> str:
    """The dtype of the trace: floats are float32 there, and become float16 in the program."""
    return "float32" if spec.dtype == "float16" else spec.dtype


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(int(size) for size in spec.shape)
