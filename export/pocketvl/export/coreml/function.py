"""A graph in torch becomes a function of a Core ML program, in which the stored weights take their places.

Graphs are traced without their weights: every linear layer gets zeros that take no memory. What is stored
for it is the recipe's integers with fp16 scales, or fp16.
"""

import gc
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export import weights
from pocketvl.export.component import TensorSource
from pocketvl.export.coreml.fp16 import scale_norms
from pocketvl.export.coreml.package import convert, import_coremltools
from pocketvl.export.modules import Linear
from pocketvl.export.weights import Filled, decided, fill_small, float_weight
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.manifest import EntryPoint, TensorSpec
from pocketvl.runtime.engines.memory import return_memory
from pocketvl.runtime.errors import ExportError

# Placeholders of one shape are all alike, and must not become one.
_SKIPPED_PASSES = {"common::const_deduplication"}
# Core ML wants letters, digits and underscores in names; coremltools sees to it in programs with a main only.
_NAMES_PASS = "mil_backend::sanitize_name_strings"


@dataclass(frozen=True)
class StoredWeight:
    """weight[o, i] = data[o, i] * scales[o, i // group], or data itself where there are no scales.

    layer: the name that recipes know it by. data: int8 (out, in), in -8..7 for 4 bits; float16 (out, in)
    for 16 and 32. scales: float16 (out, groups).
    """

    layer: str
    precision: Precision
    data: NDArray[np.int8] | NDArray[np.float16]
    scales: NDArray[np.float16] | None


def stored_quantized(layer: str, precision: Precision, quantized: QuantizedLinear) -> StoredWeight:
    """The same integers; their scales in float16.

    Core ML's weights have the precision of their scales, and its Neural Engine computes in fp16 alone.
    Scales of 4 bits are bfloat16's, which float16 holds exactly from 2^-17 on; others are rounded by at most
    2^-11 of their size from 2^-14 on, and by 2^-25 below, where a weight of 127 steps is off by 4e-6.
    Raises ExportError for scales that float16 does not hold.
    """
    scales = as_float16(quantized.scales, f"the scales of {layer}")
    # A scale that fell to 0 means weights below 4e-6, which are then 0.
    return StoredWeight(layer, precision, quantized.integers, scales)


def stored_float(layer: str, precision: Precision, weight: torch.Tensor) -> StoredWeight:
    """A weight (out, in) that stays float, as fp16 even of 32 bits. Raises ExportError beyond its range."""
    return StoredWeight(layer, precision, as_float16(weight.numpy(), f"the weight of {layer}"), None)


def as_float16(values: NDArray[np.float32], what: str) -> NDArray[np.float16]:
    """Rounded to float16. Raises ExportError where a value is beyond its 65504."""
    return weights.as_float16(
        values, what, "Core ML computes in nothing wider: export this model for executorch"
    )


Weights = dict[str, StoredWeight]  # path of the leaf in its graph -> what it is to hold


def zeros(*shape: int) -> nn.Parameter:
    """A parameter of one element that looks like `shape`."""
    return nn.Parameter(torch.zeros(1).expand(shape), requires_grad=False)


def prepare(graph: nn.Module, source: TensorSource, method: str, filled: Filled) -> Weights:
    """Make a graph ready to be traced, and decide what its linear layers are to hold.

    Norms and biases get the checkpoint's values, linear layers zeros. One float tensor of the checkpoint is
    held at a time. filled is called with the path of each linear layer that is decided. Raises
    CheckpointError, RecipeError, or ExportError for values that float16 does not hold.
    """
    fill_small(graph, source)
    scale_norms(graph)
    weights = {}
    for path, leaf in graph.named_modules():
        if isinstance(leaf, Linear):
            weights[path] = stored(leaf, source, method)
            leaf.weight = zeros(leaf.out_features, leaf.in_features)
            filled(path)
    for name, parameter in graph.named_parameters():
        as_float16(parameter.detach().numpy(), name)
    return weights


def stored(leaf: Linear, source: TensorSource, method: str) -> StoredWeight:
    """What a linear layer is to hold. Raises as prepare does."""
    if leaf.precision.is_float:
        return stored_float(leaf.layer, leaf.precision, float_weight(leaf, source))
    return stored_quantized(leaf.layer, leaf.precision, decided(leaf, source, method))


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives; all shapes are static. A state is a buffer of the graph."""

    name: str
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    states: tuple[TensorSpec, ...] = ()

    @classmethod
    def of(cls, entry: EntryPoint, states: tuple[TensorSpec, ...] = ()) -> "Signature":
        (output,) = entry.outputs
        return cls(entry.method, entry.inputs, output, states)


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
            kind = types.np_int4_dtype if stored.precision.bits == 4 else np.int8
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
