"""Goldens of videos: which frames are taken, and how large, by a plain statement of qwen-vl-utils' rule."""

from typing import Any

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from tests.golden.written import Json
from tests.support.video_rule import taken

TOKEN = 28 * 28
SESSION = {"min_pixels": 3136, "max_pixels": 12845056, "buckets": [256, 1024, 4096]}


def video_sampling() -> Json:
    cases = []

    def case(frames: int, rate: float | None, size: tuple[int, int], **wanted: Any) -> None:
        indices = taken(frames, rate, wanted)
        expected: Json | None = None
        if indices is not None:
            height, width = sized(size, len(indices), wanted)
            tokens = len(indices) // 2 * height * width // TOKEN
            grid = [len(indices) // 2, height // 14, width // 14]
            expected = {"indices": indices, "size": [height, width], "grid": grid, "tokens": tokens}
        cases.append(
            {"frames": frames, "rate": rate, "size": list(size), "wanted": wanted, "expected": expected}
        )

    hd, phone, small = (720, 1280), (1920, 1080), (120, 160)
    for frames, rate in ((300, 30), (299, 29.97), (75, 25), (30, 10), (7, 7)):
        case(frames, rate, hd)
    for frames in (5, 4, 3, 2, 1):
        case(frames, 30, hd)
    case(36000, 30, hd)  # twenty minutes
    case(3600, 60, phone)
    case(300, 30, small)
    for wanted in (
        {"fps": 1}, {"fps": 0.5}, {"fps": 5.5}, {"fps": 1000}, {"fps": 0.001}, {"nframes": 8}, {"nframes": 5},
        {"nframes": 7}, {"nframes": 300}, {"nframes": 302}, {"min_frames": 31}, {"max_frames": 9},
        {"max_frames": 3}, {"fps": 4, "max_frames": 16}, {"min_frames": 40, "max_frames": 60},
        {"max_pixels": 50176}, {"min_pixels": 200704}, {"min_pixels": 100352, "max_pixels": 200704},
        {"total_pixels": 1605632}, {"max_pixels": 602112, "total_pixels": 3211264},
        {"resized_height": 280, "resized_width": 420}, {"resized_height": 56, "resized_width": 56},
        {"video_start": 2.5, "video_end": 7.5}, {"video_start": 9.0}, {"video_end": 0.5}, {"video_end": 60},
        {"video_start": 3, "video_end": 3}, {"video_start": 10}, {"video_start": 3.01, "video_end": 3.02},
        {"video_start": 2, "video_end": 6, "nframes": 4},
    ):  # fmt: skip
        case(300, 30, hd, **wanted)
    for frames in (1, 2, 3, 8, 769, 2000):
        case(frames, None, hd)
    case(9, None, hd, nframes=4)
    case(9, None, hd, max_frames=6)
    case(9, None, hd, min_frames=6)
    case(9, None, hd, video_start=1)
    return {
        "about": "Frames `frames` / `rate` seconds long in all, each shown from its number / rate on;"
        " rate null: a"
        " list of images. expected: frames taken (two to a slice), (height, width) of each, grid in"
        " patches, tokens;"
        " null: refused. Patches of 14 pixels, four to a token.",
        **SESSION,
        "cases": cases,
    }


def sized(size: tuple[int, int], count: int, wanted: Json) -> tuple[int, int]:
    """transformers' smart_resize within the limits; no case here is one in which the largest bucket must cut
    more.
    """
    room = SESSION["buckets"][-1] * 14**2
    if "resized_height" in wanted:
        sides = wanted["resized_height"], wanted["resized_width"]
        return smart_resize(*sides, 28, SESSION["min_pixels"], room)
    low = wanted.get("min_pixels", 128 * TOKEN)
    budget = wanted.get("total_pixels", 24576 * TOKEN) * 2 // count
    high = min(wanted.get("max_pixels", 768 * TOKEN), max(budget, int(low * 1.05)), room)
    height, width = smart_resize(*size, 28, min(low, high), high)
    assert height * width <= max(room, high)
    return height, width
