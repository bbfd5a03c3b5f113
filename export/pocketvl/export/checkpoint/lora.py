"""LoRA adapters merged into a checkpoint while its tensors are read.

An adapter is in PEFT's form: adapter_config.json and adapter_model.safetensors.

Hu et al., "LoRA" (2021): W + alpha / r * B A; with alpha / sqrt(r) for rank-stabilised ones (Kalajdzievski,
2023). Keys and options as in peft/tuners/lora/config.py and peft/utils/other.py (get_pattern_key).
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from pocketvl.export.checkpoint.checkpoint import Checkpoint, hash_files
from pocketvl.export.checkpoint.header import StoredTensor, read_header
from pocketvl.export.checkpoint.json_object import JsonObject, read_object
from pocketvl.export.checkpoint.weights import FLOATS, read_tensor
from pocketvl.export.layers import EMBEDDING, LM_HEAD, Shapes, expected_tensors, linear_layers, stored_names
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_PICKLE = "adapter_model.bin"
# base_model.model.<module>.lora_A.weight, or with the adapter's name before "weight".
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])(\.\w+)?\.weight")
# Options under which lora_A and lora_B mean something else, or are not all.
_OTHER_KINDS = {
    "alora_invocation_tokens": "an adapter that starts to act at certain tokens (aLoRA)",
    "layer_replication": "layers that are used several times",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "trainable_token_indices": "trained embeddings of tokens",
}
# Initialisations that change the base model's weights, so that the adapter fits no other.
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


class MergedLora:
    """A checkpoint with adapters added to its weights, one after the other; a component.TensorSource.

    Pickles by reading the adapters again. fixed_bits and requantized are the checkpoint's, but that the
    integers of an adapted layer never stand, so that the recipe decides over its bits.
    """

    def __init__(self, base: Checkpoint, folders: Sequence[Path]) -> None:
        """Raises CheckpointError for an adapter that does not fit the checkpoint."""
        self._base, self._folders = base, tuple(folder.expanduser() for folder in folders)
        shapes = expected_tensors(base.geometry)
        adapters = [read_adapter(folder, shapes) for folder in self._folders]
        self._updates = {
            name: tuple(adapter[name] for adapter in adapters if name in adapter)
            for name in {name for adapter in adapters for name in adapter}
        }
        layers = linear_layers(base.geometry)
        self._adapted = {layer.name for layer in layers if f"{layer.source}.weight" in self._updates}
        self.geometry: ModelGeometry = base.geometry
        self.name = " + ".join([base.name, *(folder.resolve().name for folder in self._folders)])
        self.notes: tuple[str, ...] = (
            *base.notes,
            *(note for folder in self._folders for note in base_note(folder, base.name)),
        )
        self.packing = base.packing
        self.fixed_bits = {
            layer: precision for layer, precision in base.fixed_bits.items() if layer not in self._adapted
        }
        packed = base.requantized | base.fixed_bits.keys()
        self.requantized = base.requantized | (packed & self._adapted)

    def __reduce__(self) -> tuple[type["MergedLora"], tuple[Checkpoint, tuple[Path, ...]]]:
        return MergedLora, (self._base, self._folders)

    def tensor(self, name: str) -> torch.Tensor:
        """As Checkpoint.tensor; merged weights are float32."""
        weight = self._base.tensor(name)
        for update in self._updates.get(name, ()):
            weight = update.add_to(weight.float(), name)
        return weight

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """As Checkpoint.quantized; None for an adapted layer."""
        return None if layer in self._adapted else self._base.quantized(layer)

    def fingerprint(self) -> str:
        """sha256 over the checkpoint's and every adapter's, in their order; computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        files = [(folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS) for folder in self._folders]
        parts = [hash_files(paths) for paths in files]
        return hashlib.sha256("\n".join([self._base.fingerprint(), *parts]).encode()).hexdigest()


