"""What native runtimes must do for a session. One implementation per target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.decoding.speculation.draft_length import PassCosts

Float32 = NDArray[np.float32]


class VisionEngine(Protocol):
    """The vision encoder of one bundle, loaded when first needed.

    Calls wait for each other; the text engine may run meanwhile. Arrays returned are copies: they stay valid
    after the next call. Raises EngineError, and BundleError where a file is not what the manifest says.
    """

    def encode(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        """One still image or one temporal slice of a video.

        patches (N, patch_dim), rope_cos and rope_sin (N, vision head_dim), N <= the largest bucket;
        an engine with static shapes pads and masks. Returns (N / merge_area, hidden_size).
        """

    def release(self) -> None:
        """Free the encoder's memory; the next encode loads it again."""


class TextEngine(Protocol):
    """Decoder and head of one bundle, with the KV cache as their own state, loaded when first needed.

    For one thread at a time, which holds cache.claim(). Arrays returned are copies. Raises as VisionEngine.
    """

    @property
    def cache(self) -> KVCache:
        """What the slots hold; decode and close truncate it."""

    def decode(
        self, embeddings: Float32, rope_cos: Float32, rope_sin: Float32, cache_position: int
    ) -> Float32:
        """Run S tokens whose keys and values go to the KV slots cache_position .. +S-1.

        embeddings (S, hidden_size), rope_cos and rope_sin (S, head_dim), S <= prefill_chunk.
        A slot written before is overwritten; slots from +S on count as empty.
        Returns hidden (S, hidden_size).
        """

    def logits(self, hidden: Float32) -> Float32:
        """hidden (K, hidden_size), any K >= 1. Returns (K, vocab_size)."""

    def close(self) -> None:
        """Free weights and keys and values; the next call loads the files again."""


@runtime_checkable
class SavesCache(Protocol):
    """A text engine whose keys and values can be taken out and put back into an engine of the same bundle."""

    def save_cache(self, length: int) -> dict[str, NDArray[Any]]:
        """Copies of the slots 0 .. length-1 by tensor name, in the target's own layout and float type.

        Empty where this bundle's graphs do not let them out: then a conversation is fed again.
        """

    def load_cache(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        """Put what save_cache gave into the first slots; the caller says by cache.append what they hold.

        Returns how many. Raises EngineError for tensors of another bundle.
        """


@dataclass(frozen=True)
class Engine:
    """All graphs of one bundle."""

    vision: VisionEngine
    text: TextEngine
    costs: PassCosts = field(default_factory=PassCosts)  # measured while it answers

    def close(self) -> None:
        """Free the memory of both."""
        self.vision.release()
        self.text.close()
