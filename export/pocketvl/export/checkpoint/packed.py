"""The linear layers that a GPTQ or AWQ checkpoint packs: located, checked, unpacked one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvl.export.checkpoint.header import StoredTensor
from pocketvl.export.checkpoint.quantization import GPTQ, Quantization
from pocketvl.export.checkpoint.weights import FLOATS, WORDS, locate_tensor, read_tensor
from pocketvl.export.layers import Layer, linear_layers, stored_names
from pocketvl.quant.packed.affine import AffineLinear, Grid
from pocketvl.quant.packed.awq import awq_codes, awq_grid, awq_shapes
from pocketvl.quant.packed.fit import fitting_bits, in_groups
from pocketvl.quant.packed.gptq import check_order, gptq_codes, gptq_grid, gptq_shapes
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import CheckpointError

PACKED_LM_HEAD = "lm_head.qweight"
_KINDS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True)
class PackedLinear:
    """One layer: its name without ".weight", the tensors that hold it, how they are packed."""

    source: str
    in_features: int
    places: Mapping[str, StoredTensor]  # qweight, qzeros, scales and, for most of GPTQ, g_idx
    quantization: Quantization

    @cached_property
    def precision(self) -> Precision | None:
        """Under which its own integers stand unchanged; None where they cannot. Reads zeros and scales.

        Raises CheckpointError where the order of the inputs was changed.
        """
        return fitting_bits(self._grid(), self.in_features)

    def quantized(self) -> QuantizedLinear | None:
        """Its own integers; None where they cannot stand."""
        precision = self.precision
        if precision is None:
            return None
        linear = self._unpack().symmetric()
        return None if linear is None else in_groups(linear, precision)

    def weight(self) -> NDArray[np.float32]:
        """float32 (out, in)."""
        return self._unpack().dequantize()

    def _unpack(self) -> AffineLinear:
        words = self._words("qweight")
        codes = gptq_codes(words, self.quantization.bits) if self._is_gptq else awq_codes(words)
        return AffineLinear(codes, self._grid())

    def _grid(self) -> Grid:
        form, group_size = self.quantization, self.quantization.group(self.in_features)
        zeros, scales = self._words("qzeros"), self._scales()
        if not self._is_gptq:
            return awq_grid(zeros, scales, group_size, self.in_features)
        if "g_idx" in self.places:
            check_order(self._words("g_idx"), group_size, self.source)
        return gptq_grid(zeros, scales, form.bits, group_size, form.zero_offset, self.in_features)

    @property
    def _is_gptq(self) -> bool:
        return self.quantization.method == GPTQ

    def _words(self, kind: str) -> NDArray[np.int32]:
        words: NDArray[np.int32] = read_tensor(self.places[kind], f"{self.source}.{kind}").numpy()
        return words

    def _scales(self) -> NDArray[np.float32]:
        scales = read_tensor(self.places["scales"], f"{self.source}.scales")
        values: NDArray[np.float32] = scales.float().numpy()
        return values


def locate_packed(
    headers: dict[str, StoredTensor], geometry: ModelGeometry, quantization: Quantization | None, where: Path
) -> dict[str, PackedLinear]:
    """Layer, as recipes call it -> where it is packed; empty for a checkpoint of floats.

    config.json does not list the packed layers, so a layer is one if any of its packed tensors is stored.
    Raises CheckpointError for a tensor that is missing or misshapen, and where none is packed.
    """
    if quantization is None:
        packed = next((name for name in headers if name.endswith(".qweight")), None)
        if packed is not None:
            raise CheckpointError(
                f"{where} packs its layers ({packed}), but its config.json has no quantization_config that"
                " says how; copy it from the file that the quantizer wrote beside it (quantize_config.json)."
            )
        return {}
    layers = {}
    for layer in linear_layers(geometry):
        if layer.name == names.LM_HEAD and geometry.text.tie_word_embeddings:
            continue  # the table of embeddings, which stays float
        stored = [name for kind in _KINDS for name in stored_names(f"{layer.source}.{kind}")]
        if any(name in headers for name in stored):
            layers[layer.name] = _locate(headers, layer, quantization, where)
    if not layers:
        raise CheckpointError(
            f"{where} has a quantization_config of the method {quantization.method!r}, but none of its layers"
            " is packed; remove it from config.json if the weights are 16-bit floats."
        )
    return layers


def _locate(
    headers: dict[str, StoredTensor], layer: Layer, quantization: Quantization, where: Path
) -> PackedLinear:
    source, out_features, in_features = layer.source, layer.out_features, layer.in_features
    group_size = quantization.group(in_features)
    try:
        if quantization.method == GPTQ:
            wanted = gptq_shapes(out_features, in_features, quantization.bits, group_size)
        else:
            wanted = awq_shapes(out_features, in_features, group_size)
    except ValueError as error:
        raise CheckpointError(
            f"{where}: {source} cannot be packed as its config.json says: {error}. Are both of one model?"
        ) from None
    if not (quantization.has_order or any(name in headers for name in stored_names(f"{source}.g_idx"))):
        wanted.pop("g_idx", None)
    places = {
        kind: locate_tensor(
            headers, f"{source}.{kind}", shape, where, types=FLOATS if kind == "scales" else WORDS
        )
        for kind, shape in wanted.items()
    }
    if not layer.bias:
        _check_no_bias(headers, f"{source}.bias", out_features, where)
    return PackedLinear(source, in_features, places, quantization)


def _check_no_bias(headers: dict[str, StoredTensor], name: str, out_features: int, where: Path) -> None:
    """AutoGPTQ gives zeros as bias to layers that have none; other values would be lost."""
    if not any(stored in headers for stored in stored_names(name)):
        return
    if read_tensor(locate_tensor(headers, name, (out_features,), where), name).any():
        raise CheckpointError(
            f"{where}: {name} is not zero, but no Qwen2-VL has this bias; the model cannot be exported."
        )
