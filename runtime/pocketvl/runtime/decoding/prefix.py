"""How much of the KV cache serves a prompt: a value, decided from what the slots hold and what is wanted."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

Slot = tuple[int, str | None]  # a token id, and the key of the image that the slot belongs to


@dataclass(frozen=True)
class Reuse:
    """The first `kept` slots stay as they are; what is wanted from there on is fed."""

    kept: int


@dataclass(frozen=True)
class Rebuild:
    """Everything is fed, from slot 0 on."""

    why: Literal["nothing is held", "another beginning", "a single token"]
    kept: Literal[0] = 0


def plan_prefill(held: Iterable[Slot], wanted: Iterable[Slot]) -> Reuse | Rebuild:
    """What to do where the cache's slots hold `held` and are to hold `wanted`.

    The last token is fed in any case: the answer begins with its hidden state, which no cache has.
    """
    held, wanted = list(held), list(wanted)
    common = common_prefix(held, wanted)
    if not held:
        return Rebuild("nothing is held")
    if not common:
        return Rebuild("another beginning")
    if len(wanted) == 1:
        return Rebuild("a single token")
    return Reuse(min(common, len(wanted) - 1))


def common_prefix(held: Iterable[Slot], wanted: Iterable[Slot]) -> int:
    """How many of the first slots are equal.

    Equal token ids and image keys from slot 0 on have equal rope positions, too: a key is of the pixels as
    they were encoded, which decide how many rows and columns an image takes.
    """
    pairs = zip(held, wanted, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
