"""Goldens of embedding tables."""

import base64
from typing import Any

import numpy as np

from tests.golden.written import Json, digits


def embedding() -> Json:
    """Little tables as bytes, read value by value."""
    random = np.random.default_rng(7)
    rows, columns = 5, 8
    cases = []
    for storage, scales_dtype, group in (
        ("float32", None, None),
        ("float16", None, None),
        ("int8", "float32", 8),
        ("int8", "bfloat16", 4),
        ("int4", "bfloat16", 4),
        ("int4", "float32", 8),
    ):
        case: Json = {"rows": rows, "columns": columns, "storage": storage, "scales_dtype": scales_dtype}
        if group is None:
            dtype = {"float32": "<f4", "float16": "<f2"}[storage]
            values: Any = random.normal(size=(rows, columns)).astype(dtype)
            data, scales = values.tobytes(), b""
        else:
            low = {"int8": -128, "int4": -8}[storage]
            integers = random.integers(low, -low, (rows, columns))
            integers[0, :2] = low, -low - 1
            factors = random.uniform(0.01, 0.1, (rows, columns // group)).astype("<f4")
            scales = factors.tobytes()
            if scales_dtype == "bfloat16":
                halves = (factors.view("<u4") >> 16).astype("<u2")
                scales, factors = halves.tobytes(), (halves.astype("<u4") << 16).view("<f4")
            data = b"".join(packed(row.tolist(), storage) for row in integers)
            values = [
                [np.float32(integers[r, c]) * factors[r, c // group] for c in range(columns)]
                for r in range(rows)
            ]
        # Three bytes in front: nothing may rely on alignment.
        case |= {
            "group_size": group, "data_offset": 3, "scales_offset": 3 + len(data) if group else None,
            "file_base64": base64.b64encode(b"\xff\xff\xff" + data + scales).decode(),
            "ids": [4, 0, 4, 2], "expected": [[digits(v) for v in values[r]] for r in (4, 0, 4, 2)],
        }  # fmt: skip
        cases.append(case)
    return {"about": "expected: the rows of ids. int4: low nibble first, value + 8.", "cases": cases}


def packed(row: list[int], storage: str) -> bytes:
    if storage == "int8":
        return bytes(value & 0xFF for value in row)
    return bytes((row[i] + 8) | (row[i + 1] + 8) << 4 for i in range(0, len(row), 2))
