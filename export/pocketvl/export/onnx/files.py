"""What the files of an ONNX bundle are called."""

from collections import Counter
from collections.abc import Iterable

from pocketvl.export.modules import Linear
from pocketvl.runtime import names
from pocketvl.runtime.onnx.variants import SUFFIXES

# What transformers.js calls them; it finds a session's file by its dtype.
DTYPES = {32: "fp32", 16: "fp16", 8: "int8", 4: "q4"}


def graph_name(session: str, layers: Iterable[Linear]) -> str:
    """File of one of transformers.js's graphs, by the bits that most of its weights are to get."""
    weights: Counter[int] = Counter()
    for layer in layers:
        weights[layer.bits.bits] += layer.out_features * layer.in_features
    return name_by_bits(session, weights.most_common(1)[0][0])


def name_by_bits(session: str, bits: int) -> str:
    """File of one of transformers.js's graphs."""
    return f"{session}{SUFFIXES[DTYPES[bits]]}.onnx"


def data_name(graph: str) -> str:
    """Of a graph's data file: the only one that transformers.js can pass to onnxruntime."""
    return f"{graph}_data"


def in_bundle(file: str) -> str:
    """Path of a file of the bundle's ONNX folder, as the manifest writes it."""
    return f"{names.ONNX_FOLDER}/{file}"
