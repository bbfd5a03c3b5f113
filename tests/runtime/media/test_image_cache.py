"""Embeddings are kept up to a number of bytes, the least recently used going first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.decoding.feed import Media
from pocketvl.runtime.media.image_cache import ImageCache


def entry(tokens: int) -> Media:
    return Media((1, 2, 2 * tokens), "", np.zeros((tokens, 4), np.float32))


def test_the_least_recently_used_goes_first() -> None:
    cache = ImageCache(max_bytes=3 * 16)
    for key in "abc":
        cache.put(key, entry(1))
    assert cache.get("a") is not None
    cache.put("d", entry(1))
    assert cache.get("b") is None
    assert all(cache.get(key) is not None for key in "acd")


def test_what_is_put_again_counts_once() -> None:
    cache = ImageCache(max_bytes=2 * 16)
    cache.put("a", entry(1))
    for _ in range(5):
        cache.put("b", entry(1))
    assert cache.get("a") is not None


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 6)), min_size=1, max_size=40))
def test_what_is_held_fits_and_has_the_newest(puts: list[tuple[str, int]]) -> None:
    cache = ImageCache(max_bytes=4 * 16)
    for key, tokens in puts:
        cache.put(key, entry(tokens))
    held = [found for key in "abcde" if (found := cache.get(key)) is not None]
    newest = cache.get(puts[-1][0])
    assert newest is not None
    assert len(newest.embeddings) == puts[-1][1]
    assert len(held) == 1 or sum(len(found.embeddings) for found in held) <= 4
