"""The quantization_config of config.json: how a quantized checkpoint packs its linear layers.

AutoRound writes the layouts of others and names them in packing_format ("backend" in older versions); from
the packing of auto_round/export/export_to_autoround/export.py:

    auto_round:auto_gptq, auto_round:gptq...   GPTQ, zero points minus one
    auto_round:gptqmodel                       GPTQ, zero points as they are
    auto_round:auto_awq, auto_round:awq...     AWQ's gemm

All of them leave out g_idx: the inputs are in their order.
"""

from dataclasses import dataclass

from pocketvl.export.checkpoint.json_object import JsonObject
from pocketvl.quant.packed.awq import AWQ_BITS
from pocketvl.quant.packed.gptq import GPTQ_BITS
from pocketvl.runtime.errors import CheckpointError

GPTQ = "gptq"
AWQ = "awq"

AUTO_ROUND = "auto-round"

_ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}
# In the names of settings: GPTQModel's rotation, transform_config of llm-compressor, FP-Quant's hadamard_..
_ROTATIONS = ("rotat", "hadamard", "transform_config", "quarot", "spinquant")
# By the part of packing_format between its colons; behind it comes the kernel that was meant to run it.
_AUTO_ROUND_GPTQ = {"auto_gptq": "gptq", "gptq": "gptq", "gptqmodel": "gptq_v2"}
_AUTO_ROUND_AWQ = ("auto_awq", "awq")


@dataclass(frozen=True)
class Quantization:
    """One scheme for all packed layers."""

    method: str  # GPTQ or AWQ
    bits: int
    group_size: int | None  # inputs of a group; None: all of a row
    zero_offset: int  # what is added to stored zero points
    has_order: bool = True  # whether GPTQ's g_idx must be stored

    def group(self, in_features: int) -> int:
        """A group that is wider than a row is the row."""
        return min(self.group_size or in_features, in_features)


def read_quantization(config: JsonObject) -> Quantization | None:
    """None for a checkpoint of floats. Raises CheckpointError for schemes that pocketvl does not read."""
    for owner in (config, config.child("text_config")):
        if owner.has("compression_config"):
            raise _unknown(owner.child("compression_config"), "compressed-tensors")
        if owner.has("quantization_config"):
            return _read(owner.child("quantization_config"))
    return None


def _read(config: JsonObject) -> Quantization:
    method = config.text("quant_method", "")
    _refuse_rotations(config)
    if method == GPTQ:
        return _gptq(config)
    if method == AWQ:
        return _awq(config)
    if method in (AUTO_ROUND, f"intel/{AUTO_ROUND}"):
        return _auto_round(config)
    raise _unknown(config, method)


def _refuse_rotations(config: JsonObject) -> None:
    """Rotations that inputs go through while the model runs: without them integers mean something else."""
    for key, value in config.values.items():
        if value and any(word in key.lower() for word in _ROTATIONS):
            raise CheckpointError(
                f"{config.where}: {key!r} says that activations are rotated while the model runs (as QuaRot"
                " and SpinQuant do), which pocketvl's graphs do not. Export the original 16-bit checkpoint:"
                " pocketvl folds rotations into its weights."
            )


def _gptq(config: JsonObject) -> Quantization:
    version = config.text("checkpoint_format", config.text("format", "gptq"))
    if version not in _ZERO_OFFSETS:
        raise CheckpointError(
            f"{config.where}: GPTQ weights in the format {version!r} cannot be read; save the model in the"
            " format 'gptq' or 'gptq_v2'."
        )
    if config.text("pack_dtype", "int32") != "int32":
        raise CheckpointError(
            f"{config.where}: 'pack_dtype' is {config.text('pack_dtype')!r}; save the model with 'int32'."
        )
    # Entries that begin with "-:" leave layers in float; all others give some layers other bits.
    special = [key for key in config.child("dynamic").values if not key.startswith("-:")]
    if special:
        raise CheckpointError(
            f"{config.where}: 'dynamic' gives the layers {special[0]!r} a quantization of their own, which"
            " pocketvl does not read. Quantize all layers alike."
        )
    bits = _bits(config, GPTQ_BITS)
    return Quantization(GPTQ, bits, _group_size(config), _ZERO_OFFSETS[version])


def _awq(config: JsonObject) -> Quantization:
    version = config.text("version", config.text("format", "gemm")).lower()
    if version != "gemm":
        raise CheckpointError(
            f"{config.where}: AWQ weights in the layout {version!r} cannot be read; save the model in the"
            " layout 'gemm'."
        )
    return Quantization(AWQ, _bits(config, (AWQ_BITS,)), _group_size(config), 0)


def _auto_round(config: JsonObject) -> Quantization:
    packing = config.text("packing_format", config.text("backend", "auto_round"))
    family, _, layout = packing.partition(":")
    layout = layout.partition(":")[0]
    if family != "auto_round" or layout not in (*_AUTO_ROUND_GPTQ, *_AUTO_ROUND_AWQ):
        raise CheckpointError(
            f"{config.where}: AutoRound weights in the packing_format {packing!r} cannot be read; save the"
            " model in the format 'auto_round:auto_gptq'."
        )
    kind, activations = config.text("data_type", "int"), config.integer("act_bits", 16)
    if kind != "int" or activations < 16:
        raise CheckpointError(
            f"{config.where}: AutoRound weights of data_type {kind!r} for activations of {activations} bits"
            " cannot be read, only 'int' for 16."
        )
    own = config.child("extra_config")
    for layer in own.values:
        _check_alike(config, own.child(layer), layer)
    if layout in _AUTO_ROUND_AWQ:
        return Quantization(AWQ, _bits(config, (AWQ_BITS,)), _group_size(config), 0)
    offset = _ZERO_OFFSETS[_AUTO_ROUND_GPTQ[layout]]
    return Quantization(GPTQ, _bits(config, GPTQ_BITS), _group_size(config), offset, has_order=False)


def _check_alike(config: JsonObject, own: JsonObject, layer: str) -> None:
    """Some layers may be left in float, but none packed in another way."""
    if own.integer("bits", 0) >= 16:
        return
    for key in ("bits", "group_size", "data_type"):
        if own.has(key) and own.values[key] != config.values.get(key, "int"):
            raise CheckpointError(
                f"{config.where}: 'extra_config' gives {layer!r} a {key} of its own, {own.values[key]!r},"
                " which pocketvl does not read. Quantize all layers alike, or leave some at 16 bits."
            )


def _bits(config: JsonObject, known: tuple[int, ...]) -> int:
    key = "w_bit" if config.has("w_bit") else "bits"
    bits = config.integer(key)
    if bits not in known:
        raise CheckpointError(
            f"{config.where}: weights of {bits} bits cannot be read, only of"
            f" {' or '.join(map(str, known))}. Export the original 16-bit checkpoint."
        )
    return bits


def _group_size(config: JsonObject) -> int | None:
    key = "q_group_size" if config.has("q_group_size") else "group_size"
    size = config.integer(key)
    if size != -1 and size < 1:
        raise CheckpointError(f"{config.where}: {key!r} must be -1 or positive, not {size}.")
    return None if size == -1 else size


def _unknown(config: JsonObject, method: str) -> CheckpointError:
    if not method and (config.has("load_in_4bit") or config.has("load_in_8bit")):
        method = "bitsandbytes"
    return CheckpointError(
        f"{config.where}: checkpoints quantized with {method or 'an unnamed method'!r} are not supported,"
        f" only {GPTQ!r}, {AWQ!r} and {AUTO_ROUND!r}. Export the original 16-bit checkpoint."
    )
