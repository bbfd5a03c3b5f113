"""Core ML bundles of small checkpoints, and what transformers says to the same inputs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from transformers import Qwen2VLForConditionalGeneration

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.text_graph import DecoderChunk
from pocketvl.export.coreml.vision import HalfVisionEncoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.modules import Linear, LMHead, linears
from pocketvl.quant.quantize import quantize_linear
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import Precision, Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.positions import text_rope, vision_rope
from tests.support.bundles import export_for_test
from tests.support.checkpoints import write_weights

SETTINGS = ExportSettings(buckets=(16, 64), max_context=96, prefill_chunk=32)
CHUNKED = replace(SETTINGS, decoder_chunks=2)
Float32 = NDArray[np.float32]


def export(
    checkpoint: Path, output: Path, recipe: str = "fp32", settings: ExportSettings = SETTINGS
) -> Bundle:
    return export_for_test(checkpoint, output, recipe, settings, names.COREML)


def leaves(geometry: ModelGeometry, recipe: Recipe) -> Iterator[Linear]:
    plan = resolve(recipe, geometry)
    graphs: tuple[nn.Module, ...] = (
        HalfVisionEncoder(plan),
        DecoderChunk(plan, 32, range(geometry.text.num_layers)),
        LMHead(plan),
    )
    return (leaf for graph in graphs for leaf in linears(graph))


def quantized_layers(checkpoint: Path, geometry: ModelGeometry, recipe: Recipe) -> dict[str, QuantizedLinear]:
    """Hub name of a weight -> what the recipe makes of it; a table of its own gets 8 bits."""
    tensors = load_file(checkpoint / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    own: dict[str, QuantizedLinear] = {}
    if geometry.text.tie_word_embeddings:
        tensors["lm_head.weight"] = table
    elif recipe.precision("lm_head", geometry.text.hidden_size).bits != 32:
        own["model.embed_tokens.weight"] = quantize_linear(table, Precision(8), "rtn", "token_embedding")
    return own | {
        f"{leaf.source}.weight": quantize_linear(
            tensors[f"{leaf.source}.weight"].reshape(leaf.out_features, -1),
            leaf.precision,
            recipe.method,
            leaf.layer,
        )
        for leaf in leaves(geometry, recipe)
        if leaf.precision.bits != 32
    }


def dequantize(checkpoint: Path, geometry: ModelGeometry, recipe: Recipe) -> None:
    """Write the quantized weights back into the checkpoint, as float32."""
    tensors = load_file(checkpoint / "model.safetensors")
    for name, layer in quantized_layers(checkpoint, geometry, recipe).items():
        stored = "model.embed_tokens.weight" if name not in tensors else name
        tensors[stored] = torch.from_numpy(layer.dequantize()).reshape(tensors[stored].shape)
    write_weights(checkpoint, {name: value.float() for name, value in tensors.items()})


@lru_cache(maxsize=1)
def reference(checkpoint: Path) -> Qwen2VLForConditionalGeneration:
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def token_ids(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(count).integers(0, 300, count)


def logits(bundle: Bundle, engine: Engine, ids: NDArray[np.int64], calls: tuple[int, ...]) -> Float32:
    """Of a text fed in calls of so many tokens."""
    manifest = bundle.manifest
    table = manifest.token_embedding
    embeddings = EmbeddingMap(bundle.path(table.file), table).gather(ids)
    cos, sin = text_rope(np.stack([np.arange(len(ids))] * 3), manifest.geometry.text)
    hidden, first = [], 0
    for count in calls:
        part = slice(first, first + count)
        hidden.append(engine.text.decode(embeddings[part], cos[part], sin[part], first))
        first += count
    assert first == len(ids)
    return engine.text.logits(np.concatenate(hidden))


def reference_logits(checkpoint: Path, ids: NDArray[np.int64]) -> Float32:
    with torch.no_grad():
        output: Float32 = reference(checkpoint)(input_ids=torch.from_numpy(ids[None])).logits[0].numpy()
    return output


def image(bundle: Bundle, rows: int, columns: int) -> tuple[Float32, Float32, Float32]:
    """Random patches and their angles."""
    vision = bundle.manifest.geometry.vision
    patches = np.random.default_rng(rows).standard_normal((rows * columns, vision.patch_dim), np.float32)
    return patches, *vision_rope(rows, columns, vision)


def reference_embeddings(checkpoint: Path, patches: Float32, rows: int, columns: int) -> Float32:
    grid = torch.tensor([[1, rows, columns]])
    with torch.no_grad():
        output: Float32 = (
            reference(checkpoint).model.visual(torch.from_numpy(patches), grid).pooler_output.numpy()
        )
    return output
