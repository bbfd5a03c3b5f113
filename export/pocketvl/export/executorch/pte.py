"""What a .pte file holds, read without loading its weights.

The layout is ExecuTorch's (schema/program.fbs and the extended header in front of it); the flatbuffers are
parsed by the readers that the pinned executorch package itself writes with.
"""

import importlib.resources
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvl.runtime.errors import ExportError

_HEADER_BYTES = 40  # flatbuffer root offset and identifier, then the extended header
_HEADER_MAGIC = b"eh00"
_XNNPACK = "XnnpackBackend"


@dataclass(frozen=True)
class Range:
    """Bytes offset .. offset + size - 1 of the file."""

    offset: int
    size: int


@dataclass(frozen=True)
class Method:
    """One callable of the program: its XNNPACK graphs and what runs outside of them."""

    name: str
    delegates: tuple[dict[str, Any], ...]  # XNNPACK's graphs as JSON, see its schema.fbs
    kernels: Counter[str]  # operators outside every delegate: calls


@dataclass(frozen=True)
class Pte:
    methods: dict[str, Method]
    data: dict[str, Range]  # named constants; XNNPACK's weights are named by the sha256 of their bytes


def read_pte(path: Path) -> Pte:
    """Parse the program of a .pte file. Raises ExportError for another file."""
    from executorch.exir._serialize._flatbuffer_program import _flatbuffer_to_program

    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        if header[8:12] != _HEADER_MAGIC:
            raise ExportError(f"{path} is not an ExecuTorch program with segments; export it again.")
        program_size = int.from_bytes(header[16:24], "little")
        segment_base = int.from_bytes(header[24:32], "little")
        file.seek(0)
        program = _flatbuffer_to_program(file.read(program_size))
        segments = [Range(segment_base + part.offset, part.size) for part in program.segments]

        def delegate_bytes(reference: Any) -> bytes:
            if reference.location.name == "INLINE":
                return bytes(program.backend_delegate_data[reference.index].data)
            file.seek(segments[reference.index].offset)
            return file.read(segments[reference.index].size)

        methods = {}
        for plan in program.execution_plan:
            graphs = _xnnpack_graphs(
                [delegate_bytes(part.processed) for part in plan.delegates if part.id == _XNNPACK]
            )
            kernels: Counter[str] = Counter()
            for chain in plan.chains:
                for instruction in chain.instructions:
                    operator = getattr(instruction.instr_args, "op_index", None)
                    if operator is not None:
                        kernels[plan.operators[operator].name] += 1
            methods[plan.name] = Method(plan.name, graphs, kernels)
        data = {part.key: segments[part.segment_index] for part in program.named_data or ()}
    return Pte(methods, data)


def _xnnpack_graphs(blobs: list[bytes]) -> tuple[dict[str, Any], ...]:
    """The flatbuffers inside XNNPACK delegates as JSON, converted in one run of flatc."""
    if not blobs:
        return ()
    from executorch.backends.xnnpack import serialization
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _run_flatc

    schema = importlib.resources.files(serialization).joinpath("schema.fbs").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "schema.fbs").write_bytes(schema)
        inputs = []
        for index, blob in enumerate(blobs):
            header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
            end = header.flatbuffer_offset + header.flatbuffer_size
            inputs.append(folder / f"graph{index}.bin")
            inputs[-1].write_bytes(blob[header.flatbuffer_offset : end])
        options = ["--json", "--defaults-json", "--strict-json", "--raw-binary", "-o", name]
        _run_flatc([*options, str(folder / "schema.fbs"), "--", *map(str, inputs)])
        return tuple(json.loads(path.with_suffix(".json").read_text()) for path in inputs)
