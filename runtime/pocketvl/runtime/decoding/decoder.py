"""Feeds tokens through the text engine in chunks, with image embeddings in their places."""

from collections.abc import Iterator, Sequence

import numpy as np

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Feed, text_feed
from pocketvl.runtime.engine import Float32, TextEngine
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.positions import text_rope


class Decoder:
    """The embedding table, the rope and the decoder's graph as one: tokens in, hidden states out."""

    def __init__(self, engine: TextEngine, table: EmbeddingMap, manifest: Manifest) -> None:
        self._engine = engine
        self._table = table
        self._text = manifest.geometry.text
        self._chunk = manifest.prefill_chunk

    def feed(self, feed: Feed, first: int = 0) -> Iterator[Float32]:
        """Yield the hidden states of each chunk, float32 (S, hidden_size), S <= prefill_chunk.

        The feed's token i goes to KV slot i; those before `first` are in their slots already. A chunk border
        may be inside an image. Raises PromptError if the embeddings do not match the placeholders or there is
        nothing to feed, EngineError.
        """
        if first >= len(feed):
            raise PromptError("The prompt is empty; build it with PromptEncoder.")
        ids, is_media = np.array(feed.token_ids, np.int64), feed.is_media()
        media = feed.media_embeddings(self._text.hidden_size, first)
        row = np.cumsum(is_media) - 1 - is_media[:first].sum()  # the embedding of each placeholder
        for start in range(first, len(feed), self._chunk):
            part = slice(start, min(start + self._chunk, len(feed)))
            embeddings = self._table.gather(ids[part])
            embeddings[is_media[part]] = media[row[part][is_media[part]]]
            positions = feed.positions[:, part]
            hidden = self._engine.decode(embeddings, *text_rope(positions, self._text), start)
            self._engine.cache.append(feed.token_ids[part], feed.media_keys[part], positions)
            yield hidden

    def extend(self, token_ids: Sequence[int]) -> Float32:
        """Feed S more text tokens after what the KV cache holds, S <= prefill_chunk; their hidden states
        (S, hidden_size). Raises EngineError."""
        cache = self._engine.cache
        more = text_feed(token_ids, cache.next_position)
        hidden = self._engine.decode(
            self._table.gather(more.token_ids), *text_rope(more.positions, self._text), len(cache)
        )
        cache.append(more.token_ids, more.media_keys, more.positions)
        return hidden

    def truncate(self, length: int) -> None:
        """Go back to the first `length` slots; the next token is written after them."""
        self._engine.cache.truncate(length)

    def logits(self, hidden: Float32) -> Float32:
        """(K, hidden_size) -> (K, vocab_size)."""
        return self._engine.logits(hidden)
