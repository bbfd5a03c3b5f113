"""How far an artifact is from its reference. Arrays are (rows, features) or (tokens, vocabulary)."""

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engine import Float32


def relative_error(value: Float32, reference: Float32) -> float:
    """Norm of the difference over norm of the reference."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def psnr(value: Float32, reference: Float32) -> float:
    """Peak signal-to-noise ratio in dB; the peak is the reference's range of values."""
    error = float(np.mean((value.astype(np.float64) - reference) ** 2))
    peak = float(reference.max() - reference.min())
    return float("inf") if error == 0 else 10 * float(np.log10(peak**2 / error))


def largest_difference(value: Float32, reference: Float32) -> float:
    return float(np.abs(value - reference).max())


def kl_divergence(value: Float32, reference: Float32) -> NDArray[np.float64]:
    """KL(reference || value) of each token's distribution in nats per token, (tokens,)."""
    expected, got = _log_softmax(reference), _log_softmax(value)
    divergence: NDArray[np.float64] = (np.exp(expected) * (expected - got)).sum(axis=1)
    return divergence


def top1_agreement(value: Float32, reference: Float32) -> float:
    """Share of tokens with the same likeliest continuation."""
    return float((value.argmax(axis=1) == reference.argmax(axis=1)).mean())


def _log_softmax(logits: Float32) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
