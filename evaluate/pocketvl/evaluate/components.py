"""Runs a bundle's components one by one, where a session runs them all."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.positions import mrope_positions
from pocketvl.runtime.prefill import Decoder, Prompt, placeholders
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

    def logits(
        self, prompt: tuple[int, ...], forced: tuple[int, ...], images: Sequence[Image.Image]
    ) -> Float32:
        """Logits for each of the tokens `forced` and the one after, float32 (forced + 1, vocab_size)."""
        encoded = [self._vision.encode(self._vision.prepare(image))[0] for image in images]
        special = self._manifest.special_tokens
        positions, following = mrope_positions(
            prompt,
            [image.grid for image in encoded],
            special,
            self._manifest.geometry.vision.spatial_merge_size,
        )
        tail = np.broadcast_to(np.arange(following, following + len(forced)), (3, len(forced)))
        fed = Prompt(
            token_ids=(*prompt, *forced),
            positions=np.concatenate([positions, tail], axis=1),
            cache_position=0,
            is_image=np.concatenate([placeholders(prompt, special), np.zeros(len(forced), np.bool_)]),
            images=[image.embeddings for image in encoded],
        )
        hidden = np.concatenate(list(self._decoder.feed(fed)))[len(prompt) - 1 :]
        return self._decoder.logits(hidden)
