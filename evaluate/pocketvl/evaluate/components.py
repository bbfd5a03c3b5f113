"""Runs a bundle's components one by one, where a session runs them all."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.positions import mrope_positions
from pocketvl.runtime.prefill import Decoder, Prompt
from pocketvl.runtime.vision import VisionPipeline


class Components:
    """Image embeddings and teacher-forced logits of a bundle."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._manifest = bundle.manifest
        table = self._manifest.token_embedding
        self._vision = VisionPipeline(self._manifest, self._manifest.image, engine)
        self._decoder = Decoder(engine, EmbeddingMap(bundle.path(table.file), table), self._manifest)

    def encode_image(self, image: Image.Image) -> Float32:
        """float32 (tokens, hidden_size)."""
        return self._vision.encode(self._vision.prepare(image))[0].embeddings

    def logits(self, ids: tuple[int, ...], images: Sequence[Image.Image], last: int) -> Float32:
        """Logits of the last `last` tokens, float32 (last, vocab_size), from an empty cache."""
        encoded = [self._vision.encode(self._vision.prepare(image))[0] for image in images]
        positions, _ = mrope_positions(
            ids,
            [image.grid for image in encoded],
            self._manifest.special_tokens,
            self._manifest.geometry.vision.spatial_merge_size,
        )
        prompt = Prompt(ids, positions, 0, [image.embeddings for image in encoded])
        hidden = np.concatenate(list(self._decoder.feed(prompt)))[-last:]
        chunk = self._manifest.prefill_chunk
        return np.concatenate(
            [self._decoder.logits(hidden[start : start + chunk]) for start in range(0, last, chunk)]
        )
