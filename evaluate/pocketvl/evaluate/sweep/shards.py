"""Datasets in pieces that are worked on apart, and the few questions that stand for the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pocketvl.evaluate.data import Dataset, Question, open_dataset
from pocketvl.evaluate.data.question import fingerprint
from pocketvl.runtime.errors import PocketVLError

SHARD_QUESTIONS = 64


@dataclass(frozen=True)
class Shard:
    """Some questions of a dataset, by their numbers; whoever works on it opens the dataset itself."""

    data: str
    limit: int | None
    numbers: tuple[int, ...]
    fingerprint: str  # of exactly these questions


def cut(data: str, limit: int | None, dataset: Dataset, size: int = SHARD_QUESTIONS) -> list[Shard]:
    """The whole dataset in shards of `size` questions, the last maybe smaller."""
    count = len(dataset.questions)
    return [
        _shard(data, limit, dataset, range(start, min(start + size, count)))
        for start in range(0, count, size)
    ]


def spread(data: str, limit: int | None, dataset: Dataset, most: int, size: int) -> list[Shard]:
    """At most `most` questions, evenly spread over the dataset, in shards of `size`."""
    count = len(dataset.questions)
    taken = min(most, count)
    numbers = [index * count // taken for index in range(taken)]
    return [_shard(data, limit, dataset, numbers[start : start + size]) for start in range(0, taken, size)]


def load_shard(shard: Shard) -> Dataset:
    """Raises PocketVLError if the data is not what it was when the shard was cut."""
    dataset = _open(shard.data, shard.limit)
    if not shard.numbers or shard.numbers[-1] < len(dataset.questions):
        part = _part(dataset, shard.numbers)
        if part.fingerprint == shard.fingerprint:
            return part
    raise PocketVLError(f"{shard.data} has changed since the sweep began; run it again.")


# A process answers many shards of the same few datasets.
@lru_cache(maxsize=4)
def _open(data: str, limit: int | None) -> Dataset:
    return open_dataset(data, limit=limit)


def _shard(data: str, limit: int | None, dataset: Dataset, numbers: Sequence[int]) -> Shard:
    return Shard(data, limit, tuple(numbers), _part(dataset, numbers).fingerprint)


def _part(dataset: Dataset, numbers: Sequence[int]) -> Dataset:
    questions: tuple[Question, ...] = tuple(dataset.questions[number] for number in numbers)
    return Dataset(dataset.name, questions, fingerprint(dataset.name, questions))
