"""The weight files of a folder: found, checked by their headers, read a tensor at a time, none left over."""

import re
from collections.abc import Collection, Mapping, Set
from io import FileIO
from math import prod
from pathlib import Path

import torch

from pocketvl.export.checkpoint.header import StoredTensor, read_header
from pocketvl.export.checkpoint.json_object import read_object
from pocketvl.export.layers import EMBEDDING, LM_HEAD, Shapes, expected_tensors, stored_names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.errors import CheckpointError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
WORDS = {"I32": torch.int32}  # of packed integers
_COMPARED = 1 << 21  # values compared at a time
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Tables that older versions of transformers saved and every version computes.
_HARMLESS = re.compile(r"(.*\.)?rotary(_pos)?_emb\.(original_)?(inv_freq|cos_cached|sin_cached)")
_SHOWN = 3


def shard_names(folder: Path) -> tuple[str, ...] | None:
    """The files that the index names, sorted; None without an index. Raises CheckpointError."""
    path = folder / INDEX_FILE
    if not path.exists():
        return None
    weight_map = read_object(path).child("weight_map").values
    names = sorted({str(name) for name in weight_map.values()})
    # A name with folders in it could point anywhere on the user's disk.
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise CheckpointError(f"{path} does not name the safetensors files beside it; download it again.")
    return tuple(names)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """model.safetensors, or the shards that the index names. Raises CheckpointError, also where both are
    there."""
    shards = shard_names(folder)
    if (folder / SINGLE_FILE).exists():
        others = [name for name in shards or () if name != SINGLE_FILE and (folder / name).exists()]
        if others:
            raise CheckpointError(
                f"{folder} holds weights twice, as {SINGLE_FILE} and as {others[0]} with the others of"
                f" {INDEX_FILE}; move away the ones that are not meant."
            )
        return (folder / SINGLE_FILE,)
    if shards is None:
        raise CheckpointError(_no_weights(folder))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the {len(shards)} weight files that {INDEX_FILE} names:"
            f" {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}. Copy or download them."
        )
    return tuple(folder / name for name in shards)


