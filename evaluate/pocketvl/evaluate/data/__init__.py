"""Questions about images with their right answers, read from files or drawn."""

from pocketvl.evaluate.data.dataset import open_dataset
from pocketvl.evaluate.data.question import BadRow, Dataset, ImageRef, Question

__all__ = ["BadRow", "Dataset", "ImageRef", "Question", "open_dataset"]
