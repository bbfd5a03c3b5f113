"""What all goldens share: their form, and the ids that stand for images in them."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CHECKPOINT = FOLDER.parents[1] / "export/pocketvl/export/tiny/checkpoint"

Json = dict[str, Any]
SPECIAL = {"image_pad": 151655, "video_pad": 151656, "vision_start": 151652, "vision_end": 151653}


def digits(value: Any) -> float:
    """Enough to give a float32 back."""
    return float(f"{float(value):.9g}")