def check_index(folder: Path, files: tuple[Path, ...], headers: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointError for a tensor that the index of these shards names and none of them holds."""
    if [path.name for path in files] == [SINGLE_FILE]:
        return
    named = read_object(folder / INDEX_FILE).child("weight_map").values
    missing = sorted(named.keys() - headers.keys())
    if missing:
        raise CheckpointError(
            f"{folder}: {INDEX_FILE} names the tensor {missing[0]}, which no shard holds; the files are of"
            " different checkpoints. Copy or download them again."
        )


def _no_weights(folder: Path) -> str:
    files = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in files if name.endswith(_PICKLES)]
    if any(name.startswith("adapter_") for name in files):
        return f"{folder} holds a LoRA adapter, not a model; give its base model, and the adapter by --lora."
    if pickles:
        return (
            f"{folder} holds its weights as pickles ({pickles[0]}), which can run any code when read."
            " Convert them with transformers: from_pretrained, then save_pretrained."
        )
    return f"{folder} holds neither {SINGLE_FILE} nor {INDEX_FILE}; the weights are missing."


class Weights:
    """Every float tensor that a geometry needs, located and checked; only headers are read up front."""

    def __init__(
        self,
        headers: dict[str, StoredTensor],
        geometry: ModelGeometry,
        where: Path,
        packed: Collection[str] = (),
    ) -> None:
        """headers: stored name -> place, of all files. packed: names of tensors that are not stored as
        floats. Raises CheckpointError for a tensor that is missing, misshapen or not of a float type."""
        self._tied = geometry.text.tie_word_embeddings
        self._places = {
            name: locate_tensor(headers, name, shape, where)
            for name, shape in expected_tensors(geometry).items()
            if name not in packed
        }

    @property
    def places(self) -> frozenset[StoredTensor]:
        """Every tensor that can be read here."""
        return frozenset(self._places.values())

    def read(self, name: str) -> torch.Tensor:
        """A private copy in the stored dtype; `lm_head.weight` of a tied model is the embedding.

        Raises KeyError for a name that the geometry does not have, CheckpointError as read_tensor does.
        """
        return read_tensor(self._places[EMBEDDING if self._tied and name == LM_HEAD else name], name)


def read_tensor(place: StoredTensor, name: str) -> torch.Tensor:
    """A private copy in the stored dtype, one of FLOATS or WORDS.

    Raises CheckpointError for a file that changed or a tensor with values that are not finite.
    """
    # Plain reads: pages of a memory map would count as this process's memory until unmapped.
    data = torch.empty(place.size, dtype=torch.uint8)
    try:
        with place.file.open("rb", buffering=0) as file:
            file.seek(place.offset)
            complete = _fill(file, data.numpy().data)
    except OSError as error:
        raise CheckpointError(f"{place.file} cannot be read: {error.strerror or error}.") from None
    if not complete:
        raise CheckpointError(f"{place.file} ended inside {name}: it changed while it was read.")
    tensor = data.view((FLOATS | WORDS)[place.dtype]).reshape(place.shape)
    # NaN and infinities both survive a sum of extremes, and no second array is needed.
    if not torch.isfinite(torch.stack(torch.aminmax(tensor)).float()).all():
        raise CheckpointError(
            f"{place.file}: the tensor {name} holds NaN or infinite values; the checkpoint is damaged"
            " or its training diverged."
        )
    return tensor


def same_values(first: StoredTensor, second: StoredTensor) -> bool:
    """Whether two tensors of one shape hold the same numbers.

    Reads a few megabytes at a time and stops at the first difference. Raises CheckpointError for a file that
    cannot be read.
    """
    item = [place.size // max(1, prod(place.shape)) for place in (first, second)]
    try:
        with first.file.open("rb", buffering=0) as one, second.file.open("rb", buffering=0) as other:
            one.seek(first.offset)
            other.seek(second.offset)
            for start in range(0, prod(first.shape), _COMPARED):
                count = min(_COMPARED, prod(first.shape) - start)
                parts = [bytearray(count * size) for size in item]
                if not (_fill(one, memoryview(parts[0])) and _fill(other, memoryview(parts[1]))):
                    raise CheckpointError(f"{first.file} ended early: it changed while it was read.")
                if first.dtype == second.dtype:
                    if parts[0] != parts[1]:
                        return False
                elif not torch.equal(_floats(parts[0], first.dtype), _floats(parts[1], second.dtype)):
                    return False
    except OSError as error:
        raise CheckpointError(f"{first.file} cannot be read: {error.strerror or error}.") from None
    return True


def _floats(data: bytearray, dtype: str) -> torch.Tensor:
    return torch.frombuffer(data, dtype=FLOATS[dtype]).float()


def read_headers(files: tuple[Path, ...]) -> dict[str, StoredTensor]:
    """The headers of all files together. Raises CheckpointError, also for a name stored twice."""
    headers: dict[str, StoredTensor] = {}
    for path in files:
        found = read_header(path)
        twice = sorted(headers.keys() & found.keys())
        if twice:
            raise CheckpointError(
                f"{path} holds the tensor {twice[0]}, which {headers[twice[0]].file.name} holds, too;"
                " the shards are of different checkpoints."
            )
        headers |= found
    return headers


def locate_tensor(
    headers: Mapping[str, StoredTensor],
    name: str,
    shape: tuple[int, ...],
    where: Path,
    types: Collection[str] = FLOATS,
) -> StoredTensor:
    """Where the tensor of the hub's name stands. Raises CheckpointError if it is missing or misshapen."""
    place = next((headers[stored] for stored in stored_names(name) if stored in headers), None)
    if place is None:
        raise CheckpointError(
            f"{where} lacks the tensor {name} of shape {list(shape)}; its weights do not fit its config.json."
        )
    if place.shape != shape:
        raise CheckpointError(
            f"{place.file}: the tensor {name} has the shape {list(place.shape)}, but config.json asks for"
            f" {list(shape)}."
        )
    if place.dtype not in types:
        advice = " Save the model in bfloat16 with transformers." if "BF16" in types else ""
        raise CheckpointError(
            f"{place.file}: the tensor {name} has the type {place.dtype}; pocketvl reads"
            f" {', '.join(types)}.{advice}"
        )
    return place


def _fill(file: FileIO, view: memoryview) -> bool:
    """Read until the view is full; the system may return less than asked. False at the file's end."""
    position = 0
    while position < len(view):
        count = file.readinto(view[position:])
        if not count:
            return False
        position += count
    return True


def check_all_used(
    headers: Mapping[str, StoredTensor], used: Set[StoredTensor], shapes: Shapes, where: Path
) -> None:
    """headers: stored name -> place, of all files. shapes: hub name -> shape, of the geometry.

    Raises CheckpointError, by name, for tensors that the geometry does not have, and for one that is stored
    under both of its names, or packed and as floats.
    """
    left = {name: place for name, place in headers.items() if place not in used}
    shapes = {LM_HEAD: shapes[EMBEDDING], **shapes}
    known = {stored: name for name in shapes for stored in stored_names(name)}
    for name in left:
        if name in known:
            others = [stored for stored in stored_names(known[name]) if stored != name and stored in headers]
            first = others[0] if others else "packed integers"
            raise CheckpointError(
                f"{where} holds {known[name]} twice, as {first} and as {name}; save the model again."
            )
    strange = sorted(
        name
        for name, place in left.items()
        if not _HARMLESS.fullmatch(name) and not _is_zero_bias(name, place, known, shapes)
    )
    if strange:
        names = ", ".join(strange[:_SHOWN]) + (" ..." if len(strange) > _SHOWN else "")
        raise CheckpointError(
            f"{where} holds {len(strange)} tensors that the model of its config.json does not have: {names}."
            " Without them it would be another model. Correct config.json, or remove the tensors if they are"
            " left over from training."
        )


def _is_zero_bias(name: str, place: StoredTensor, known: Mapping[str, str], shapes: Shapes) -> bool:
    """Some tools give zeros as bias to linear layers that have none."""
    module, _, kind = name.rpartition(".")
    weight = shapes.get(known.get(f"{module}.weight", ""))
    if kind != "bias" or weight is None or place.dtype not in FLOATS or place.shape != weight[:1]:
        return False
    return not read_tensor(place, name).any()
