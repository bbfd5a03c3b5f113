"""KL(float model || the same with one layer rounded), layer by layer."""

from collections.abc import Mapping

import torch

from pocketvl.export.progress import Progress
from pocketvl.export.sensitivity.eager import EagerModel
from pocketvl.export.sensitivity.probe import Rounded

_ROWS = 64  # distributions compared at a time, in float64


def layer_divergences(
    model: EagerModel, rounded: Mapping[str, Rounded], progress: Progress
) -> dict[str, float]:
    """Layer -> mean KL divergence in nats a token of the answers, of rounding that layer alone."""
    hidden = torch.empty(0)
    expected = model.run(0, hidden)
    found: dict[str, float] = {}
    for unit in range(len(model)):
        for leaf in model.linears(unit):
            if leaf.layer in rounded:
                progress(f"measuring {leaf.layer}", len(found) / len(rounded))
                with model.exchanged(leaf, rounded[leaf.layer]):
                    found[leaf.layer] = mean_divergence(expected, model.run(unit, hidden))
        hidden = model.step(unit, hidden)
    return found


def mean_divergence(expected: torch.Tensor, got: torch.Tensor) -> float:
    """KL(expected || got) in nats, the mean over rows. Logits (rows, vocabulary)."""
    total = 0.0
    for first in range(0, len(expected), _ROWS):
        p = expected[first : first + _ROWS].double().log_softmax(1)
        q = got[first : first + _ROWS].double().log_softmax(1)
        total += float((p.exp() * (p - q)).sum())
    return max(total, 0.0) / len(expected)
