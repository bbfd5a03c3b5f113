"""Goldens of sizes, resizing and patches."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from tests.golden.written import Json, digits

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
LOW, HIGH = 3136, 12845056


def resize() -> Json:
    """smart_resize, with the sides of qwen-vl-utils, and what a bundle's largest bucket makes of it."""
    sizes = (
        (448, 448), (1080, 1920), (1920, 1080), (3000, 4000), (70, 98), (98, 70), (42, 42), (14, 14),
        (28, 28), (1, 1), (1, 200), (200, 1), (5, 100), (20, 400), (400, 20), (8000, 40), (9000, 9000),
        (333, 77), (769, 1025), (12, 1000), (1000, 12), (14, 300), (15, 300), (2000, 13),
    )  # fmt: skip
    limits = ((28, LOW, HIGH), (28, LOW, 1024 * 196), (28, 200704, HIGH), (16, 256, 64 * 1024))
    cases = [
        {
            "height": height, "width": width, "factor": factor, "min_pixels": low, "max_pixels": high,
            "expected": list(own_size(height, width, factor, low, high)),
        }
        for height, width in sizes
        for factor, low, high in limits
    ]  # fmt: skip
    cases += [
        {"height": h, "width": w, "factor": 28, "min_pixels": LOW, "max_pixels": HIGH, "expected": None}
        for h, w in ((1, 201), (2010, 10))
    ]
    # By hand: 16 patches are 4 tokens, so a side of one token leaves four for the other; a lower limit
    # above the bucket gives way; rounding 3:4 up to 16 patches would take 20.
    by_hand = (
        (20000, 100, LOW, HIGH, [16], [112, 28]),
        (100, 20000, LOW, HIGH, [16], [28, 112]),
        (30, 40, 12544, HIGH, [64], [84, 112]),
        (30, 40, 12544, HIGH, [16], [28, 56]),
        (500, 500, HIGH, HIGH, [256], [224, 224]),
        (28, 28, LOW, HIGH, [256, 4096], [56, 56]),
        (3000, 4000, LOW, HIGH, [256, 4096], [756, 1008]),
    )
    buckets = [
        {
            "height": h, "width": w, "patch_size": 14, "spatial_merge_size": 2, "min_pixels": low,
            "max_pixels": high, "buckets": buckets, "expected": expected,
        }
        for h, w, low, high, buckets, expected in by_hand
    ]  # fmt: skip
    return {"about": "expected: [height, width]; null: refused", "smart_resize": cases, "buckets": buckets}


def own_size(height: int, width: int, factor: int, low: int, high: int) -> tuple[int, int]:
    """transformers' size, but qwen-vl-utils' where a side rounds to nothing: it takes one factor first."""
    sides = tuple(max(factor, round(side / factor) * factor) for side in (height, width))
    if min(height, width) <= factor / 2 and low <= sides[0] * sides[1]:
        assert sides[0] * sides[1] <= high, "the two floor differently; take another case"
        return sides[0], sides[1]
    return smart_resize(height, width, factor, low, high)


def bicubic() -> Json:
    """Pillow's antialiased bicubic, which is the reference's: within one level elsewhere."""
    cases = []
    for (width, height), (new_width, new_height) in (
        ((20, 12), (28, 28)),
        ((100, 64), (28, 28)),
        ((30, 90), (28, 56)),
    ):
        resized = painted(width, height).resize((new_width, new_height), Image.Resampling.BICUBIC)
        cases.append(
            {
                "width": width, "height": height, "new_width": new_width, "new_height": new_height,
                "rgb_base64": base64.b64encode(resized.tobytes()).decode(),
            }
        )  # fmt: skip
    return {"about": f"{PAINTED} Expected: rows of RGB bytes.", "cases": cases}


PAINTED = "Source pixel (x, y), channel c of frame f: (x*x + 7*x*y + 13*y + 29*c + 50*f) mod 256."


def painted(width: int, height: int, frame: int = 0) -> Image.Image:
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return Image.fromarray(((x * x + 7 * x * y + 13 * y + 29 * c + 50 * frame) % 256).astype(np.uint8))


def patches() -> Json:
    """Elements of patch rows: of an image by the reference, of a video by looping over its pixels."""
    processor = Qwen2VLImageProcessorPil(min_pixels=784, max_pixels=HIGH)
    width, height = 84, 56
    output = processor(images=[painted(width, height)], return_tensors="np")
    elements = [0, 1, 13, 14, 195, 196, 391, 392, 587, 588, 783, 784, 979, 980, 1175]
    rows = [0, 1, 2, 3, 4, 7, 11, 12, 23]
    still = [[r, e, digits(output["pixel_values"][r, e])] for r in rows for e in elements]
    frames = [painted(width, height, frame).load() for frame in range(4)]
    video = [[r, e, digits(video_element(frames, r, e, width))] for r in (0, 5, 24, 29, 47) for e in elements]
    about = f"{PAINTED} Samples: [row, element, value]. A still image has frame 0 only."
    return {
        "about": about, "width": width, "height": height, "mean": MEAN, "std": STD,
        "geometry": {"patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3},
        "cases": [
            {"frames": 1, "grid": output["image_grid_thw"][0].tolist(), "samples": still},
            {"frames": 4, "grid": [2, 4, 6], "samples": video},
        ],
    }  # fmt: skip


def video_element(frames: Sequence[Any], row: int, element: int, width: int) -> np.float32:
    """Where an element comes from, from the outermost of the row's axes to the innermost of its own."""
    columns = width // 28
    slice_, row = divmod(row, 2 * columns * 4)
    block, inside = divmod(row, 4)
    top, left = (block // columns * 2 + inside // 2) * 14, (block % columns * 2 + inside % 2) * 14
    channel, element = divmod(element, 2 * 14 * 14)
    frame, element = divmod(element, 14 * 14)
    level = frames[2 * slice_ + frame][left + element % 14, top + element // 14][channel]
    return (np.float32(level * (1 / 255)) - np.float32(MEAN[channel])) / np.float32(STD[channel])
