"""How right an answer is, from 0 to 1, by the published definition of each metric."""

from pocketvl.evaluate.scoring.score import METRICS, is_parsed, score

__all__ = ["METRICS", "is_parsed", "score"]
