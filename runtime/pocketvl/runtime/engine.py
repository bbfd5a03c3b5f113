"""What a native runtime must do for a session. One implementation a target."""

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class CacheState:
    """What those who share an engine must know of its KV cache; the engine has one for life.

    version: another number once slots may hold something else, after each decode and close.
    in_use: held by the session that answers.
    """

    def __init__(self) -> None:
        self.version = 0
        self.in_use = threading.Lock()


class Engine(Protocol):
    """The graphs of one bundle, with the KV cache as their own state. For one thread at a time.

    Arrays returned are copies: they stay valid after the next call. All raise EngineError, and BundleError
    where they load a file that is not what the manifest says.
    """

    @property
    def cache(self) -> CacheState: ...

    def encode_image(self, patches: Float32, rope_cos: Float32, rope_sin: Float32) -> Float32:
        """One still image or one temporal slice of a video.

        patches (N, patch_dim), rope_cos and rope_sin (N, vision head_dim), N <= the largest bucket;
        an engine with static shapes pads and masks. Returns (N / merge_area, hidden_size).
        """

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

    def release_vision(self) -> None:
        """Free the vision encoder's memory; the next encode_image loads it again."""

    def close(self) -> None:
        """Free everything."""
