"""A small sound manifest and a bundle of random bytes that fits it; nothing in it can run."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import pte_decoder, pte_head, pte_vision
from pocketvl.runtime.bundle.geometry import ImageSettings, SamplingDefaults, SpecialTokens
from pocketvl.runtime.bundle.manifest import (
    EmbeddingTable,
    FileRecord,
    LayerGroup,
    Manifest,
    Provenance,
    write_manifest,
)
from pocketvl.runtime.bundle.manifest_hash import write_manifest_hash
from tests.support.checkpoints import CHAT_TEMPLATE, SMALL_GEOMETRY
from tests.support.tokenizers import token_id, tokenizer_json

_TEXT = SMALL_GEOMETRY.text
TABLE = EmbeddingTable(
    file=names.TEXT_DECODER_PTE,
    rows=_TEXT.vocab_size,
    columns=_TEXT.hidden_size,
    storage="int8",
    data_offset=64,
    scales_offset=64 + _TEXT.vocab_size * _TEXT.hidden_size,
    scales_dtype="float32",
    group_size=_TEXT.hidden_size,
)


def small_manifest(files: tuple[FileRecord, ...]) -> Manifest:
    """A manifest over those files, which must include vision_encoder.pte and text_decoder.pte."""
    return Manifest(
        schema_version=names.SCHEMA_VERSION,
        target=names.EXECUTORCH,
        recipe="int8",
        quantization_method="rtn",
        geometry=SMALL_GEOMETRY,
        special_tokens=SpecialTokens(
            image_pad=token_id("<|image_pad|>"),
            video_pad=token_id("<|video_pad|>"),
            vision_start=token_id("<|vision_start|>"),
            vision_end=token_id("<|vision_end|>"),
            eos=(token_id("<|im_end|>"), token_id("<|endoftext|>")),
            im_end=token_id("<|im_end|>"),
        ),
        image=ImageSettings(3136, 12845056, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
        buckets=(16, 64),
        max_context=128,
        prefill_chunk=32,
        chat=True,
        sampling=SamplingDefaults(),
        entry_points=(
            pte_vision(SMALL_GEOMETRY.vision, None),
            pte_decoder(_TEXT),
            pte_head(_TEXT),
        ),
        token_embedding=TABLE,
        layers=(LayerGroup(names.LM_HEAD, 8, None, 1, 36864, 38400),),
        files=files,
        optional_files=(),
        provenance=Provenance(
            "small", "0" * 64, None, None, "0.1.0", {"torch": "2.13.0"}, "pocketvl export small"
        ),
    )


def fill_folder(folder: Path) -> None:
    """Every file of the bundle but its manifest."""
    random = np.random.default_rng(0)
    (folder / names.VISION_ENCODER_PTE).write_bytes(random.bytes(1000))
    (folder / names.TEXT_DECODER_PTE).write_bytes(random.bytes(TABLE.end + 10))
    (folder / names.TOKENIZER_FILE).write_text(tokenizer_json(), encoding="utf-8")
    (folder / names.CHAT_TEMPLATE_FILE).write_text(CHAT_TEMPLATE, encoding="utf-8")


def write_small_bundle(folder: Path) -> Manifest:
    """A bundle that opens, hashes included."""
    folder.mkdir(parents=True, exist_ok=True)
    fill_folder(folder)
    manifest = small_manifest(
        tuple(
            FileRecord(path.name, path.stat().st_size, sha256(path.read_bytes()).hexdigest())
            for path in sorted(folder.iterdir())
        )
    )
    write_manifest(manifest, folder / names.MANIFEST_FILE)
    write_manifest_hash(folder)
    return manifest
