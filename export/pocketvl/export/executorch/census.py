"""The linear kernels of a .pte file, as XNNPACK's own graphs name them, for pocketvl.export.census.

The layout is ExecuTorch's (schema/program.fbs and the extended header in front of it); the flatbuffers are
parsed by the readers that the pinned executorch package itself writes with. Weights are not loaded.
"""

import importlib.resources
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvl.export.census import REPORT, Expected, Kernel, Location, compare
from pocketvl.export.executorch.constants import Stored, StoredLinear
from pocketvl.export.modules import Linear
from pocketvl.runtime.errors import CensusError, ExportError

_HEADER_BYTES = 40  # flatbuffer root offset and identifier, then the extended header
_HEADER_MAGIC = b"eh00"
_XNNPACK = "XnnpackBackend"
_WEIGHTS = {32: "xnn_datatype_fp32", 8: "xnn_datatype_qcint8", 4: "xnn_datatype_qbint4"}
_INPUTS = {32: "xnn_datatype_fp32", 8: "xnn_datatype_qdint8", 4: "xnn_datatype_qdint8"}
# Operators that, outside a delegate, would be a linear layer or a piece of a quantized one.
_STRAYS = ("linear", "addmm", "mm", "bmm", "convolution", "quantize", "choose_qparams")


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


def expected(stored: Stored) -> tuple[Expected, ...]:
    """What to look for, taken from a filled graph's layers before their weights are let go."""
    return tuple(_expected_linear(leaf, own) for leaf, own in stored.items())


def census(path: Path, methods: Mapping[str, tuple[Expected, ...]]) -> dict[str, Kernel]:
    """Compare each method of the file with what it must hold; layer -> where it is, in bytes of the file.

    Raises CensusError as compare does, and for a layer that runs outside the XNNPACK delegates.
    """
    pte = read_pte(path)
    found: dict[str, Kernel] = {}
    for name, wanted in methods.items():
        if name not in pte.methods:
            raise CensusError(f"{path} has no method {name}.")
        where, strays = f"{name} of {path.name}", _strays(pte.methods[name])
        try:
            found |= compare(where, list(read_kernels(pte, pte.methods[name])), wanted)
        except CensusError as error:
            outside = f" Outside the delegates run {', '.join(strays)}." if strays else ""
            raise CensusError(f"{error}{outside}") from None
        if strays:
            raise CensusError(
                f"{where} runs {', '.join(strays)} outside the XNNPACK delegate, in float and slowly."
                f" {REPORT}"
            )
    return found


def read_kernels(pte: Pte, method: Method) -> Iterator[Kernel]:
    """Fully connected nodes. Those in float are not counted: norms compute their means by some."""
    for graph in method.delegates:
        values = {_tensor(value)["id_out"]: value for value in graph["xvalues"]}
        for node in graph["xnodes"]:
            if node["xnode_union_type"] == "XNNFullyConnected":
                yield _kernel(pte, node["xnode_union"], values, graph["constant_data"])


def _expected_linear(leaf: Linear, stored: StoredLinear) -> Expected:
    shape, bits = (leaf.out_features, leaf.in_features), leaf.precision.bits
    form = _form(_WEIGHTS[bits], leaf.precision.group_size, shape, _INPUTS[bits])
    scale_key = None if stored.scales is None else stored.scales.key
    counted = not leaf.precision.is_float
    return Expected(leaf.layer, leaf.precision, shape, form, stored.weight.key, scale_key, counted)


def _kernel(pte: Pte, node: dict[str, Any], values: dict[int, Any], constants: list[Any]) -> Kernel:
    """XNNPACK's constants are named by the sha256 of their bytes, those of scales with a prefix."""
    weight = values[node["filter_id"]]
    tensor = _tensor(weight)
    quantization = weight["xvalue_union"].get("quant_params", {})
    scale_index = quantization.get("scale_buffer_idx", 0)
    key = constants[tensor["constant_buffer_idx"]]["named_key"]
    scale_key = constants[scale_index]["named_key"] if scale_index else None
    data, scales = pte.data[key], pte.data[scale_key] if scale_key else None
    inputs = _tensor(values[node["input1_id"]])["datatype"]
    return Kernel(
        form=_form(tensor["datatype"], quantization.get("group_size"), tensor["dims"], inputs),
        weight_key=key,
        scale_key=scale_key.removeprefix("scale_") if scale_key else None,
        bytes=data.size + (scales.size if scales else 0),
        location=Location(data.offset, scales.offset if scales else None),
        counted=tensor["datatype"] != _WEIGHTS[32],
    )


def _form(weights: str, group_size: int | None, shape: Any, inputs: str) -> str:
    group = f" in groups of {group_size}" if group_size else ""
    return f"{weights}{group} {list(shape)} on {inputs} inputs"


def _strays(method: Method) -> list[str]:
    return sorted(name for name in method.kernels if any(part in name.split("::")[-1] for part in _STRAYS))


def _tensor(value: dict[str, Any]) -> dict[str, Any]:
    union = value["xvalue_union"]
    tensor: dict[str, Any] = union.get("tensor_value", union)
    return tensor
