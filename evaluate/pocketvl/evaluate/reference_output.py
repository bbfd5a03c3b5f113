"""What is kept of a reference's answer, and how it is stored."""

import io
import os
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engine import Float32

_FLOAT32_UP_TO = 1 << 20  # logits of one answer; beyond, half the size matters more than the last digits
_PART = ".part"  # ending of a file that is being written
_OLD = 3600.0  # seconds
_LOWEST = -60000.0  # within float16; no probability is left there


@dataclass(frozen=True)
class ReferenceOutput:
    """One greedy answer. logits (tokens, vocab_size); embeddings: of each image (tokens, hidden_size)."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]  # at least one; the stop token included
    text: str
    logits: Float32  # for each of `tokens`; a constant a row may have been added
    embeddings: tuple[Float32, ...]


def write_output(path: Path, output: ReferenceOutput) -> None:
    """An .npz, written beside its place and then put there.

    The largest logit of each row is taken off, which no softmax notices and which gives float16 its
    finest steps where probability is. Embeddings are stored in float16.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "prompt": np.array(output.prompt, np.int64),
        "tokens": np.array(output.tokens, np.int64),
        "text": np.frombuffer(output.text.encode(), np.uint8),
        "logits": _stored_logits(output.logits),
    }
    arrays |= {f"embeddings_{i}": _stored_embeddings(e) for i, e in enumerate(output.embeddings)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    beside = path.with_name(f"{path.name}.{os.getpid()}{_PART}")
    try:
        beside.write_bytes(buffer.getvalue())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def remove_old_parts(folder: Path) -> None:
    """Files that a killed process did not finish. Others may be writing: nothing takes them an hour."""
    for part in folder.glob(f"*{_PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _OLD:
                part.unlink()


def read_output(path: Path) -> ReferenceOutput | None:
    """What write_output wrote, None if there is nothing or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            images = sum(name.startswith("embeddings_") for name in stored.files)
            return ReferenceOutput(
                prompt=tuple(stored["prompt"].tolist()),
                tokens=tuple(stored["tokens"].tolist()),
                text=stored["text"].tobytes().decode(),
                logits=stored["logits"].astype(np.float32),
                embeddings=tuple(stored[f"embeddings_{i}"].astype(np.float32) for i in range(images)),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _stored_logits(logits: Float32) -> NDArray[np.floating]:
    shifted: Float32 = np.maximum(logits - logits.max(axis=1, keepdims=True), _LOWEST)
    return shifted if shifted.size <= _FLOAT32_UP_TO else shifted.astype(np.float16)


def _stored_embeddings(embeddings: Float32) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        half = embeddings.astype(np.float16)
    return half if np.isfinite(half).all() else embeddings
