"""Runs a bundle's components one by one, where a session runs them all."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from pocketvl.quant.rotation import hidden_rotation
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Media, build_feed, text_feed
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.media.encoder import VisionPipeline
from pocketvl.runtime.text.messages import VideoPart


class Components:
    """Image embeddings and teacher-forced logits of a bundle."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._manifest = bundle.manifest
        table = self._manifest.token_embedding
        self._vision = VisionPipeline(self._manifest, self._manifest.image, engine.vision)
        rotated = names.ROTATION in self._manifest.quantization_method.split(" + ")
        self._rotation = hidden_rotation(self._manifest.geometry.text.hidden_size) if rotated else None
        self._decoder = Decoder(engine.text, EmbeddingMap(bundle.path(table.file), table), self._manifest)

    def encode_image(self, image: Image.Image) -> Float32:
        """float32 (tokens, hidden_size), as the checkpoint's tower gives them: a rotation of the
        bundle's hidden states is undone."""
        embeddings = self._media(image).embeddings
        if self._rotation is None:
            return embeddings
        undone: Float32 = self._rotation.undo(torch.from_numpy(embeddings)).numpy()
        return undone

    def logits(
        self,
        prompt: tuple[int, ...],
        forced: tuple[int, ...],
        images: Sequence[Image.Image],
        videos: Sequence[VideoPart] = (),
    ) -> Float32:
        """The prompt has its images before its videos. Logits for each of the tokens `forced` and the one
        after, float32 (forced + 1, vocab_size).
        """
        special = self._manifest.special_tokens
        merge = self._manifest.geometry.vision.spatial_merge_size
        media = [self._media(image) for image in images] + [self._clip(video) for video in videos]
        rendered = build_feed(prompt, media, special, merge)
        fed = rendered.then(text_feed(forced, rendered.next_position))
        hidden = np.concatenate(list(self._decoder.feed(fed)))[len(prompt) - 1 :]
        return self._decoder.logits(hidden)

    def _clip(self, video: VideoPart) -> Media:
        encoded = self._vision.encode_video(self._vision.prepare_video(video.source, video.options))
        assert encoded is not None  # nobody cancels
        return encoded[0]

    def _media(self, image: Image.Image) -> Media:
        return self._vision.encode(self._vision.prepare(image))[0]
