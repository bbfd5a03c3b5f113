"""Small GPTQ and AWQ checkpoints, packed code by code as the formats describe it.

Independent of pocketvl's unpacking: every code is shifted into its word on its own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pocketvl.runtime.bundle.geometry import ModelGeometry
from tests.support.checkpoints import SMALL_GEOMETRY, Layout, random_tensors, write_checkpoint, write_weights

Tensors = dict[str, torch.Tensor]

WEIGHTS = "model.safetensors"

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
DECODER_LINEARS = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)


@dataclass(frozen=True)
class Scheme:
    """What is packed and how. zero: of every group; None for a random one in each."""

    method: str = "gptq"  # gptq, awq or auto-round
    bits: int = 4
    group_size: int = 32  # -1: one group a row
    zero: int | None = None
    version: str = "gptq"  # checkpoint_format of gptq, packing_format of auto-round
    act_order: bool = False
    scale_sign: float = 1.0

    def config(self) -> dict[str, Any]:
        """The quantization_config of config.json."""
        common = {"quant_method": self.method, "bits": self.bits, "group_size": self.group_size}
        if self.method.endswith("auto-round"):
            return common | {"data_type": "int", "sym": True, "packing_format": self.version, "iters": 200}
        if self.method == "awq":
            return common | {"zero_point": True, "version": "gemm", "modules_to_not_convert": ["visual"]}
        return common | {"desc_act": self.act_order, "sym": True, "checkpoint_format": self.version}

    @property
    def zeros_minus_one(self) -> bool:
        """The first version of GPTQ's format, which AutoRound's GPTQ packing is, but for GPTQModel's."""
        return self.version == "gptq" or (
            "gptq" in self.version
            and self.version.startswith("auto_round:")
            and "gptqmodel" not in self.version
        )

    @property
    def is_awq(self) -> bool:
        return self.method == "awq" or "awq" in self.version


@dataclass(frozen=True)
class Layer:
    """codes: int64 (out, in); zeros int64, scales float16 (out, groups)."""

    codes: torch.Tensor
    zeros: torch.Tensor
    scales: torch.Tensor
    group_size: int

    def weight(self) -> torch.Tensor:
        """float64 (out, in), one input at a time."""
        columns = []
        for index in range(self.codes.shape[1]):
            group = index // self.group_size
            step = self.scales[:, group].double()
            columns.append((self.codes[:, index] - self.zeros[:, group]).double() * step)
        return torch.stack(columns, 1)


@dataclass(frozen=True)
class Written:
    """What a folder holds: geometry, hub name -> float tensor (packed weights dequantized), the layers."""

    geometry: ModelGeometry
    tensors: Tensors
    layers: dict[str, Layer]  # by source: model.layers.0.self_attn.q_proj


