"""The slots of a saved conversation as tensors, believed only where they fit together.

token_ids       I64 (S,)   of all slots
media           I64 (S,)   the number of the image or clip that a slot belongs to, -1 for text
positions       I64 (3, S) rope positions t, h, w
embeddings.N    F32 (rows, hidden_size) of the N-th different image
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.decoding.feed import Feed, Media
from pocketvl.runtime.positions import mrope_positions

Tensors = Mapping[str, NDArray[Any]]

_SLOTS = ("token_ids", "media", "positions")
_MOST_KEY = 128  # characters
_TEXT = -1  # stands for a token that is no placeholder, also where a model generated the id of one


@dataclass(frozen=True)
class StoredImage:
    """An image or a clip: patches along t, h, w."""

    key: str
    grid: tuple[int, int, int]


@dataclass(frozen=True)
class StoredSlots:
    """images: each different one. media: numbers of images, in the order of their slots."""

    images: tuple[StoredImage, ...]
    media: tuple[int, ...]
    tensors: Tensors


def stored_slots(feed: Feed) -> StoredSlots:
    """What slots_of takes."""
    unique = {media.key: media for media in feed.media}
    numbers = {key: number for number, key in enumerate(unique)}
    tensors: dict[str, NDArray[Any]] = {
        "token_ids": np.array(feed.token_ids, np.int64),
        "media": media_numbers(feed),
        "positions": feed.positions.astype(np.int64),
    }
    tensors |= {f"embeddings.{numbers[key]}": media.embeddings for key, media in unique.items()}
    images = tuple(StoredImage(media.key, media.grid) for media in unique.values())
    return StoredSlots(images, tuple(numbers[media.key] for media in feed.media), tensors)


def media_numbers(feed: Feed) -> NDArray[np.int64]:
    """(S,): the number of each slot's image or clip in feed.media, -1 for text."""
    numbers = np.full(len(feed), -1, np.int64)
    rows = [len(media.embeddings) for media in feed.media]
    numbers[feed.is_media()] = np.repeat(np.arange(len(rows)), rows)
    return numbers


def feed_of(slots: StoredSlots, manifest: Manifest) -> Feed:
    """Its embeddings are copies. Raises ValueError, PromptError for what no conversation can be."""
    wanted = {*_SLOTS, *(f"embeddings.{number}" for number in range(len(slots.images)))}
    if slots.tensors.keys() != wanted:
        raise ValueError("it has other tensors than its images need")
    ids, numbers, positions = _checked_slots(slots.tensors, manifest)
    images = [_image(number, slots, manifest) for number in range(len(slots.images))]
    if len({image.key for image in images}) != len(images):
        raise ValueError("it has an image twice")
    if not all(0 <= number < len(images) for number in slots.media):
        raise ValueError("it names an image that it lacks")
    media = [images[number] for number in slots.media]
    _check_placeholders(ids, numbers, media, manifest)
    merge = manifest.geometry.vision.spatial_merge_size
    placeholders = np.where(numbers >= 0, ids, _TEXT).tolist()
    expected, _ = mrope_positions(placeholders, [one.grid for one in media], manifest.special_tokens, merge)
    if not np.array_equal(expected, positions):
        raise ValueError("its rope positions are not those of its tokens")
    keys = tuple(media[number].key if number >= 0 else None for number in numbers.tolist())
    return Feed(tuple(ids.tolist()), keys, expected, tuple(media))


def _checked_slots(tensors: Tensors, manifest: Manifest) -> list[NDArray[np.int64]]:
    ids, numbers, positions = found = [tensors[name] for name in _SLOTS]
    count = len(ids) if ids.ndim == 1 else -1
    most = manifest.max_context + 1  # the last token of an answer that filled the context has no slot
    if not 0 <= count <= most or numbers.shape != (count,) or positions.shape != (3, count):
        raise ValueError("its slots are more than the context holds, or differ in number")
    if any(tensor.dtype != np.int64 for tensor in found):
        raise ValueError("its slots are no whole numbers")
    if count and not 0 <= ids.min() <= ids.max() < manifest.geometry.text.vocab_size:
        raise ValueError("it has token ids outside the vocabulary")
    return found


def _image(number: int, slots: StoredSlots, manifest: Manifest) -> Media:
    image, rows = slots.images[number], slots.tensors[f"embeddings.{number}"]
    merge = manifest.geometry.vision.spatial_merge_size
    slices, height, width = image.grid
    most = manifest.max_context * merge**2
    if not all(0 < side <= most for side in image.grid) or height % merge or width % merge:
        raise ValueError("an image has a grid that no image has")
    if not 0 < len(image.key) <= _MOST_KEY:
        raise ValueError("an image has no key, or a long one")
    shape = (slices * height * width // merge**2, manifest.geometry.text.hidden_size)
    if rows.shape != shape or rows.dtype != np.float32 or not np.isfinite(rows).all():
        raise ValueError("an image's embeddings do not fit its grid")
    return Media(image.grid, image.key, rows.copy())  # a view would hold the whole file


def _check_placeholders(
    ids: NDArray[np.int64], numbers: NDArray[np.int64], media: Sequence[Media], manifest: Manifest
) -> None:
    is_media, special = numbers >= 0, manifest.special_tokens
    wanted = np.repeat(np.arange(len(media)), [len(one.embeddings) for one in media])
    if not np.array_equal(numbers[is_media], wanted) or (numbers < -1).any():
        raise ValueError("its images have other slots than tokens")
    if not np.isin(ids[is_media], (special.image_pad, special.video_pad)).all():
        raise ValueError("an image has a slot that is no placeholder")
