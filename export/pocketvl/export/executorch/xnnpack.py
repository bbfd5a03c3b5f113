"""Graphs become one .pte file whose arithmetic runs in XNNPACK.

What lowering costs and why it is done in these steps: docs/decisions/0001-xnnpack-partitioning.md. Graphs of
equal structure are lowered once, by a Stencil, and written with each one's constants:
docs/decisions/0019-stencils.md.
"""

import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from pocketvl.export.executorch.calling_graph import with_all_layers
from pocketvl.export.executorch.constants import Delegate, Stored, Template, same_delegate
from pocketvl.export.modules import linears
from pocketvl.export.progress import Progress, parts, silent
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.errors import ExportError

# Shares of a program's time, when ExecuTorch's conversion and the backend have their turn.
_DECOMPOSED, _CONVERTED = 0.25, 0.85
_WRITING = 0.8  # of the whole
_EDGE = "EDGE"  # ExecuTorch's name of its dialect
_Key = tuple[Precision, ...]
_Slot = tuple[dict[str, Any], str]  # constants of a program, and a name among them


def load_custom_ops() -> None:
    """Register llama.update_cache and llama.custom_sdpa with torch; needed before tracing a decoder."""
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401  registers on import


def lower(
    programs: dict[str, ExportedProgram],
    constant_methods: Mapping[str, Any],
    path: Path,
    progress: Progress = silent,
) -> None:
    """Write a .pte file with a method per program and one per constant.

    A program in ExecuTorch's dialect (see calling_program) is taken to be lowered. Takes the
    programs out of the dictionary: weights are let go of as soon as their method is lowered.
    """
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager, ExecutorchBackendConfig

    sizes = [len(program.graph.nodes) * (program.dialect != _EDGE) for program in programs.values()]
    lowering, writing = parts(progress, [1 - _WRITING, _WRITING])
    lowered = {}
    for name, own in zip(list(programs), parts(lowering, sizes), strict=True):
        lowered[name] = _lower_one(programs.pop(name), own, f"Lowering {name} to XNNPACK")
    writing(f"Writing {path.name}", 0.0)
    manager = EdgeProgramManager(lowered, dict(constant_methods), EdgeCompileConfig(_check_ir_validity=False))
    del lowered
    executable = manager.to_executorch(ExecutorchBackendConfig(emit_mutable_buffer_names=True))
    with path.open("wb") as file:
        executable.write_to_file(file)


def _lower_one(program: ExportedProgram, progress: Progress, step: str) -> ExportedProgram:
    from executorch.exir.backend.backend_api import to_backend

    from pocketvl.export.executorch.level_partitioner import LevelPartitioner

    progress(step, 0.0)
    if program.dialect == _EDGE:
        return program
    program = program.run_decompositions({})
    share_quantized_inputs(program)
    progress(step, _DECOMPOSED)
    edge = _in_edge_dialect(program)
    del program
    progress(step, _CONVERTED)
    # One partition after the other; given several programs at once, ExecuTorch copies all weights first.
    result: ExportedProgram = to_backend(edge, LevelPartitioner())
    return result


def calling_program(
    model: nn.Module, unlike: int, example: tuple[torch.Tensor, ...], dynamic_shapes: Any
) -> ExportedProgram:
    """A module that calls what stencils wrote, in ExecuTorch's dialect. unlike: see with_all_layers."""
    return with_all_layers(model, unlike, lambda few: _in_edge_dialect(traced(few, example, dynamic_shapes)))


def traced(graph: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any) -> ExportedProgram:
    """By torch.export, without gradients."""
    with torch.no_grad():
        return torch.export.export(graph, example, dynamic_shapes=dynamic_shapes, strict=False)


def share_quantized_inputs(program: ExportedProgram) -> None:
    """Let linear layers with the same input share its quantization; tracing writes one for each of them."""
    graph = program.graph
    seen: dict[tuple[Any, ...], torch.fx.Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not _is_quantization(node):
            continue
        key = (node.target, repr(node.args), repr(node.kwargs))
        first = seen.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)
    program.graph_module.recompile()


def _is_quantization(node: torch.fx.Node) -> bool:
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, torch.fx.Node) and _is_quantization(source)
    return getattr(node.target, "namespace", "") == "torchao"


class _Outline(ExportedProgram):
    """A program that stands behind the calls of delegates.

    torch asks it for its module at each call in each pass, and would make that anew from the graph.
    """

    def __init__(self, outline: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any) -> None:
        program = traced(outline, example, dynamic_shapes)
        super().__init__(
            root=program.graph_module,
            graph=program.graph,
            graph_signature=program.graph_signature,
            state_dict=program.state_dict,
            range_constraints=program.range_constraints,
            module_call_graph=program.module_call_graph,
            example_inputs=program.example_inputs,
            constants=program.constants,
            verifiers=program.verifiers,
        )
        self._made = outline

    def module(self, check_guards: bool = True) -> Any:
        """The outline itself."""
        return self._made


