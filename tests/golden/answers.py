"""Goldens of what lies around text: boxes, sizes that messages ask for, answers that repeat themselves."""

from typing import Any

from tokenizers import Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from tests.golden.written import CHECKPOINT, Json

REF, REF_END = "<|object_ref_start|>", "<|object_ref_end|>"
BOX, BOX_END = "<|box_start|>", "<|box_end|>"


def grounding() -> Json:
    """By hand: coordinates both ways, and answers as token ids to their text and boxes."""
    library = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))
    box = f"{BOX}(100,250),(500,1000){BOX_END}"
    plain = "(100,250),(500,1000)"
    corners = [20.0, 25.0, 100.0, 100.0]  # of 200x100 pixels
    answers: list[tuple[str, str, list[tuple[str, list[float]]]]] = [
        ("It is red.", "It is red.", []),
        (f"{REF}red circle{REF_END}{box}", f"red circle {plain}", [("red circle", corners)]),
        (f"The {REF}circle{REF_END}{box} is red.", f"The circle {plain} is red.", [("circle", corners)]),
        (f"circle{box}red", f"circle {plain} red", [("", corners)]),
        (f"a ({box}), or {box}.", f"a ({plain}), or {plain}.", [("", corners)] * 2),
        (
            f"{REF}circles{REF_END}{box}{box},{REF} it{REF_END}{box} and{box}",
            f"circles {plain} {plain}, it {plain} and {plain}",
            [("circles", corners)] * 2 + [("it", corners), ("", corners)],
        ),
        (f"{BOX}(1, 2), (3.5,4){BOX_END}", "(1, 2), (3.5,4)", [("", [0.2, 0.2, 0.7, 0.4])]),
        (f"{BOX}(3,2),(1,4){BOX_END}", "(3,2),(1,4)", []),  # encloses nothing
        (f"{BOX}(1,2),(3,1001){BOX_END}", "(1,2),(3,1001)", []),
        (f"{BOX}(1,2),(3{BOX_END}", "(1,2),(3", []),
        (f"{BOX}(1,2),(3,4)", "(1,2),(3,4)", [("", [0.2, 0.2, 0.6, 0.4])]),  # cut off, but whole as text
        (plain, plain, [("", corners)]),  # without markup, as small models write it
        (f"At {plain} and {plain}", f"At {plain} and {plain}", [("", corners)] * 2),
        ("(10,20),(5,30)", "(10,20),(5,30)", []),
        (f"a{BOX}日本{BOX_END}語", "a 日本 語", []),
    ]
    shapes: list[tuple[str, list[float], list[int] | None, str]] = [
        ("box", [1, 2, 3, 1000], None, "(1,2),(3,1000)"),
        ("box", [0, 0, 999.5, 999.4], None, "(0,0),(1000,999)"),
        ("box", [20, 25, 100, 100], [100, 200], "(100,250),(500,1000)"),
        ("box", [0, 0, 1, 1], [3, 3000], "(0,0),(0,333)"),
        ("box", [1, 1, 5, 2], [2000, 2000], "(1,1),(3,1)"),
        ("quad", [0, 0, 10, 0, 10, 10, 0, 10], [10, 20], "(0,0),(500,0),(500,1000),(0,1000)"),
    ]
    return {
        "about": "answers: ids with the tiny model's tokenizer; boxes as label, x1, y1, x2, y2 in pixels of"
        " the last image. shapes: in thousandths, or in pixels of an image of size (height, width).",
        "checkpoint": "export/pocketvl/export/tiny/checkpoint",
        "image_size": [100, 200],
        "answers": [
            {
                "ids": library.encode(markup, add_special_tokens=False).ids,
                "text": text,
                "boxes": [[label, *corners] for label, corners in boxes],
            }
            for markup, text, boxes in answers
        ],
        "shapes": [
            {"kind": kind, "numbers": numbers, "size": size, "markup": markup}
            for kind, numbers, size, markup in shapes
        ],
    }


def image_size() -> Json:
    """The size of an image whose message says something about it: smart_resize with other limits."""
    session, factor, buckets = (3136, 12845056), 28, [256, 1024, 4096]
    most = buckets[-1] * 14**2
    cases: list[tuple[list[int], Json, list[int] | None]] = []

    def case(height: int, width: int, low: int, high: int, **wanted: Any) -> None:
        expected = smart_resize(
            wanted.get("resized_height", height),
            wanted.get("resized_width", width),
            factor,
            low,
            min(high, most),
        )
        cases.append(([height, width], wanted, list(expected)))

    for height, width in ((1080, 1920), (100, 60), (3000, 700)):
        case(height, width, *session)
        case(height, width, session[0], 50176, max_pixels=50176)
        case(height, width, 100352, session[1], min_pixels=100352)
        case(height, width, 100352, 200704, min_pixels=100352, max_pixels=200704)
        case(height, width, *session, resized_height=280, resized_width=421)
        case(height, width, *session, resized_height=9000, resized_width=4000)
        case(height, width, session[0], 5000, resized_height=280, resized_width=420, max_pixels=5000)
        case(height, width, session[0], 256 * 196, detail="low")
        case(height, width, *session, detail="high")
        case(height, width, session[0], 20000, detail="low", max_pixels=20000)
    # By hand: the largest bucket, or with low detail the smallest, bounds what is wanted.
    cases.append(([100, 60], {"min_pixels": 400000, "detail": "low"}, [280, 168]))
    cases.append(([100, 100], {"min_pixels": 1 << 30, "max_pixels": 1 << 30}, [896, 896]))
    cases.append(([100, 100], {"min_pixels": 50000, "max_pixels": 40000}, None))
    cases.append(([100, 100], {"min_pixels": 12845057}, None))
    cases.append(([100, 100], {"resized_height": 28, "resized_width": 28 * 201}, None))
    return {
        "about": "height, width; null: refused. Patches of 14 pixels, four to a token.",
        "min_pixels": session[0],
        "max_pixels": session[1],
        "buckets": buckets,
        "cases": [{"size": size, "wanted": wanted, "expected": expected} for size, wanted, expected in cases],
    }


def repetition() -> Json:
    """By hand: `head` once, then `block` so many times, then `tail`."""
    cases: list[tuple[list[int], list[int], int, list[int], bool]] = [
        ([], [1], 127, [], False),
        ([], [1], 128, [], True),
        ([5, 6], [1], 128, [], True),
        ([], [1], 128, [2], False),  # it ended by itself
        ([], [1, 2], 63, [], False),
        ([], [1, 2], 64, [], True),
        ([], [1, 2], 64, [1], True),  # within the block
        ([], list(range(16)), 7, [], False),
        ([], list(range(16)), 8, [], True),
        ([9], list(range(64)), 7, list(range(63)), False),
        ([9], list(range(64)), 8, [], True),
        ([], list(range(65)), 20, [], False),  # longer blocks may be verses
        ([], [1, 1, 2], 43, [], True),
        ([], [], 0, [], False),
    ]
    return {
        "about": "Whether the tokens head + count * block + tail end in repetition.",
        "cases": [
            {"head": head, "block": block, "count": count, "tail": tail, "repeats": repeats}
            for head, block, count, tail, repeats in cases
        ],
    }
