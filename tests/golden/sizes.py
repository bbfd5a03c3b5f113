"""Golden of fifty thousand sizes: digests, so that every language computes them all and none stores them."""

import hashlib
import math
from collections.abc import Iterator

from tests.golden.written import Json

SEED, CASES, EACH = 20251129, 50_000, 5_000
FACTOR, PATCH = 28, 14
SIDES = (60, 600, 5000, 20000)
LOWS = (784, 3136, 100352, 200704)
HIGHS = (200704, 401408, 1003520, 12845056)
BUCKETS = (16, 256, 1024, 4096)


def sizes() -> Json:
    """By a plain statement of qwen-vl-utils' rule, and of how the largest bucket bounds it."""
    digests, digest = [], hashlib.sha256()
    for number, (height, width, low, high, bucket) in enumerate(cases(), 1):
        found = bounded(height, width, low, high, bucket)
        answer = "refused" if found is None else f"{found[0]} {found[1]}"
        digest.update(f"{height} {width} {low} {high} {bucket} {answer}\n".encode())
        if number % EACH == 0:
            digests.append(digest.hexdigest())
    about = (
        "Case: height, width, low, high, bucket, drawn in this order from x = x * 6364136223846793005 +"
        " 1442695040888963407 mod 2^64 (from `seed` on, the new x counts), as (x >> 33) mod n: sides are"
        " 1 + that of n = sides[case mod 4], the others an element of their list. A line is the five numbers"
        " and height and width of the result, or refused; digests: sha256 of all lines so far, each `each`"
        " cases."
    )
    return {
        "about": about, "seed": SEED, "cases": CASES, "each": EACH, "patch_size": PATCH, "sides": SIDES,
        "lows": LOWS, "highs": HIGHS, "buckets": BUCKETS, "digests": digests,
    }  # fmt: skip


def cases() -> Iterator[tuple[int, int, int, int, int]]:
    x = SEED

    def drawn(count: int) -> int:
        nonlocal x
        x = (x * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (x >> 33) % count

    for number in range(CASES):
        height, width = 1 + drawn(SIDES[number % 4]), 1 + drawn(SIDES[number % 4])
        yield height, width, LOWS[drawn(4)], HIGHS[drawn(4)], BUCKETS[drawn(4)]


def bounded(height: int, width: int, low: int, high: int, bucket: int) -> tuple[int, int] | None:
    if max(height, width) > 200 * min(height, width):
        return None
    room = bucket * PATCH**2
    high = min(high, room)
    size = by_rule(height, width, min(low, high), high)
    if math.prod(size) > room:
        size = floored(height, width, room)
    if math.prod(size) > room:
        longest = bucket // 4 * FACTOR
        size = min(size[0], longest), min(size[1], longest)
    return size


def by_rule(height: int, width: int, low: int, high: int) -> tuple[int, int]:
    rounded = [max(FACTOR, round(side / FACTOR) * FACTOR) for side in (height, width)]
    if math.prod(rounded) > high:
        return floored(height, width, high)
    if math.prod(rounded) < low:
        scale = math.sqrt(low / (height * width))
        return math.ceil(height * scale / FACTOR) * FACTOR, math.ceil(width * scale / FACTOR) * FACTOR
    return rounded[0], rounded[1]


def floored(height: int, width: int, high: int) -> tuple[int, int]:
    scale = math.sqrt(height * width / high)
    sides = [max(FACTOR, math.floor(side / scale / FACTOR) * FACTOR) for side in (height, width)]
    return sides[0], sides[1]
