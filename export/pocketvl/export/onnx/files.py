"""What the files of an ONNX bundle are called."""

from collections import Counter
from collections.abc import Iterable

from pocketvl.export.graphs.leaf import Linear
from pocketvl.runtime import names

# transformers.js finds a session's file by its dtype: fp32, fp16, int8, q4.
_SUFFIXES = {32: "", 16: "_fp16", 8: "_int8", 4: "_q4"}


def graph_name(session: str, layers: Iterable[Linear]) -> str:
    """File of one of transformers.js's graphs, by the bits that most of its weights are to get."""
    weights: Counter[int] = Counter()
    for layer in layers:
        weights[layer.bits.bits] += layer.out_features * layer.in_features
    return name_by_bits(session, weights.most_common(1)[0][0])


def name_by_bits(session: str, bits: int) -> str:
    """File of one of transformers.js's graphs."""
    return f"{session}{_SUFFIXES[bits]}.onnx"


def data_name(graph: str) -> str:
    """Of a graph's data file: the only one that transformers.js can pass to onnxruntime."""
    return f"{graph}_data"


def in_bundle(file: str) -> str:
    """Path of a file of the bundle's ONNX folder, as the manifest writes it."""
    return f"{names.ONNX_FOLDER}/{file}"