class Stencil:
    """One traced graph, to be written with the weights of any graph of the same structure."""

    def __init__(
        self, graph: nn.Module, outline: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any
    ) -> None:
        """graph: filled, and all in operators that XNNPACK runs. outline: a module of the same inputs and
        output shapes, with as few operators as possible: torch's passes over the calling graph interpret what
        they find behind each call, and only its shapes matter to them. dynamic_shapes: as torch.export takes
        them.
        """
        from pocketvl.export.executorch.level_partitioner import LevelPartitioner

        self._edge = _to_edge(graph, example, dynamic_shapes)
        _claim(self._edge)
        self._outline = _Outline(outline, example, dynamic_shapes)
        self._slots = _slots(graph, self._edge)
        self._backend = LevelPartitioner().delegation_spec  # the same settings as for all other delegates
        self._template: Template | None = None
        self._proven = False

    def write(self, graph: nn.Module, stored: Stored) -> nn.Module:
        """A module to call in the graph's place; of the graph it keeps nothing but bytes.

        stored: how the graph's linear layers are stored. XNNPACK's backend writes the first and proves a
        template of it on the second; by that the others are written. One that it cannot write begins anew.
        """
        from executorch.exir.lowered_backend_module import LoweredBackendModule

        written = self._template.written(graph, stored) if self._template else None
        if written is None or not self._proven:
            own = self._by_backend(graph)
            self._proven = written is not None and same_delegate(written, own)
            if not self._proven:
                self._template = Template(graph, stored, _numbers(self._edge), own)
            written = own
        processed, data = written
        backend = self._backend
        module: nn.Module = LoweredBackendModule(
            edge_program=self._outline,
            backend_id=backend.backend_id,
            processed_bytes=processed,
            compile_specs=backend.compile_specs,
            named_data_store_output=data,
        )
        return module

    def _by_backend(self, graph: nn.Module) -> Delegate:
        from executorch.exir.backend.backend_api import to_backend

        for path, tensor in _tensors(graph):
            for constants, name in self._slots[path]:
                is_parameter = isinstance(constants[name], nn.Parameter)
                constants[name] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        lowered = to_backend(self._backend.backend_id, self._edge, self._backend.compile_specs)
        return lowered.processed_bytes, lowered.named_data_store_output


class Stencils:
    """A stencil for each combination of bits that graphs of one kind have; made when first needed."""

    def __init__(self, outline: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any) -> None:
        self._outline, self._example, self._shapes = outline, example, dynamic_shapes
        self._made: dict[_Key, Stencil] = {}

    def write(self, graph: nn.Module, stored: Stored) -> nn.Module:
        """See Stencil.write."""
        key = tuple(leaf.precision for leaf in linears(graph))
        if key not in self._made:
            self._made[key] = Stencil(graph, self._outline, self._example, self._shapes)
        return self._made[key].write(graph, stored)


def _to_edge(graph: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any) -> ExportedProgram:
    """Traced, and in ExecuTorch's dialect."""
    program = traced(graph, example, dynamic_shapes).run_decompositions({})
    share_quantized_inputs(program)
    return _in_edge_dialect(program)


def _in_edge_dialect(program: ExportedProgram) -> ExportedProgram:
    from executorch.exir import EdgeCompileConfig, to_edge

    config = EdgeCompileConfig(preserve_ops=[torch.ops.aten.linear.default], _check_ir_validity=False)
    edge: ExportedProgram = to_edge(program, compile_config=config).exported_program()
    return edge


def _claim(edge: ExportedProgram) -> None:
    """Mark for the backend what quantizes and dequantizes, as partitioning does.

    Raises ExportError for an operator that XNNPACK does not run.
    """
    from pocketvl.export.executorch.level_partitioner import LevelPartitioner

    matched = LevelPartitioner().get_matched_nodes_from_configs(edge)
    claimed = {node for group in matched for node in group}
    for node in edge.graph.nodes:
        if node.op == "call_function" and node not in claimed:
            raise ExportError(f"XNNPACK does not run {node.target} of a delegate; please report this.")


def _slots(graph: nn.Module, edge: ExportedProgram) -> dict[str, list[_Slot]]:
    """Where each of the graph's tensors is among the program's constants, which hold them uncopied."""
    places: dict[int, list[_Slot]] = defaultdict(list)
    for constants in (edge.state_dict, edge.constants):
        for name, value in constants.items():
            if value.dim():  # the others are _numbers
                places[value.data_ptr()].append((constants, name))
    slots = {path: places.pop(tensor.data_ptr(), []) for path, tensor in _tensors(graph)}
    lost = [path for path, found in slots.items() if not found]
    if lost or places:
        raise ExportError(
            f"Lowering has copied {', '.join(lost) or 'weights'}, which cannot be replaced then; another"
            " version of torch or executorch may do so: install executorch==1.4.1."
        )
    return slots


def _numbers(edge: ExportedProgram) -> list[torch.Tensor]:
    """Single numbers that stand in the code that was traced."""
    return [value for value in (*edge.state_dict.values(), *edge.constants.values()) if not value.dim()]


def _tensors(graph: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Plain tensors by their paths; a quantized weight is several."""
    for name, tensor in (*graph.named_parameters(), *graph.named_buffers()):
        if not hasattr(tensor, "__tensor_flatten__"):
            yield name, tensor
            continue
        parts, _ = tensor.__tensor_flatten__()
        yield from ((f"{name}.{part}", getattr(tensor, part)) for part in parts)
