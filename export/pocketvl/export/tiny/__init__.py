"""The tiny model: a trained Qwen2-VL of a few million parameters and the pictures that measure it."""

from pathlib import Path

from pocketvl.export.tiny.example import Example, Split, iou, parse_box, score
from pocketvl.export.tiny.tasks import TASKS, make_example

__all__ = ["TASKS", "Example", "Split", "checkpoint_folder", "iou", "make_example", "parse_box", "score"]


def checkpoint_folder() -> Path:
    """Folder of the shipped checkpoint, laid out as Hugging Face lays out a Qwen2-VL."""
    return Path(__file__).parent / "checkpoint"
