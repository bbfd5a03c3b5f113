"""Feeds tokens through the decoder in chunks, with image embeddings in their places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.geometry import SpecialTokens
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.positions import text_rope


@dataclass(frozen=True)
class Prompt:
    """What is to be fed.

    token_ids (S,); positions: M-RoPE ids (3, S) int64; cache_position: KV slot of the first token;
    is_image (S,): placeholders that `images` replaces in order, each float32 (tokens, hidden_size). A model
    may well generate a placeholder's id; then it is a token like any other.
    """

    token_ids: tuple[int, ...]
    positions: NDArray[np.int64]
    cache_position: int
    is_image: NDArray[np.bool_]
    images: Sequence[Float32] = ()


def placeholders(token_ids: Sequence[int], special: SpecialTokens) -> NDArray[np.bool_]:
    """(S,): which tokens of a rendered prompt stand for pictures and videos."""
    return np.isin(np.array(token_ids, np.int64), (special.image_pad, special.video_pad))


class Decoder:
    """The embedding table, the rope and the decoder's graph as one: tokens in, hidden states out."""

    def __init__(self, engine: Engine, table: EmbeddingMap, manifest: Manifest) -> None:
        self._engine = engine
        self._table = table
        self._text = manifest.geometry.text
        self._chunk = manifest.prefill_chunk
        self._left = engine.cache.version  # as the last call here left it

    @property
    def cache_is_untouched(self) -> bool:
        """Whether the engine's KV slots are still as the last call here left them."""
        return self._engine.cache.version == self._left

    def feed(self, prompt: Prompt) -> Iterator[Float32]:
        """Yield the hidden states of each chunk, float32 (S, hidden_size), S <= prefill_chunk.

        A chunk border may fall inside a picture. Raises PromptError if the embeddings do not match the
        placeholders or there is nothing to feed, EngineError.
        """
        if not prompt.token_ids:
            raise PromptError("The prompt is empty; build it with PromptEncoder.")
        ids, is_image = np.array(prompt.token_ids, np.int64), prompt.is_image
        images = np.concatenate([np.empty((0, self._text.hidden_size), np.float32), *prompt.images])
        if int(is_image.sum()) != len(images):
            raise PromptError(
                f"The prompt has {int(is_image.sum())} picture placeholders for {len(images)} image"
                " embeddings; build it with PromptEncoder."
            )
        image_row = np.cumsum(is_image) - 1  # the embedding of each placeholder
        for start in range(0, len(ids), self._chunk):
            part = slice(start, start + self._chunk)
            embeddings = self._table.gather(ids[part])
            embeddings[is_image[part]] = images[image_row[part][is_image[part]]]
            cos, sin = text_rope(prompt.positions[:, part], self._text)
            try:
                hidden = self._engine.decode(embeddings, cos, sin, prompt.cache_position + start)
            finally:
                self._left = self._engine.cache.version
            yield hidden

    def step(self, token: int, position: int, cache_position: int) -> Float32:
        """One text token at rope position `position`; its hidden state (1, hidden_size)."""
        positions = np.full((3, 1), position, np.int64)
        (hidden,) = self.feed(Prompt((token,), positions, cache_position, np.zeros(1, np.bool_)))
        return hidden

    def logits(self, hidden: Float32) -> Float32:
        """(K, hidden_size) -> (K, vocab_size)."""
        return self._engine.logits(hidden)
