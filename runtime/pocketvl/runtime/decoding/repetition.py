"""Answers that say the same thing over and over."""

from collections.abc import Sequence

MAX_BLOCK = 64  # tokens
MIN_REPEATS = 8
MIN_TOKENS = 128


def repeats(tokens: Sequence[int]) -> bool:
    """Whether the tokens end in one block of 1..64 tokens again and again, without any difference.

    That is at least 8 times and over at least 128 tokens: a list counts or names different things, rows of a
    table differ, and lines of dots or empty cells end before. Called for each new token it takes a comparison
    for each length of block, and more only where the answer does repeat itself.
    """
    end = len(tokens)
    if end < MIN_TOKENS:
        return False
    last = tokens[-1]
    for block in range(1, MAX_BLOCK + 1):
        if tokens[end - 1 - block] == last and _repeats(tokens, block):
            return True
    return False


def _repeats(tokens: Sequence[int], block: int) -> bool:
    span = max(MIN_TOKENS, MIN_REPEATS * block)
    end = len(tokens)
    if end < span:
        return False
    return all(tokens[i] == tokens[i - block] for i in range(end - 1, end - span + block - 1, -1))
