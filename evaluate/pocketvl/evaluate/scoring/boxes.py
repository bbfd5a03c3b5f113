"""Boxes: how well a pointed-at place is hit."""

from pocketvl.export.tiny import iou, parse_box
from pocketvl.export.tiny.example import Box


def box_iou(box: Box, answer: str) -> float:
    """Intersection over union of the true box and the first one in the answer, 0 if it names none.

    A box is (x1,y1),(x2,y2) in 0..1000 of the image, with or without Qwen2-VL's <|box_start|> and
    <|box_end|> around it (Wang et al. 2024, arXiv:2409.12191, section 2.1).
    """
    found = parse_box(answer)
    return 0.0 if found is None else iou(found, box)
