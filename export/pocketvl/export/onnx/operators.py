"""Leaves that become single ONNX operators over tensors of a data file.

Their parameters are zeros that take no memory; pocketvl.export.onnx.convert puts the data file's tensors in
their place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pocketvl.export.census import Expected
from pocketvl.export.onnx.data_file import Entry

# Inputs are quantized to 8 bits, a block at a time: what makes onnxruntime use integer dot products.
_INT8_INPUTS = 4
_FLOAT32 = 1  # TensorProto.FLOAT


class Leaf(nn.Module):
    """A module whose parameters stand in a data file. entries: name of a parameter -> its place."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__()
        self.entries = dict(entries)
        for name, entry in entries.items():
            self.register_parameter(name, _zeros(entry))


class Weights(Leaf):
    """A leaf over the weights of one linear layer or of several, stacked along their outputs.

    holds: those layers, in the order of their rows.
    """

    def __init__(self, entries: Mapping[str, Entry], holds: Sequence[Expected]) -> None:
        super().__init__(entries)
        self.holds = tuple(holds)
        self.out_features = sum(one.shape[0] for one in self.holds)
        self.in_features = self.holds[0].shape[1]


class MatMulNBits(Weights):
    """x (..., in) to (..., out), float32: entries weight, scales and perhaps bias."""

    weight: nn.Parameter
    scales: nn.Parameter

    def __init__(
        self, entries: Mapping[str, Entry], holds: Sequence[Expected], bits: int, block: int
    ) -> None:
        super().__init__(entries, holds)
        self.bits, self.block = bits, block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return emit(
            "com.microsoft::MatMulNBits",
            [x, self.weight, self.scales, None, None, getattr(self, "bias", None)],
            {
                "K": self.in_features,
                "N": self.out_features,
                "bits": self.bits,
                "block_size": self.block,
                "accuracy_level": _INT8_INPUTS,
            },
            (*x.shape[:-1], self.out_features),
        )


class FloatMatMul(Weights):
    """x (..., in) to (..., out) by a float32 or float16 weight (out, in), from which rows can be gathered."""

    weight: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = emit(
            "com.microsoft::FusedMatMul",
            [x, as_float32(self.weight)],
            {"transB": 1},
            (*x.shape[:-1], self.out_features),
        )
        bias = getattr(self, "bias", None)
        return product if bias is None else product + bias


class RMSNorm(Leaf):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis: onnxruntime's name for it before opset 23."""

    weight: nn.Parameter

    def __init__(self, entries: Mapping[str, Entry], eps: float) -> None:
        super().__init__(entries)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attributes = {"axis": -1, "epsilon": self.eps, "stash_type": 1}
        return emit("SimplifiedLayerNormalization", [x, self.weight], attributes, x.shape)


class LayerNorm(Leaf):
    """torch's layer norm over the last axis."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, entries: Mapping[str, Entry], eps: float) -> None:
        super().__init__(entries)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attributes = {"axis": -1, "epsilon": self.eps}
        return emit("LayerNormalization", [x, self.weight, self.bias], attributes, x.shape)


def emit(
    operator: str,
    inputs: Sequence[torch.Tensor | None],
    attributes: dict[str, Any],
    shape: Sequence[int | torch.SymInt],
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """One operator with one output, for torch's ONNX exporter; computes nothing.

    operator: "Split", or with its domain "com.microsoft::MatMulNBits".
    """
    version = 1 if "::" in operator else None
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    return torch.onnx.ops.symbolic(operator, inputs, attributes, dtype=dtype, shape=shape, version=version)


def emit_several(
    operator: str,
    inputs: Sequence[torch.Tensor | None],
    attributes: dict[str, Any],
    shapes: Sequence[Sequence[int | torch.SymInt]],
) -> Sequence[torch.Tensor]:
    """One operator with several outputs, all float32."""
    return torch.onnx.ops.symbolic_multi_out(
        operator,
        inputs,
        attributes,
        dtypes=[torch.float32] * len(shapes),
        shapes=shapes,
        version=1 if "::" in operator else None,
    )


def split(x: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
    """Parts of the last axis. torch's own split becomes a sequence and look-ups in it."""
    shapes = [(*x.shape[:-1], size) for size in sizes]
    return emit_several("Split", [x, torch.tensor(list(sizes))], {"axis": -1}, shapes)


def as_float32(x: torch.Tensor) -> torch.Tensor:
    """x itself, or cast: products, sums and caches are float32 whatever weights are stored as."""
    return x if x.dtype == torch.float32 else emit("Cast", [x], {"to": _FLOAT32}, x.shape)


def _zeros(entry: Entry) -> nn.Parameter:
    """One element that looks like the whole tensor."""
    zero = torch.zeros(1, dtype=getattr(torch, entry.dtype))
    return nn.Parameter(zero.expand(entry.shape), requires_grad=False)