def merge_lora(checkpoint: Checkpoint, folders: Sequence[Path]) -> Checkpoint | MergedLora:
    """The checkpoint itself where there are no adapters. Raises CheckpointError."""
    return MergedLora(checkpoint, folders) if folders else checkpoint


@dataclass(frozen=True)
class Update:
    """What is added to one weight: scale * B A, with A (rank, in) and B (out, rank)."""

    a: StoredTensor
    b: StoredTensor
    scale: float

    def add_to(self, weight: torch.Tensor, name: str) -> torch.Tensor:
        """weight (out, in) float32, changed in place. Raises CheckpointError for values that are not finite,
        in the sum as well."""
        a = read_tensor(self.a, f"{name} lora_A").float()
        b = read_tensor(self.b, f"{name} lora_B").float()
        weight.addmm_(b, a, alpha=self.scale)
        if not torch.isfinite(torch.stack(torch.aminmax(weight))).all():
            raise CheckpointError(
                f"{self.a.file}: with its scale of {self.scale:g} the update of {name} has values beyond"
                f" float32; correct lora_alpha in {ADAPTER_CONFIG}."
            )
        return weight


def read_adapter(folder: Path, shapes: Shapes) -> dict[str, Update]:
    """Hub name of a weight -> what is added to it. shapes: hub name -> shape, of the base model.

    Raises CheckpointError for another folder, an adapter of another kind or for another base model.
    """
    config = _read_config(folder)
    pairs = _pairs(folder / ADAPTER_WEIGHTS, config)
    names = {stored: name for name in shapes for stored in stored_names(name)}
    updates = {}
    for module, halves in pairs.items():
        name = names.get(f"{module}.weight")
        if name is None or len(shapes[name]) != 2 or name == EMBEDDING:
            raise _no_linear(folder, module, name, config)
        if name in updates:
            raise CheckpointError(f"{folder} adapts {name} twice, under two names; save the adapter again.")
        updates[name] = _update(module, halves, shapes[name], config)
    return updates


def base_note(folder: Path, base: str) -> tuple[str, ...]:
    """One sentence, or none, where the adapter names another base model than the one of this name.

    Owners and capitals do not count: a copy in a folder has none. Raises CheckpointError.
    """
    trained_on = read_object(folder / ADAPTER_CONFIG).text("base_model_name_or_path", "")
    last = [name.rstrip("/").rpartition("/")[2].casefold() for name in (trained_on, base)]
    if not trained_on or last[0] == last[1]:
        return ()
    return (
        f"The adapter {folder.resolve().name} names {trained_on} as its base model and is merged into"
        f" {base}. Its shapes fit; what it learnt does only if the two are the same model.",
    )


def _read_config(folder: Path) -> JsonObject:
    if not (folder / ADAPTER_CONFIG).is_file():
        raise CheckpointError(f"{folder} holds no {ADAPTER_CONFIG}, so it is not a LoRA adapter of PEFT.")
    config = read_object(folder / ADAPTER_CONFIG)
    if config.text("peft_type", "") != "LORA":
        raise CheckpointError(
            f"{config.where} has peft_type {config.text('peft_type', '')!r}; only 'LORA' can be merged."
        )
    if config.flag("use_dora", False):
        raise _unsupported(config, "use_dora", "DoRA")
    if config.text("bias", "none") != "none":
        raise _unsupported(config, "bias", "trained biases")
    if config.values.get("modules_to_save"):
        raise _unsupported(config, "modules_to_save", "modules trained whole")
    for key, what in _OTHER_KINDS.items():
        if config.values.get(key):
            raise _unsupported(config, key, what)
    start = config.values.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_OTHER_BASE):
        raise _unsupported(config, "init_lora_weights", f"an adapter that changed its base model ({start})")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        if (folder / _PICKLE).exists():
            raise CheckpointError(
                f"{folder} holds its adapter as a pickle ({_PICKLE}), which can run any code when read."
                " Save it with PEFT's save_pretrained(safe_serialization=True)."
            )
        raise CheckpointError(f"{folder} holds no {ADAPTER_WEIGHTS}; copy or download it.")
    return config


