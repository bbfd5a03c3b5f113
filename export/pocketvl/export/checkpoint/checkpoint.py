"""An opened checkpoint: everything checked, weights read on demand."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from pocketvl.export.checkpoint.config import CONFIG_FILE, ModelConfig, check_model_type, read_config
from pocketvl.export.checkpoint.generation import ignored_settings, read_sampling
from pocketvl.export.checkpoint.header import StoredTensor
from pocketvl.export.checkpoint.image_files import image_notes, read_image_settings
from pocketvl.export.checkpoint.packed import PACKED_LM_HEAD, locate_packed
from pocketvl.export.checkpoint.quantization import read_quantization
from pocketvl.export.checkpoint.settings import (
    SETTINGS_FILES,
    TOKENIZER_FILE,
    read_added_tokens,
    read_chat_template,
    special_tokens,
    template_notes,
    turn_notes,
)
from pocketvl.export.checkpoint.source import locate
from pocketvl.export.checkpoint.weights import (
    INDEX_FILE,
    Weights,
    check_all_used,
    check_index,
    locate_tensor,
    read_headers,
    same_values,
    weight_files,
)
from pocketvl.export.layers import EMBEDDING, LM_HEAD, expected_tensors
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry, SamplingDefaults, SpecialTokens
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.files import regular_size

_CHUNK = 1 << 20


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over names, sizes and contents, in the order of the names. Raises CheckpointError."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        try:
            _update(digest, path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", path: Path) -> None:
    digest.update(f"{path.name}\0{regular_size(path, CheckpointError)}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def open_checkpoint(model: str, revision: str | None = None) -> "Checkpoint":
    """Open a hub id (downloading what is needed), a local folder, or `tiny`, the shipped model.

    revision: a branch, tag or commit of a hub id.

    Everything but the weights' values is checked here: config, tokenizer, every tensor's presence, shape
    and type, every file's size. Raises CheckpointError, and UsageError for a revision of a folder.
    """
    source = locate(model, revision)
    try:
        return Checkpoint(source.folder, source.name, source.revision)
    except OSError as error:
        raise CheckpointError(f"{source.folder} cannot be read: {error}.") from None


class Checkpoint:
    """A Qwen2-VL checkpoint in a local folder, of floats or packed by GPTQ or AWQ; a component.TensorSource.

    Pickles by opening again.

    packing: "gptq", "awq", or None for floats.
    fixed_bits: layer, as recipes call it -> the bits that the checkpoint decides: those of integers that can
    stand as they are, and 8 where it packs 8 bits.
    requantized: the packed layers whose integers cannot stand; they are quantized again from their floats.
    notes: sentences for the user about what the checkpoint leaves open or says twice.
    """

    def __init__(self, folder: Path, name: str, revision: str | None = None) -> None:
        quantization = read_quantization(check_model_type(folder))
        files = weight_files(folder)
        headers = read_headers(files)
        check_index(folder, files, headers)
        config = read_config(folder, has_lm_head=LM_HEAD in headers or PACKED_LM_HEAD in headers)
        config, copies, notes = _with_own_head(config, headers, folder, name)
        self.name = name
        self.revision = revision  # the commit on the hub
        self.geometry: ModelGeometry = config.geometry
        self.tokenizer_file = folder / TOKENIZER_FILE
        self.chat_template: str | None = read_chat_template(folder)
        tokens = read_added_tokens(folder)
        self.special_tokens: SpecialTokens = special_tokens(folder, config, tokens, self.chat_template)
        self.image: ImageSettings = read_image_settings(folder, config.geometry.vision)
        self.sampling: SamplingDefaults = read_sampling(folder)
        self._packed = locate_packed(headers, config.geometry, quantization, folder)
        self._packed_weights = {f"{linear.source}.weight": linear for linear in self._packed.values()}
        self._weights = Weights(headers, config.geometry, folder, self._packed_weights)
        packed = {place for linear in self._packed.values() for place in linear.places.values()}
        used = self._weights.places | packed | copies
        check_all_used(headers, used, expected_tensors(config.geometry), folder)
        self.notes: tuple[str, ...] = (
            *notes,
            *template_notes(folder, tokens.ids, self.chat_template),
            *turn_notes(self.special_tokens),
            *image_notes(folder, self.image),
            *ignored_settings(folder),
        )
        self.packing = None if quantization is None else quantization.method
        precisions = {layer: linear.precision for layer, linear in self._packed.items()}
        self.requantized = frozenset(layer for layer in precisions if precisions[layer] is None)
        least = Precision(8) if quantization is not None and quantization.bits == 8 else None
        decided = {layer: precisions[layer] or least for layer in precisions}
        self.fixed_bits = {layer: known for layer, known in decided.items() if known is not None}
        self.folder = folder
        self._weight_files = files

    def __reduce__(self) -> tuple[type["Checkpoint"], tuple[Path, str, str | None]]:
        return Checkpoint, (self.folder, self.name, self.revision)

    @property
    def chat(self) -> bool:
        """Whether the template has turns: False for a base model, which is prompted by completion."""
        return self.special_tokens.im_end is not None

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor by its hub name (`visual.*`, `model.*`, `lm_head.weight`), in the stored dtype:
        bfloat16, float16 or float32; float32 (out, in) for a packed weight. Each call reads it again, and the
        caller owns the memory.

        Raises CheckpointError for values that are not finite, KeyError for a name of another geometry.
        """
        packed = self._packed_weights.get(name)
        return self._weights.read(name) if packed is None else torch.from_numpy(packed.weight())

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """The checkpoint's own integers, of fixed_bits; None for floats and for `requantized`."""
        packed = self._packed.get(layer)
        return None if packed is None else packed.quantized()

    def fingerprint(self) -> str:
        """sha256 over names, sizes and contents of the files that were used; computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        small = [self.folder / name for name in (CONFIG_FILE, INDEX_FILE, *SETTINGS_FILES)]
        return hash_files({path for path in small if path.exists()} | set(self._weight_files))


def _with_own_head(
    config: ModelConfig, headers: Mapping[str, StoredTensor], folder: Path, name: str
) -> tuple[ModelConfig, frozenset[StoredTensor], tuple[str, ...]]:
    """A head unlike the embedding is the model's own, whatever config.json says, as in transformers.

    Returns the config, the copies of the embedding that need not be read, and notes.
    """
    text = config.geometry.text
    if not text.tie_word_embeddings or not {LM_HEAD, PACKED_LM_HEAD} & headers.keys():
        return config, frozenset(), ()
    if LM_HEAD in headers:
        shape = (text.vocab_size, text.hidden_size)
        head, embedding = (locate_tensor(headers, name, shape, folder) for name in (LM_HEAD, EMBEDDING))
        if same_values(head, embedding):
            return config, frozenset({head}), ()
    geometry = replace(config.geometry, text=replace(text, tie_word_embeddings=False))
    note = (
        f"{name} has an lm_head of its own, which differs from the embedding, although its config.json"
        " says that the two are tied: both are exported, so the bundle is larger by one table."
    )
    return replace(config, geometry=geometry), frozenset(), (note,)
