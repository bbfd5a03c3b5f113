"""A graph over tensors of data files becomes a small .onnx file that names them."""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from importlib.metadata import version
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from pocketvl.export.onnx.data_file import Entry
from pocketvl.export.onnx.operators import Leaf
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.bundle.signature import Signature, past_caches, present_caches
from pocketvl.runtime.errors import ExportError
from pocketvl.runtime.extras import import_failure

OPSET = 21
_EXAMPLE = 8  # tokens, patches ..: 0 and 1 would be taken for constants
_INLINE = 4096  # bytes of a constant that may stay in the graph
_NAMED = 4  # tensors in a message


def import_onnx() -> Any:
    """The package that reads saved graphs. Raises MissingExtraError."""
    try:
        import onnx
        import onnx_ir  # noqa: F401
        import onnxscript  # noqa: F401
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Exporting to ONNX needs a package", "export") from None
    return onnx


def import_onnx_ir() -> Any:
    """The package that edits graphs. Raises MissingExtraError."""
    import_onnx()
    import onnx_ir

    return onnx_ir


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's notes about torchvision to itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def write_graph(
    graph: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    path: Path,
    examples: Mapping[str, int] | None = None,
) -> None:
    """Trace a placed graph and save it; its weights stay in data files in the folder of `path`.

    inputs and outputs name the graph's tensors in the order of its forward. A dimension of the inputs that
    is a name is dynamic, and equal names are equal sizes; examples: sizes to trace with, where 8, 9, 10 ..
    will not do. Raises ExportError, MissingExtraError.
    """
    ir = import_onnx_ir()
    model = _trace(graph, inputs, outputs, examples or {})
    _put_weights(ir, model.graph.initializers, graph, path)
    _tidy(ir, model, [*inputs, *outputs])
    ir.save(model, path)


def _trace(
    graph: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    examples: Mapping[str, int],
) -> Any:
    names = dict.fromkeys(size for spec in inputs for size in spec.shape if isinstance(size, str))
    sizes = {name: _EXAMPLE + index for index, name in enumerate(names)} | dict(examples)
    example = tuple(
        torch.zeros(
            [sizes[size] if isinstance(size, str) else size for size in spec.shape],
            dtype=getattr(torch, spec.dtype),
        )
        for spec in inputs
    )
    # Not named: torch would demand that 4 divides "patches" by its name; it finds that out by itself.
    shapes = [
        {axis: Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in inputs
    ]
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(),
                example,
                dynamo=True,
                input_names=[spec.name for spec in inputs],
                output_names=[spec.name for spec in outputs],
                dynamic_shapes=_by_parameter(graph, shapes),
                opset_version=OPSET,
                optimize=False,  # it takes equal weights for one, and here all of them are zeros
                verbose=False,
            )
    except Exception as error:  # torch has no common class for what its exporter raises
        raise ExportError(
            f"torch could not make an ONNX graph of {type(graph).__name__} ({error}); install the versions"
            " that pocketvl[export] names."
        ) from error
    assert program is not None  # it is only where torch writes the file itself
    return program.model


def _by_parameter(graph: nn.Module, shapes: list[Any]) -> tuple[Any, ...]:
    """One a parameter of forward; those that *past or the like takes are one tuple."""
    kinds = [parameter.kind for parameter in signature(graph.forward).parameters.values()]
    if Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    named = kinds.index(Parameter.VAR_POSITIONAL)
    return (*shapes[:named], tuple(shapes[named:]))


def _put_weights(ir: Any, tensors: Any, graph: nn.Module, path: Path) -> None:
    """Let the tensors of leaves stand in their data files instead of the placeholders' zeros."""
    entries = {
        f"{name}.{parameter}": entry
        for name, leaf in graph.named_modules()
        if isinstance(leaf, Leaf)
        for parameter, entry in leaf.entries.items()
    }
    _check_names(path, entries.keys(), tensors.keys(), {name for name, _ in graph.named_parameters()})
    for name, value in tensors.items():
        if name in entries:
            value.const_value = _external(ir, name, entries[name], path.parent)
        elif value.const_value.nbytes > _INLINE:
            raise ExportError(
                f"{path.name} would hold {name} itself, beside its data file; please report this."
            )


def _check_names(path: Path, entries: Set[str], tensors: Set[str], parameters: Set[str]) -> None:
    """A tensor that is not found by its name would stay a placeholder: zeros."""
    if missing := entries - tensors:
        raise ExportError(
            f"{path.name} has no tensor {_some(missing)}, which its data file holds; torch may name tensors"
            " otherwise now: install the versions that pocketvl[export] names."
        )
    if zeros := (tensors & parameters) - entries:
        raise ExportError(
            f"{path.name} would hold zeros for {_some(zeros)}, which its data file does not hold; please"
            " report this."
        )


def _some(names: Set[str]) -> str:
    shown = sorted(names)[:_NAMED]
    return ", ".join(shown) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _external(ir: Any, name: str, entry: Entry, folder: Path) -> Any:
    return ir.ExternalTensor(
        entry.file,
        entry.offset,
        entry.length,
        ir.DataType.from_numpy(np.dtype(entry.dtype)),
        shape=ir.Shape(entry.shape),
        name=name,
        base_dir=folder,
    )


def _tidy(ir: Any, model: Any, specs: Sequence[TensorSpec]) -> None:
    """Fold what is there twice, name dynamic dimensions, and leave out torch's notes with their paths."""
    from onnx_ir.passes import common

    common.IdentityEliminationPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    shapes = {spec.name: spec.shape for spec in specs}
    model.producer_name, model.producer_version = "pocketvl", version("pocketvl")
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.name = "main"
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape = ir.Shape(shapes[value.name])
        value.metadata_props.clear()
    for value in model.graph.initializers.values():
        value.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            if not value.is_graph_output():
                value.shape = value.type = None  # onnxruntime infers them


def merged_ports(text: TextGeometry) -> Signature:
    """Of MergedDecoder, by the names of transformers.js."""
    return Signature(
        (
            TensorSpec("inputs_embeds", "float32", (1, "tokens", text.hidden_size)),
            TensorSpec("attention_mask", "int64", (1, "total")),
            TensorSpec("position_ids", "int64", (3, 1, "tokens")),
            TensorSpec("num_logits_to_keep", "int64", ()),
            *past_caches(text),
        ),
        (TensorSpec(names.LOGITS, "float32", (1, "kept", text.vocab_size)), *present_caches(text)),
    )