def random_layer(out_features: int, in_features: int, scheme: Scheme, seed: int) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    group_size = in_features if scheme.group_size == -1 else scheme.group_size
    groups = (in_features + group_size - 1) // group_size
    top = 2**scheme.bits
    codes = torch.randint(0, top, (out_features, in_features), generator=generator)
    codes[0, :2] = torch.tensor([0, top - 1])
    zeros = torch.randint(top // 2 - 2, top // 2 + 3, (out_features, groups), generator=generator)
    if scheme.zero is not None:
        zeros = torch.full_like(zeros, scheme.zero)
    spread = 2.0 / (top * in_features**0.5)
    scales = spread * (1 + torch.rand(out_features, groups, generator=generator))
    return Layer(codes, zeros, (scheme.scale_sign * scales).half(), group_size)


def pack_gptq(layer: Layer, scheme: Scheme) -> Tensors:
    """qweight, qzeros, scales and, but for auto-round, g_idx."""
    bits, per_word = scheme.bits, 32 // scheme.bits
    out_features, in_features = layer.codes.shape
    qweight = torch.zeros(in_features // per_word, out_features, dtype=torch.int64)
    for index in range(in_features):
        row, place = divmod(index, per_word)
        qweight[row] += layer.codes[:, index] * 2 ** (bits * place)
    stored = layer.zeros - (1 if scheme.zeros_minus_one else 0)
    stored = stored % 2**bits
    qzeros = torch.zeros(layer.zeros.shape[1], out_features // per_word, dtype=torch.int64)
    for output in range(out_features):
        column, place = divmod(output, per_word)
        qzeros[:, column] += stored[output] * 2 ** (bits * place)
    g_idx = [index // layer.group_size for index in range(in_features)]
    if scheme.act_order:
        g_idx.reverse()
    packed = {"qweight": words(qweight), "qzeros": words(qzeros), "scales": layer.scales.T.contiguous()}
    if scheme.method == "gptq":
        packed["g_idx"] = torch.tensor(g_idx, dtype=torch.int32)
    return packed


def pack_awq(layer: Layer) -> Tensors:
    """qweight, qzeros, scales."""
    return {
        "qweight": words(_pack_outputs(layer.codes.T)),
        "qzeros": words(_pack_outputs(layer.zeros.T)),
        "scales": layer.scales.T.contiguous(),
    }


def write_packed_checkpoint(
    folder: Path,
    scheme: Scheme,
    geometry: ModelGeometry = SMALL_GEOMETRY,
    *,
    layout: Layout = "hub",
    shards: int = 1,
    zero_biases: bool = False,
) -> Written:
    """A checkpoint whose decoder linears are packed and everything else is float16.

    zero_biases: with a bias of zeros for the layers that have none, as some versions of AutoGPTQ store.
    """
    write_checkpoint(folder, geometry, layout=layout, dtype=torch.float16)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": scheme.config()}))
    tensors = random_tensors(geometry, dtype=torch.float16)
    stored = dict(tensors)
    layers = {}
    for index in range(geometry.text.num_layers):
        for name in DECODER_LINEARS:
            source = f"model.layers.{index}.{name}"
            shape = stored.pop(f"{source}.weight").shape
            layer = random_layer(shape[0], shape[1], scheme, seed=len(layers))
            packed = pack_awq(layer) if scheme.is_awq else pack_gptq(layer, scheme)
            stored |= {f"{source}.{kind}": value for kind, value in packed.items()}
            if zero_biases and f"{source}.bias" not in stored:
                stored[f"{source}.bias"] = torch.zeros(shape[0], dtype=torch.float16)
            layers[source] = layer
            tensors[f"{source}.weight"] = layer.weight().float()
    (folder / "model.safetensors").unlink()
    write_weights(folder, {stored_name(name, layout): value for name, value in stored.items()}, shards)
    return Written(geometry, tensors, layers)


def stored_name(name: str, layout: Layout) -> str:
    if layout == "hub" or name.startswith("lm_head"):
        return name
    return f"model.{name}" if name.startswith("visual.") else f"model.language_model.{name[6:]}"


def words(values: torch.Tensor) -> torch.Tensor:
    """Unsigned 32-bit values as the int32 of the same bits."""
    return torch.where(values >= 2**31, values - 2**32, values).to(torch.int32)


def _pack_outputs(codes: torch.Tensor) -> torch.Tensor:
    """(rows, out) to (rows, out / 8)."""
    packed = torch.zeros(codes.shape[0], codes.shape[1] // 8, dtype=torch.int64)
    for word in range(packed.shape[1]):
        for place, output in enumerate(AWQ_ORDER):
            packed[:, word] += codes[:, 8 * word + output] * 16**place
    return packed


def change_tensors(folder: Path, edit: Callable[[Tensors], Any]) -> None:
    """`edit` is given all tensors of the checkpoint, and changes them."""
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    write_weights(folder, tensors)


def change_config(folder: Path, **values: Any) -> None:
    """Of the quantization_config."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= values
    (folder / "config.json").write_text(json.dumps(config))