def _pairs(path: Path, config: JsonObject) -> dict[str, dict[str, StoredTensor]]:
    """Module -> {"A": ..., "B": ...}."""
    pairs: dict[str, dict[str, StoredTensor]] = {}
    for key, place in read_header(path).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise CheckpointError(
                f"{path}: {key} is no lora_A or lora_B of a linear layer, so merging would lose it;"
                " merge the adapter with PEFT (merge_and_unload) and export the result."
            )
        if place.dtype not in FLOATS:
            raise CheckpointError(
                f"{path}: {key} has the type {place.dtype}; save the adapter as one of {', '.join(FLOATS)}."
            )
        halves = pairs.setdefault(match["module"], {})
        if match["half"] in halves:
            raise CheckpointError(
                f"{path} holds lora_{match['half']} of {match['module']} twice; save it again."
            )
        halves[match["half"]] = place
    if not pairs:
        raise CheckpointError(f"{path} holds no tensors, so {config.where} describes an empty adapter.")
    return pairs


def _update(
    module: str, halves: dict[str, StoredTensor], shape: tuple[int, ...], config: JsonObject
) -> Update:
    if len(halves) == 1:
        missing = "AB".replace(next(iter(halves)), "")
        raise CheckpointError(f"{config.where}: the adapter lacks lora_{missing} of {module}.")
    a, b = halves["A"], halves["B"]
    rank = _of_module(config, "rank_pattern", module, config.integer("r"))
    alpha = _of_module(config, "alpha_pattern", module, config.number("lora_alpha"))
    out_features, in_features = shape
    if a.shape[1:] != (in_features,) or b.shape[:1] != (out_features,):
        raise CheckpointError(
            f"{a.file} was made for {_another_base(config)}: {module} has lora_A {list(a.shape)} and lora_B"
            f" {list(b.shape)}, but the weight here is {list(shape)}."
        )
    if rank < 1 or a.shape != (rank, in_features) or b.shape != (out_features, rank):
        raise CheckpointError(
            f"{a.file}: {module} has lora_A {list(a.shape)} and lora_B {list(b.shape)}, but"
            f" {ADAPTER_CONFIG} gives it the rank {rank:g}."
        )
    stabilised = config.flag("use_rslora", False)
    scale = alpha / (math.sqrt(rank) if stabilised else rank)
    if abs(scale) > torch.finfo(torch.float32).max:
        raise CheckpointError(
            f"{config.where} scales {module} by {scale:g}, beyond float32; correct lora_alpha."
        )
    return Update(a, b, scale)


def _of_module(config: JsonObject, key: str, module: str, default: float) -> float:
    """The value of the first pattern that ends the module's path, else the default."""
    patterns = config.child(key)
    for pattern in patterns.values:
        try:
            matches = re.fullmatch(rf"(.*\.)?({pattern})", module)
        except re.error as error:
            raise CheckpointError(f"{patterns.where}: {pattern!r} is no pattern ({error}).") from None
        if matches:
            return patterns.number(pattern)
    return default


def _no_linear(folder: Path, module: str, name: str | None, config: JsonObject) -> CheckpointError:
    if name is None and f"{module}.weight" == LM_HEAD:
        return CheckpointError(
            f"{folder} adapts lm_head, which in this model is the table of embeddings as well (tied); an"
            " update of only one of them cannot be merged. Train the adapter without lm_head."
        )
    if name is None:
        return CheckpointError(
            f"{folder} was made for {_another_base(config)}: it adapts {module}, which this model lacks."
        )
    return CheckpointError(
        f"{folder} adapts {module}, which is no linear layer; merge the adapter with PEFT"
        " (merge_and_unload) and export the result."
    )


def _another_base(config: JsonObject) -> str:
    return f"another base model ({config.text('base_model_name_or_path', 'not named')})"


def _unsupported(config: JsonObject, key: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{config.where}: {key!r} asks for {what}, which is not merged here; merge the adapter with PEFT"
        " (merge_and_unload) and export the result."
    )
