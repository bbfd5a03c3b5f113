"""What the files of an ONNX bundle are called."""

from collections import Counter

from torch import nn

from pocketvl.export.graphs.leaf import linears
from pocketvl.runtime import names

# transformers.js finds a session's file by its dtype: fp32, int8, q4.
_SUFFIXES = {32: "", 8: "_int8", 4: "_q4"}


def graph_name(session: str, bits: int) -> str:
    """File of one of transformers.js's graphs, by the bits of most of its weights."""
    return f"{session}{_SUFFIXES[bits]}.onnx"


def data_name(graph: str) -> str:
    """The only name of external data that transformers.js can pass to onnxruntime."""
    return f"{graph}_data"


def main_bits(graph: nn.Module) -> int:
    """Those that most of a graph's weights are to get; the graph's leaves are not yet placed."""
    weights: Counter[int] = Counter()
    for leaf in linears(graph):
        weights[leaf.bits.bits] += leaf.out_features * leaf.in_features
    return weights.most_common(1)[0][0]


def in_bundle(file: str) -> str:
    """Path of a file of the bundle's ONNX folder, as the manifest writes it."""
    return f"{names.ONNX_FOLDER}/{file}"
