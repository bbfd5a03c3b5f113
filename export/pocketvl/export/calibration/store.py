"""What was decided so far, on disk, so that an interrupted calibration goes on where it stopped."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from pocketvl.export.component import PackedSource
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import CalibrationError

_KEY = "calibration.json"
_FLOW = "flow.safetensors"
_INTEGERS, _SCALES = "#integers", "#scales"


@dataclass
class Decisions:
    """Of one unit (a block, the merger, the head): integers by layer, changed float tensors by hub name."""

    quantized: dict[str, QuantizedLinear] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)


class Store:
    """A folder with a file for every finished unit and one for the activations that the next one reads."""

    def __init__(self, folder: Path, key: str) -> None:
        """`key` identifies model, recipe and data: what another key left behind is removed.

        Raises CalibrationError if the folder cannot be written.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for cut in (*folder.glob("*.new"), *folder.glob(".tmp*")):  # writing was cut off there
                cut.unlink()
            path = folder / _KEY
            if not path.exists() or path.read_bytes() != json.dumps(key).encode():
                for old in folder.glob("*.safetensors"):
                    old.unlink()
                path.write_text(json.dumps(key), encoding="utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from None

    def has(self, unit: str) -> bool:
        return self._path(unit).exists()

    def finish(self, unit: str, decisions: Decisions, flow: Mapping[str, torch.Tensor]) -> None:
        """Keep a unit's decisions and the activations behind it: these first, so that a unit that is there
        can be gone on from."""
        tensors = {name: value.contiguous() for name, value in decisions.tensors.items()}
        bits = {"unit": unit}  # safetensors cannot read a file with nothing in it
        for layer, quantized in decisions.quantized.items():
            tensors[layer + _INTEGERS] = torch.from_numpy(quantized.integers)
            tensors[layer + _SCALES] = torch.from_numpy(quantized.scales)
            bits[layer] = f"{quantized.bits} {quantized.group_size}"
        hidden = {name: value.contiguous() for name, value in flow.items()}
        _write(hidden, self.folder / _FLOW, {"unit": unit})
        _write(tensors, self._path(unit), bits)

    def flow(self, unit: str) -> dict[str, torch.Tensor] | None:
        """The activations behind a finished unit; None if the interruption came between the two files."""
        path = self.folder / _FLOW
        if not path.exists():
            return None
        with safe_open(path, "pt") as file:
            if file.metadata() != {"unit": unit}:
                return None
        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors

    def forget(self, unit: str) -> None:
        self._path(unit).unlink(missing_ok=True)

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}.safetensors"


class CalibratedSource:
    """A checkpoint with a finished store's integers and changed tensors before its own. Pickles."""

    def __init__(self, source: PackedSource, folder: Path) -> None:
        self._source, self._folder = source, folder
        self.packing, self.fixed_bits = source.packing, source.fixed_bits
        self._files: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            if path.name != _FLOW:
                with safe_open(path, "pt") as file:
                    self._files |= dict.fromkeys(file.keys(), path)
        # Calibration has decided over the others, too.
        self.requantized: Set[str] = frozenset(
            layer for layer in source.requantized if layer + _INTEGERS not in self._files
        )

    @property
    def geometry(self) -> ModelGeometry:
        return self._source.geometry

    def tensor(self, name: str) -> torch.Tensor:
        """As the checkpoint's, or as calibration changed it (float32)."""
        if name not in self._files:
            return self._source.tensor(name)
        with safe_open(self._files[name], "pt") as file:
            value: torch.Tensor = file.get_tensor(name)
            return value

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """Raises CalibrationError if the files do not fit together."""
        path = self._files.get(layer + _INTEGERS)
        if path is None:
            return self._source.quantized(layer)
        with safe_open(path, "pt") as file:
            integers, scales = file.get_tensor(layer + _INTEGERS), file.get_tensor(layer + _SCALES)
            bits, group = (int(word) for word in file.metadata()[layer].split())
        try:
            return QuantizedLinear(integers.numpy(), scales.numpy(), bits, group)
        except ValueError as error:
            raise CalibrationError(
                f"{path} is damaged ({error}); remove {path.parent} and export again."
            ) from None


def _write(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    beside = path.with_suffix(".new")
    try:
        save_file(tensors, beside, metadata)
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise _unwritable(path.parent, error) from None


def _unwritable(folder: Path, error: Exception) -> CalibrationError:
    reason = getattr(error, "strerror", None) or error
    return CalibrationError(
        f"{folder}, where calibration keeps its decisions, cannot be written ({reason}); free some space"
        " there or choose another --output."
    )
