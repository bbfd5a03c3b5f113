"""Tensors of a checkpoint that no part of the export reads: harmless, or a sign that something is lost."""

import re
from collections.abc import Mapping, Set
from pathlib import Path

from pocketvl.export.checkpoint.header import StoredTensor
from pocketvl.export.checkpoint.tensors import EMBEDDING, LM_HEAD, Shapes, stored_names
from pocketvl.export.checkpoint.weights import FLOATS, read_tensor
from pocketvl.runtime.errors import CheckpointError

# Tables that older versions of transformers saved and every version computes.
_HARMLESS = re.compile(r"(.*\.)?rotary(_pos)?_emb\.(original_)?(inv_freq|cos_cached|sin_cached)")
_SHOWN = 3


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
