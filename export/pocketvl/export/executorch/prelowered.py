"""A graph that is called many times becomes one XNNPACK delegate, lowered once."""

from typing import Any

import torch
from torch import nn


def prelower(
    graph: nn.Module, outline: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any
) -> nn.Module:
    """A module to call in place of `graph`, which must be all in operators that XNNPACK runs.

    outline: a module of the same inputs and output shapes, with as few operators as possible: torch's passes
    over the calling graph interpret what they find behind each call, and only its shapes matter to them.
    dynamic_shapes: as torch.export takes them.
    """
    from executorch.exir.backend.backend_api import to_backend
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    from pocketvl.export.executorch.level_partitioner import LevelPartitioner

    backend = LevelPartitioner().delegation_spec  # the same settings as for all other delegates
    lowered = to_backend(backend.backend_id, _edge(graph, example, dynamic_shapes), backend.compile_specs)
    module: nn.Module = LoweredBackendModule(
        edge_program=_edge(outline, example, dynamic_shapes),
        backend_id=lowered.backend_id,
        processed_bytes=lowered.processed_bytes,
        compile_specs=lowered.compile_specs,
        named_data_store_output=lowered.named_data_store_output,
    )
    return module


def _edge(graph: nn.Module, example: tuple[torch.Tensor, ...], dynamic_shapes: Any) -> Any:
    from executorch.exir import EdgeCompileConfig, to_edge

    with torch.no_grad():
        program = torch.export.export(graph, example, dynamic_shapes=dynamic_shapes, strict=False)
    config = EdgeCompileConfig(preserve_ops=[torch.ops.aten.linear.default], _check_ir_validity=False)
    return to_edge(program, compile_config=config).exported_program()
