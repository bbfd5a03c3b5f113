"""Goldens of rotary positions: their angles, and the three ids of every token."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from transformers import Qwen2VLConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import (
    Qwen2VLModel,
    Qwen2VLRotaryEmbedding,
    Qwen2VLVisionRotaryEmbedding,
)
from transformers.vision_utils import get_vision_position_ids

from pocketvl.runtime import positions
from pocketvl.runtime.engine import Float32
from tests.golden.written import SPECIAL, Json, digits
from tests.support.random_source import FULL_TEXT, FULL_VISION

Grid = tuple[int, int, int]

BITS = "bits: CRC-32 of all cos, and of all sin, as little-endian float32, equal in every language."


def vision_rope() -> Json:
    cases = []
    for head_dim in (80, 32):
        module = Qwen2VLVisionRotaryEmbedding(config(vision_head_dim=head_dim).vision_config)
        for rows, columns in ((2, 2), (4, 6), (2, 20), (20, 2), (64, 64)):
            places = get_vision_position_ids(torch.tensor([[1, rows, columns]]), 2)
            cos, sin = module(torch.zeros(1), places)
            picked = sorted({0, 1, 2, 3, 4, rows * columns // 2 + 1, rows * columns - 1} & {*range(len(cos))})
            case: Json = {"head_dim": head_dim, "rows": rows, "columns": columns}
            if rows * columns <= 40:
                case["positions"] = places.tolist()
            case["samples"] = samples(
                cos, sin, picked, (0, 1, head_dim // 4 - 1, head_dim // 4, head_dim - 2)
            )
            vision = replace(FULL_VISION, hidden_size=2 * head_dim, num_heads=2)
            case["bits"] = bits(positions.vision_rope(rows, columns, vision))
            cases.append(case)
    about = f"positions: [row, column] of each patch. samples: [patch, element, cos, sin]. {BITS}"
    return {"about": about, "spatial_merge_size": 2, "theta": 10000, "cases": cases}


def text_rope() -> Json:
    cases = []
    ids = [[0, 0, 0], [1, 1, 1], [5, 9, 7], [40, 2, 31], [300, 300, 300], [4095, 4000, 3900]]
    for head_dim, section in ((128, [16, 24, 24]), (32, [4, 6, 6])):
        module = Qwen2VLRotaryEmbedding(config(text_head_dim=head_dim, section=section).text_config)
        cos, sin = module(torch.zeros(1), torch.tensor(ids).T[:, None])
        edges = (0, 1, section[0] - 1, section[0], section[0] + section[1], head_dim // 2 - 1, head_dim - 1)
        text = replace(FULL_TEXT, head_dim=head_dim, rope_theta=1e6, mrope_section=tuple(section))
        cases.append(
            {
                "head_dim": head_dim, "mrope_section": section,
                "samples": samples(cos[0], sin[0], range(len(ids)), edges),
                "bits": bits(positions.text_rope(np.array(ids, np.int64).T, text)),
            }
        )  # fmt: skip
    about = (
        "ids: [t, h, w] of each token. samples: [token, element, cos, sin]; allow 1e-4 at far positions."
        f" {BITS}"
    )
    return {"about": about, "theta": 1000000, "ids": ids, "cases": cases}


def samples(cos: torch.Tensor, sin: torch.Tensor, rows: Sequence[int], elements: Sequence[int]) -> list[Any]:
    return [[r, e, digits(cos[r, e]), digits(sin[r, e])] for r in rows for e in elements]


def bits(rope: tuple[Float32, Float32]) -> list[int]:
    return [crc32(values.astype("<f4").tobytes()) for values in rope]


def mrope() -> Json:
    """Images by the reference; videos and later turns by the rule, one token at a time."""
    with torch.device("meta"):
        reference = Qwen2VLModel(config())
    images: dict[str, list[int | Grid]] = {
        "text": [6],
        "one image": [3, (1, 4, 6), 4],
        "image first": [(1, 6, 4), 2],
        "image last": [2, (1, 4, 4)],
        "two images": [2, (1, 4, 4), 3, (1, 2, 6), 2],
        "images side by side": [(1, 4, 4), (1, 6, 2), 1],
        "wide image": [1, (1, 2, 40), 2],
        "tall image": [1, (1, 40, 2), 2],
        "smallest image": [1, (1, 2, 2), 1],
    }
    cases = []
    for name, parts in images.items():
        tokens, grids = layout(parts)
        kinds = (torch.tensor([tokens]) == SPECIAL["image_pad"]).int()
        ids, delta = reference.get_rope_index(
            torch.tensor([tokens]), kinds, torch.tensor(grids) if grids else None
        )
        assert ids[:, 0].tolist() == by_rule(tokens, grids, 0)
        cases.append(mrope_case(name, tokens, grids, 0, 0, ids[:, 0].tolist(), int(delta) + len(tokens)))
    videos: dict[str, list[int | Grid]] = {
        "video longer than wide": [2, (5, 4, 4), 2],
        "video wider than long": [1, (2, 4, 8), 1],
        "video as long as wide": [1, (3, 2, 6), 1],
        "video and image": [1, (4, 2, 2), 2, (1, 4, 4), 2],
        "image and two videos": [2, (1, 4, 6), 1, (8, 4, 4), 2, (2, 8, 4), 1],
        "half as many slices as rows, and more": [1, (4, 8, 4), 1, (5, 8, 4), 1],
    }
    for name, parts in videos.items():
        tokens, grids = layout(parts)
        ids_list = by_rule(tokens, grids, 0)
        cases.append(mrope_case(name, tokens, grids, 0, 0, ids_list, max(map(max, ids_list)) + 1))
    # A later turn goes on at the next position of the turn before, not at the number of tokens.
    turns: dict[str, tuple[list[int | Grid], list[int | Grid]]] = {
        "second turn, text after an image": ([3, (1, 8, 8), 4], [5]),
        "second turn, another image": ([3, (1, 8, 8), 4], [2, (1, 4, 4), 2]),
        "second turn after a long video": ([1, (6, 4, 4), 1], [3]),
        "second turn, another video": ([1, (6, 4, 4), 1], [2, (3, 2, 4), 1]),
    }
    for name, (first, second) in turns.items():
        before, before_grids = layout(first)
        start = max(map(max, by_rule(before, before_grids, 0))) + 1
        tokens, grids = layout(second)
        ids_list = by_rule(tokens, grids, start)
        following = max(map(max, ids_list)) + 1
        cases.append(mrope_case(name, tokens, grids, start, len(before), ids_list, following))
    about = (
        "ids: t, h, w of each token. The next position is the largest id so far plus one;"
        " rope_delta is next_position minus tokens_before minus the number of tokens."
    )
    return {"about": about, "special_tokens": SPECIAL, "spatial_merge_size": 2, "cases": cases}


def mrope_case(
    name: str, tokens: list[int], grids: list[Grid], start: int, before: int, ids: Any, following: int
) -> Json:
    return {
        "name": name, "tokens": tokens, "grids": grids, "start": start, "tokens_before": before, "ids": ids,
        "next_position": following, "rope_delta": following - before - len(tokens),
    }  # fmt: skip


def layout(parts: Sequence[int | Grid]) -> tuple[list[int], list[Grid]]:
    """Numbers are words of text, grids images or (more than one slice) videos."""
    tokens: list[int] = []
    for part in parts:
        if isinstance(part, int):
            tokens += [100 + len(tokens) + i for i in range(part)]
            continue
        pad = SPECIAL["video_pad" if part[0] > 1 else "image_pad"]
        count = part[0] * part[1] * part[2] // 4
        tokens += [SPECIAL["vision_start"], *[pad] * count, SPECIAL["vision_end"]]
    return tokens, [part for part in parts if not isinstance(part, int)]


def by_rule(tokens: list[int], grids: list[Grid], start: int) -> list[list[int]]:
    """Token by token: text and the first of a block come after the largest id so far."""
    ids: list[tuple[int, int, int]] = []
    left = list(grids)
    index, largest = 0, start - 1
    while index < len(tokens):
        base = largest + 1
        block = [(base, base, base)]
        if tokens[index] in (SPECIAL["image_pad"], SPECIAL["video_pad"]):
            frames, rows, columns = left.pop(0)
            block = [
                (base + t, base + h, base + w)
                for t in range(frames)
                for h in range(rows // 2)
                for w in range(columns // 2)
            ]
        ids += block
        index += len(block)
        largest = max(largest, *map(max, block))
    return [list(axis) for axis in zip(*ids, strict=True)]


def config(
    vision_head_dim: int = 32, text_head_dim: int = 32, section: Sequence[int] = (4, 6, 6)
) -> Qwen2VLConfig:
    rope = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": list(section)}
    return Qwen2VLConfig(
        text_config={
            "hidden_size": 2 * text_head_dim, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 16, "rope_parameters": rope,
        },
        vision_config={"depth": 1, "embed_dim": 2 * vision_head_dim, "num_heads": 2, "hidden_size": 64},
    )  # fmt: skip
