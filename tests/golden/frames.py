"""Goldens of frames of a camera: their thumbnails, and whether they show something else."""

from collections.abc import Callable
from typing import Any

from tests.golden.written import Json

CELLS = 16
LEAST = 10

Pixel = Callable[[int, int], tuple[int, int, int]]  # of x and y


def change() -> Json:
    """By plain loops."""
    thumbnails: list[tuple[int, int]] = [(40, 24), (16, 16), (5, 3), (17, 50)]

    def formula(x: int, y: int) -> tuple[int, int, int]:
        red, green, blue = ((x * x + 7 * x * y + 13 * y + 29 * c) % 256 for c in range(3))
        return red, green, blue

    def plain(level: int) -> Pixel:
        return lambda x, y: (level, level, level)

    def spot(left: int, top: int, side: int, level: int) -> Pixel:
        """Of that level on 100."""
        inside = lambda x, y: left <= x < left + side and top <= y < top + side  # noqa: E731
        return lambda x, y: (level if inside(x, y) else 100,) * 3

    pairs: list[tuple[str, Json, Json]] = [
        ("equal", {"level": 100}, {"level": 100}),
        ("a little brighter", {"level": 100}, {"level": 109}),
        ("brighter", {"level": 100}, {"level": 110}),
        ("darker", {"level": 100}, {"level": 90}),
        ("a small thing, in one cell", {"level": 100}, {"spot": [32, 32, 4, 200]}),
        ("a smaller one", {"level": 100}, {"spot": [32, 32, 1, 200]}),
        ("a thing that moved", {"spot": [0, 0, 8, 0]}, {"spot": [4, 0, 8, 0]}),
    ]

    def frame(described: Json) -> list[list[int]]:
        pixel = plain(described["level"]) if "level" in described else spot(*described["spot"])
        return thumbnail(pixel, 64, 64)

    cases: list[Json] = []
    for name, first, second in pairs:
        rows = zip(frame(first), frame(second), strict=True)
        greatest = max(abs(a - b) for one, other in rows for a, b in zip(one, other, strict=True))
        cases.append(
            {
                "name": name, "first": first, "second": second,
                "difference": greatest, "changed": greatest >= LEAST,
            }
        )  # fmt: skip
    return {
        "about": "thumbnails: of a frame whose pixel at (x, y) has in channel c the value"
        " (x*x + 7*x*y + 13*y + 29*c) % 256, by rows. cases: 64 x 64 pixels of one level in all channels;"
        " spot: a square at left, top of so many pixels a side has a level, all else 100.",
        "least_change": LEAST,
        "thumbnails": [
            {"width": width, "height": height, "cells": thumbnail(formula, width, height)}
            for width, height in thumbnails
        ],
        "cases": cases,
    }


def thumbnail(pixel: Pixel, width: int, height: int) -> list[list[int]]:
    def span(cell: int, size: int) -> range:
        start = cell * size // CELLS
        return range(start, max((cell + 1) * size // CELLS, start + 1))

    def luma(x: int, y: int) -> int:
        red, green, blue = pixel(x, y)
        return (299 * red + 587 * green + 114 * blue) // 1000

    def mean(row: int, column: int) -> int:
        values: list[Any] = [luma(x, y) for y in span(row, height) for x in span(column, width)]
        return int(sum(values) // len(values))

    return [[mean(row, column) for column in range(CELLS)] for row in range(CELLS)]
