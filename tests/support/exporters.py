"""A target that writes random bytes in no time, for tests of what is around it; inputs for real ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pocketvl.export.component import ExportSettings
from pocketvl.export.layer_plan import resolve
from pocketvl.export.progress import Progress
from pocketvl.export.target import Component, ExportInputs, Target
from pocketvl.export.targets import target_for
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_decoder, pte_head, pte_vision
from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.bundle.manifest import EmbeddingTable, LayerGroup

EOS = (11, 12)
_TOKENS = SpecialTokens(image_pad=1, video_pad=2, vision_start=3, vision_end=4, eos=EOS, im_end=5)


def export_inputs(
    source: Any, recipe: Recipe, folder: Path, settings: ExportSettings | None = None
) -> ExportInputs:
    """What a target's exporters take, for weights of any kind, which nothing rotates."""
    plan = resolve(replace(recipe, rotation=False), source.geometry)
    return ExportInputs(source, plan, settings or ExportSettings(), _TOKENS, folder)


def vision(inputs: ExportInputs, progress: Progress) -> Component:
    """vision_encoder.pte holds the patch embedding's bytes."""
    progress("vision", 0.5)
    weight = inputs.source.tensor("visual.patch_embed.proj.weight")
    (inputs.folder / names.VISION_ENCODER_PTE).write_bytes(weight.view(torch.uint8).numpy().tobytes())
    progress("vision", 1.0)
    return Component(
        (pte_vision(inputs.plan.geometry.vision, None),),
        (LayerGroup(names.VISION_ENCODER, 8 if inputs.plan.recipe.name != "fp32" else 32, None, 1, 1, 1),),
    )


def text(inputs: ExportInputs, progress: Progress) -> tuple[Component, EmbeddingTable]:
    """text_decoder.pte is empty, token_embedding.bin the embedding in float32."""
    progress("text", 1.0)
    geometry = inputs.plan.geometry.text
    (inputs.folder / names.TEXT_DECODER_PTE).write_bytes(b"")
    table = inputs.source.tensor("model.embed_tokens.weight").float().numpy()
    (inputs.folder / names.TOKEN_EMBEDDING_FILE).write_bytes(table.tobytes())
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


def full_disk(inputs: ExportInputs, progress: Progress) -> Component:
    """Fails as a full disk does."""
    raise OSError(28, "No space left on device")


QUICK: Target = replace(target_for(names.EXECUTORCH), export_vision=vision, export_text=text)
