"""Modules that become single ONNX operators over tensors of a data file, and integers as these store them.

Their parameters are zeros that take no memory; pocketvl.export.onnx.convert puts the data file's tensors in
their place. MatMulNBits:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvl.export.census import Expected
from pocketvl.export.onnx.data_file import Entry
from pocketvl.quant.quantized import QuantizedLinear

# Inputs are quantized to 8 bits, a block at a time: what makes onnxruntime use integer dot products.
_INT8_INPUTS = 4
_FLOAT32 = 1  # TensorProto.FLOAT
_LARGEST_BLOCK = 256  # of onnxruntime's kernels
_SMALLEST_BLOCK = 16
_PADDED_BLOCK = 32
_ROWS = 4096  # packed at a time


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


@dataclass(frozen=True)
class Packed:
    """weight[o, i] = (q[o, i] - 2^(bits - 1)) * scales[o, i // block].

    data: uint8 (out, blocks, block * bits / 8) with the values q, of 4 bits the lower nibble first; where
    the inputs do not divide by `block` the last one is filled up with zeros, which q = 2^(bits - 1) stands
    for. scales: float32 (out, blocks).
    """

    data: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    block: int


def block_size(in_features: int, group_size: int) -> int:
    """Inputs of one block: the largest power of two that divides the group.

    Where the group is a row whose length no power of two divides that kernels take, blocks of 32, the last
    one filled up. Raises ValueError for a smaller group of such a length.
    """
    power = min(group_size & -group_size, _LARGEST_BLOCK)
    if power >= _SMALLEST_BLOCK:
        return power
    if group_size != in_features:
        raise ValueError(f"groups of {group_size} inputs are not multiples of {_SMALLEST_BLOCK}")
    return _PADDED_BLOCK


def pack(quantized: QuantizedLinear) -> Packed:
    """The very integers and scales, each scale repeated for every block of its group."""
    rows, columns, bits = quantized.out_features, quantized.in_features, quantized.bits
    block = block_size(columns, quantized.group_size)
    blocks = -(-columns // block)
    data = np.empty((rows, blocks, block * bits // 8), np.uint8)
    for first in range(0, rows, _ROWS):
        part = slice(first, first + _ROWS)
        data[part] = _packed_rows(quantized.integers[part], bits, blocks * block).reshape(data[part].shape)
    repeats = blocks // quantized.scales.shape[1]
    return Packed(data, np.repeat(quantized.scales, repeats, axis=1), bits, block)


def unpack(data: NDArray[np.uint8], bits: int, in_features: int) -> NDArray[np.int8]:
    """int8 (out, in_features) from Packed.data, without what fills up the last block."""
    flat = data.reshape(len(data), -1)
    values = np.stack([flat & 0xF, flat >> 4], axis=-1).reshape(len(flat), -1) if bits == 4 else flat
    signed: NDArray[np.int8] = (values[:, :in_features] - np.uint8(1 << (bits - 1))).view(np.int8)
    return signed


def _packed_rows(integers: NDArray[np.int8], bits: int, width: int) -> NDArray[np.uint8]:
    middle = 1 << (bits - 1)
    values = np.full((len(integers), width), middle, np.uint8)
    values[:, : integers.shape[1]] = integers.view(np.uint8) + np.uint8(middle)  # modulo 256
    if bits == 8:
        return values
    return values[:, 0::2] | (values[:, 1::2] << np.uint8(4))
