"""Feeds and what the KV cache says of its slots, without a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.decoding.feed import EMPTY, Feed, Media, build_feed, text_feed
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.errors import PromptError, UsageError

SPECIAL = SpecialTokens(image_pad=90, video_pad=91, vision_start=92, vision_end=93, im_end=95, eos=(95,))
WIDTH = 3


def media(key: str, grid: tuple[int, int, int] = (1, 4, 4)) -> Media:
    rows = grid[0] * grid[1] * grid[2] // 4
    values = np.random.default_rng(len(key)).standard_normal((rows, WIDTH), np.float32)
    return Media(grid, key, values)


def pads(one: Media, pad: int = 90) -> list[int]:
    return [pad] * len(one.embeddings)


def write(cache: KVCache, feed: Feed, first: int = 0) -> None:
    cache.append(feed.token_ids[first:], feed.media_keys[first:], feed.positions[:, first:])


def test_positions_and_keys_of_an_image_between_texts() -> None:
    one = media("a")
    feed = build_feed([1, *pads(one), 2], [one], SPECIAL, 2)
    assert feed.media_keys == (None, *["a"] * 4, None)
    assert feed.positions.tolist() == [[0, 1, 1, 1, 1, 3], [0, 1, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]
    assert feed.next_position == 4


def test_a_generated_placeholder_is_text() -> None:
    feed = text_feed([90, 91], 7)
    assert not feed.is_media().any()
    assert feed.positions.tolist() == [[7, 8]] * 3


def test_one_after_the_other_equals_all_at_once() -> None:
    first, second = media("a"), media("b", (2, 4, 8))
    ids = [[1, *pads(first), 2], [3, *pads(second, 91), 4]]
    head = build_feed(ids[0], [first], SPECIAL, 2)
    whole = head.then(build_feed(ids[1], [second], SPECIAL, 2, head.next_position))
    expected = build_feed(ids[0] + ids[1], [first, second], SPECIAL, 2)
    assert (whole.token_ids, whole.media_keys) == (expected.token_ids, expected.media_keys)
    np.testing.assert_array_equal(whole.positions, expected.positions)
    assert whole.next_position == expected.next_position


@pytest.mark.parametrize("first", range(11))
def test_embeddings_from_a_slot_on(first: int) -> None:
    parts = [media("a"), media("bb")]
    feed = build_feed([1, *pads(parts[0]), 2, *pads(parts[1]), 3], parts, SPECIAL, 2)
    whole = np.full((len(feed), WIDTH), np.nan, np.float32)
    whole[feed.is_media()] = np.concatenate([part.embeddings for part in parts])
    wanted = whole[first:][feed.is_media()[first:]]
    np.testing.assert_array_equal(feed.media_embeddings(WIDTH, first), wanted)


def test_embeddings_must_match_the_placeholders() -> None:
    one = media("a")
    short = Media(one.grid, one.key, one.embeddings[:3])
    with pytest.raises(PromptError, match="4 image placeholders for 3"):
        build_feed(pads(one), [short], SPECIAL, 2).media_embeddings(WIDTH)


def test_images_of_one_size_are_told_apart() -> None:
    """Their placeholders are equal ids: without the keys a cache would be taken for another image's."""
    cache, one, other = KVCache(), media("a"), media("b")
    feeds = [build_feed([1, *pads(image), 2], [image], SPECIAL, 2) for image in (one, other)]
    write(cache, feeds[0])
    assert feeds[0].token_ids == feeds[1].token_ids
    assert [cache.common_prefix(feed) for feed in feeds] == [6, 1]


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12), st.integers(0, 12))
def test_common_prefix_of_texts(held: list[int], wanted: list[int], length: int) -> None:
    cache = KVCache()
    write(cache, text_feed(held, 0))
    cache.truncate(length)
    held = held[:length]
    expected = next((i for i, (a, b) in enumerate(zip(held, wanted, strict=False)) if a != b), None)
    if expected is None:
        expected = min(len(held), len(wanted))
    assert cache.common_prefix(text_feed(wanted, 0)) == expected
    assert (len(cache), cache.next_position) == (len(held), len(held))


@given(st.integers(0, 20))
def test_a_cut_cache_knows_the_position_at_the_cut(length: int) -> None:
    first, second = media("a", (1, 8, 4)), media("b", (3, 4, 4))
    feed = build_feed([1, *pads(first), 2, *pads(second, 91)], [first, second], SPECIAL, 2)
    cache = KVCache()
    write(cache, feed)
    cache.truncate(length)
    held = feed.positions[:, :length]
    assert cache.next_position == (int(held.max()) + 1 if held.size else 0)


def test_nothing_is_held_at_the_start() -> None:
    assert (len(KVCache()), KVCache().next_position, KVCache().common_prefix(EMPTY)) == (0, 0, 0)


def test_one_claim_at_a_time() -> None:
    cache = KVCache()
    with cache.claim(), pytest.raises(UsageError, match="answering already"), cache.claim():
        pass
    with cache.claim():
        pass
