"""An opened checkpoint: everything checked, weights read on demand."""

import hashlib
from functools import cached_property
from pathlib import Path

import torch

from pocketvl.export.checkpoint.config import CONFIG_FILE, check_model_type, read_config
from pocketvl.export.checkpoint.settings import (
    SETTINGS_FILES,
    TOKENIZER_FILE,
    read_added_tokens,
    read_chat_template,
    read_image_settings,
    read_sampling,
    special_tokens,
)
from pocketvl.export.checkpoint.source import locate
from pocketvl.export.checkpoint.tensors import LM_HEAD
from pocketvl.export.checkpoint.weights import INDEX_FILE, Weights, read_headers, weight_files
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.geometry import ImageSettings, ModelGeometry, SamplingDefaults, SpecialTokens

_CHUNK = 1 << 20


def open_checkpoint(model: str) -> "Checkpoint":
    """Open a hub id (downloading what is needed), a local folder, or `tiny`, the shipped model.

    Everything but the weights' values is checked here: config, tokenizer, every tensor's presence, shape
    and type, every file's size. Raises CheckpointError.
    """
    source = locate(model)
    try:
        return Checkpoint(source.folder, source.name)
    except OSError as error:
        raise CheckpointError(f"{source.folder} cannot be read: {error}.") from None


class Checkpoint:
    """A Qwen2-VL checkpoint in a local folder; a component.TensorSource. Pickles by opening again."""

    def __init__(self, folder: Path, name: str) -> None:
        check_model_type(folder)
        files = weight_files(folder)
        headers = read_headers(files)
        config = read_config(folder, has_lm_head=LM_HEAD in headers)
        self.name = name
        self.geometry: ModelGeometry = config.geometry
        self.tokenizer_file = folder / TOKENIZER_FILE
        self.chat_template: str | None = read_chat_template(folder)
        self.special_tokens: SpecialTokens = special_tokens(
            folder, config, read_added_tokens(folder), self.chat_template
        )
        self.image: ImageSettings = read_image_settings(folder, config.geometry.vision)
        self.sampling: SamplingDefaults = read_sampling(folder)
        self._weights = Weights(headers, config.geometry, folder)
        self.folder = folder
        self._weight_files = files

    def __reduce__(self) -> tuple[type["Checkpoint"], tuple[Path, str]]:
        return Checkpoint, (self.folder, self.name)

    @property
    def chat(self) -> bool:
        """Whether the template has turns: False for a base model, which is prompted by completion."""
        return self.special_tokens.im_end is not None

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor by its hub name (`visual.*`, `model.*`, `lm_head.weight`), in the stored dtype:
        bfloat16, float16 or float32. Each call reads it again, and the caller owns the memory.

        Raises CheckpointError for values that are not finite, KeyError for a name of another geometry.
        """
        return self._weights.read(name)

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """None: the checkpoint holds floats."""
        return None

    def fingerprint(self) -> str:
        """sha256 over names, sizes and contents of the files that were used; computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        small = [self.folder / name for name in (CONFIG_FILE, INDEX_FILE, *SETTINGS_FILES)]
        files = {path for path in small if path.exists()} | set(self._weight_files)
        digest = hashlib.sha256()
        for path in sorted(files, key=lambda path: path.name):
            try:
                _update(digest, path)
            except OSError as error:
                raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
        return digest.hexdigest()


def _update(digest: "hashlib._Hash", path: Path) -> None:
    digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
