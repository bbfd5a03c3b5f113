"""Where token ids, rope positions and image embeddings meet: what the decoder is to be fed, as a value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.media.patches import Grid
from pocketvl.runtime.positions import mrope_positions

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Media:
    """An image, or a clip of several temporal slices, as the decoder sees it.

    grid: patches along (t, h, w). key: equal for equal pixels only; images of one size have the same
    placeholder tokens, so nothing else tells their KV slots apart. embeddings: float32
    (t * h * w / merge^2, hidden_size); no rows where only positions are wanted.
    """

    grid: Grid
    key: str
    embeddings: Float32


@dataclass(frozen=True)
class Feed:
    """S tokens in the order of their KV slots.

    token_ids and media_keys have S entries; a slot's key is that of the image it belongs to, None for text.
    positions: M-RoPE ids (t, h, w), int64 (3, S). media: the images and clips, in the order of their slots.
    """

    token_ids: tuple[int, ...]
    media_keys: tuple[str | None, ...]
    positions: NDArray[np.int64]
    media: tuple[Media, ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def next_position(self) -> int:
        """Rope position of the token that follows: the largest so far plus one, not the number of tokens."""
        return int(self.positions.max()) + 1 if self.token_ids else 0

    def then(self, following: "Feed") -> "Feed":
        """Both, one after the other."""
        return Feed(
            (*self.token_ids, *following.token_ids),
            (*self.media_keys, *following.media_keys),
            np.concatenate([self.positions, following.positions], axis=1),
            (*self.media, *following.media),
        )

    def first(self, length: int) -> "Feed":
        """The first `length` slots, which must not end inside an image."""
        rows = int(self.is_media()[:length].sum())
        kept = 0
        while rows > 0:
            rows -= len(self.media[kept].embeddings)
            kept += 1
        return Feed(
            self.token_ids[:length], self.media_keys[:length], self.positions[:, :length], self.media[:kept]
        )

    def slots(self) -> Iterator[tuple[int, str | None]]:
        """Token id and media key of each slot."""
        return zip(self.token_ids, self.media_keys, strict=True)

    def is_media(self) -> NDArray[np.bool_]:
        """(S,): slots that take a row of an image's embeddings instead of their token's."""
        return np.array([key is not None for key in self.media_keys], np.bool_)

    def media_embeddings(self, hidden_size: int, first: int = 0) -> Float32:
        """float32 (rows, hidden_size): one row for each True of is_media from slot `first` on.

        Raises PromptError where embeddings and placeholders do not match.
        """
        parts = [media.embeddings for media in self.media]
        is_media = self.is_media()
        given, wanted = sum(map(len, parts)), int(is_media.sum())
        if given != wanted:
            raise PromptError(
                f"The prompt has {wanted} image placeholders for {given} image embeddings; build it with"
                " build_feed."
            )
        skipped, rows = int(is_media[:first].sum()), [np.empty((0, hidden_size), np.float32)]
        for part in parts:
            rows.append(part[skipped:])
            skipped = max(0, skipped - len(part))
        return np.concatenate(rows)


EMPTY = Feed((), (), np.empty((3, 0), np.int64))


def build_feed(
    token_ids: Sequence[int], media: Sequence[Media], special: SpecialTokens, merge: int, start: int = 0
) -> Feed:
    """A rendered prompt whose placeholders stand for `media`, in order, at rope positions from `start` on.

    merge: the vision encoder's spatial_merge_size. Raises PromptError where placeholders and media do not
    match.
    """
    positions, _ = mrope_positions(token_ids, [one.grid for one in media], special, merge, start)
    keys: list[str | None] = [None] * len(token_ids)
    remaining, slot = iter(media), 0
    while slot < len(token_ids):
        if token_ids[slot] not in (special.image_pad, special.video_pad):
            slot += 1
            continue
        one = next(remaining)
        count = one.grid[0] * one.grid[1] * one.grid[2] // merge**2
        keys[slot : slot + count] = [one.key] * count
        slot += count
    return Feed(tuple(token_ids), tuple(keys), positions, tuple(media))


def text_feed(token_ids: Sequence[int], start: int) -> Feed:
    """Plain tokens at rope positions from `start` on.

    For what a model generated: it may well generate a placeholder's id, which is then a token like any other.
    """
    count = len(token_ids)
    positions = np.broadcast_to(np.arange(start, start + count), (3, count))
    return Feed(tuple(token_ids), (None,) * count, positions)
