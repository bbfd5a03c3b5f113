"""Exporters that write random bytes in no time, for tests of everything around them."""

from pathlib import Path

import torch

from pocketvl.export.component import Component, ExportSettings, TensorSource
from pocketvl.export.progress import Progress
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.entry_points import pte_decoder, pte_head, pte_vision
from pocketvl.runtime.manifest import EmbeddingTable, LayerGroup


def vision(
    source: TensorSource, recipe: Recipe, settings: ExportSettings, folder: Path, progress: Progress
) -> Component:
    """vision_encoder.pte holds the patch embedding's bytes."""
    progress("vision", 0.5)
    weight = source.tensor("visual.patch_embed.proj.weight")
    (folder / names.VISION_ENCODER_PTE).write_bytes(weight.view(torch.uint8).numpy().tobytes())
    progress("vision", 1.0)
    return Component(
        (pte_vision(source.geometry.vision, None),),
        (LayerGroup(names.VISION_ENCODER, 8 if recipe.name != "fp32" else 32, None, 1, 1, 1),),
    )


def text(
    source: TensorSource,
    recipe: Recipe,
    settings: ExportSettings,
    eos: tuple[int, ...],
    folder: Path,
    progress: Progress,
) -> tuple[Component, EmbeddingTable]:
    """text_decoder.pte is empty, token_embedding.bin the embedding in float32."""
    progress("text", 1.0)
    geometry = source.geometry.text
    (folder / names.TEXT_DECODER_PTE).write_bytes(b"")
    table = source.tensor("model.embed_tokens.weight").float().numpy()
    (folder / names.TOKEN_EMBEDDING_FILE).write_bytes(table.tobytes())
    component = Component((pte_decoder(geometry), pte_head(geometry)), ())
    embedding = EmbeddingTable(
        names.TOKEN_EMBEDDING_FILE,
        geometry.vocab_size,
        geometry.hidden_size,
        "float32",
        0,
        None,
        None,
        None,
    )
    return component, embedding


def full_disk(
    source: TensorSource, recipe: Recipe, settings: ExportSettings, folder: Path, progress: Progress
) -> Component:
    """Fails as a full disk does."""
    raise OSError(28, "No space left on device")
