"""Exported text graphs of random checkpoints, run by onnxruntime."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pocketvl.export.onnx.text import export_text
from pocketvl.export.target import Component
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import TextGeometry
from pocketvl.runtime.bundle.manifest import EmbeddingTable
from pocketvl.runtime.positions import text_rope
from tests.support.exporters import export_inputs
from tests.support.random_source import RandomSource

Float32 = NDArray[np.float32]


def export(source: RandomSource, recipe: Recipe, folder: Path) -> tuple[Component, EmbeddingTable]:
    return export_text(export_inputs(source, recipe, folder), lambda *_: None)


@cache
def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def merged(folder: Path) -> Path:
    (path,) = (folder / names.ONNX_FOLDER).glob("decoder_model_merged*.onnx")
    return path


def hidden(
    folder: Path, text: TextGeometry, embeddings: Float32, ids: NDArray[np.int64], calls: Sequence[int]
) -> Float32:
    """Of embeddings (S, D) with M-RoPE ids (3, S), fed in calls of so many tokens."""
    cos, sin = text_rope(ids, text)
    past, parts, first = empty(text), [], 0
    for count in calls:
        now = slice(first, first + count)
        first += count
        feeds = {
            names.EMBEDDINGS: embeddings[None, now],
            names.ROPE_COS: cos[now],
            names.ROPE_SIN: sin[now],
            names.SEQLENS_K: np.array([first - 1], np.int32),
            names.TOTAL_SEQUENCE_LENGTH: np.array(first, np.int32),
        }
        part, *present = session(folder / names.HOST_TEXT_DECODER).run(None, feeds | past)
        past = dict(zip(past, present, strict=True))
        parts.append(part[0])
    assert first == len(embeddings)
    return np.concatenate(parts)


def merged_logits(
    folder: Path,
    text: TextGeometry,
    embeddings: Float32,
    ids: NDArray[np.int64],
    calls: Sequence[int],
    keep: int,
) -> Float32:
    """What transformers.js's graph gives, `keep` rows of each call."""
    past, parts, first = empty(text), [], 0
    for count in calls:
        now = slice(first, first + count)
        first += count
        feeds = {
            "inputs_embeds": embeddings[None, now],
            "attention_mask": np.ones((1, first), np.int64),
            "position_ids": ids[:, None, now],
            "num_logits_to_keep": np.array(keep),
        }
        part, *present = session(merged(folder)).run(None, feeds | past)
        past = dict(zip(past, present, strict=True))
        parts.append(part[0])
    return np.concatenate(parts)


def logits(folder: Path, states: Float32) -> Float32:
    output: Float32 = session(folder / names.HOST_LM_HEAD).run(None, {names.HIDDEN: states[None]})[0][0]
    return output


def empty(text: TextGeometry) -> dict[str, Float32]:
    """Caches of no tokens."""
    shape = (1, text.num_kv_heads, 0, text.head_dim)
    return {
        names.past_tensor(layer, part): np.zeros(shape, np.float32)
        for layer in range(text.num_layers)
        for part in ("key", "value")
    }
