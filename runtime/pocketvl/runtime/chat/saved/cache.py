"""Keys and values out of an engine, and back into one of the same bundle."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pocketvl.runtime.decoding.feed import Feed
from pocketvl.runtime.engine import SavesCache, TextEngine
from pocketvl.runtime.errors import ConversationError, EngineError

Tensors = Mapping[str, NDArray[Any]]


def take_cache(engine: TextEngine, feed: Feed) -> tuple[int, Tensors]:
    """How many of the feed's first slots the cache holds, and copies of them: 0 and none where the engine
    cannot give them. Raises UsageError while an answer is made."""
    with engine.cache.claim():
        held = engine.cache.common_prefix(feed)
        tensors = engine.save_cache(held) if held and isinstance(engine, SavesCache) else {}
        return (held, tensors) if tensors else (0, {})


def put_cache(engine: TextEngine, feed: Feed, count: int, tensors: Tensors) -> None:
    """Have the first `count` slots of feed in the cache, if the engine can take them.

    Raises ConversationError for tensors that it does not fit; UsageError while an answer is made.
    """
    if not count or not isinstance(engine, SavesCache):
        return
    with engine.cache.claim():
        try:
            slots = engine.load_cache(tensors)
        except EngineError:
            slots = None
        if slots != count:
            raise ConversationError("The saved keys and values are not those of this model; save them again.")
        engine.cache.append(feed.token_ids[:count], feed.media_keys[:count], feed.positions[:, :count])
