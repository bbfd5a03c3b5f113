"""Traced graphs become one .pte file whose arithmetic runs in XNNPACK.

What lowering costs and why it is done in these steps: docs/decisions/0001-xnnpack-partitioning.md.
"""

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from pocketvl.export.progress import Progress, parts, silent

# Shares of a program's time, when ExecuTorch's conversion and the backend have their turn.
_DECOMPOSED, _CONVERTED = 0.25, 0.85
_WRITING = 0.15  # of the whole


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

    A program that calls delegates (see stencil.py) is taken to be lowered but for those calls. Takes the
    programs out of the dictionary: weights are let go of as soon as their method is lowered.
    """
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager, ExecutorchBackendConfig

    sizes = [len(program.graph.nodes) for program in programs.values()]
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
    from executorch.exir import EdgeCompileConfig, to_edge
    from executorch.exir.backend.backend_api import to_backend

    from pocketvl.export.executorch.level_partitioner import LevelPartitioner

    progress(step, 0.0)
    done = _calls_delegates(program)
    if not done:
        program = program.run_decompositions({})
        share_quantized_inputs(program)
    progress(step, _DECOMPOSED)
    config = EdgeCompileConfig(preserve_ops=[torch.ops.aten.linear.default], _check_ir_validity=False)
    edge: ExportedProgram = to_edge(program, compile_config=config).exported_program()
    del program
    progress(step, _CONVERTED)
    if done:
        return edge
    # One partition after the other; given several programs at once, ExecuTorch copies all weights first.
    result: ExportedProgram = to_backend(edge, LevelPartitioner())
    return result


def _calls_delegates(program: ExportedProgram) -> bool:
    from executorch.exir.delegate import executorch_call_delegate

    return any(node.target is executorch_call_delegate for node in program.graph.nodes)


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
