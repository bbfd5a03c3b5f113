"""Traced graphs become one .pte file whose arithmetic runs in XNNPACK."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram


def load_custom_ops() -> None:
    """Register llama.update_cache and llama.custom_sdpa with torch; needed before tracing a decoder."""
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401  registers on import


def lower(programs: Mapping[str, ExportedProgram], constant_methods: Mapping[str, Any], path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(
        dict(programs),
        partitioner=[XnnpackPartitioner()],
        constant_methods=dict(constant_methods),
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    program = edge.to_executorch(ExecutorchBackendConfig())
    with path.open("wb") as file:
        program.write_to_file(file)
