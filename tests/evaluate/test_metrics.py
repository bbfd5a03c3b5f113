"""Fidelity metrics against hand-worked values and their own definitions."""

import math

import numpy as np
import pytest
import torch

from pocketvl.evaluate import metrics


def test_relative_error_is_a_share_of_the_reference() -> None:
    reference = np.array([[3.0, 4.0]], np.float32)
    assert metrics.relative_error(reference, reference) == 0
    assert metrics.relative_error(np.array([[3.0, 4.5]], np.float32), reference) == pytest.approx(0.1)


def test_psnr_of_a_known_error() -> None:
    reference = np.array([[0.0, 10.0]], np.float32)
    # mean squared error 1, peak 10: 10 log10(100 / 1)
    assert metrics.psnr(reference + 1, reference) == pytest.approx(20.0)
    assert math.isinf(metrics.psnr(reference, reference))


def test_kl_divergence_of_two_coins() -> None:
    reference = np.log(np.array([[0.5, 0.5]], np.float32))
    value = np.log(np.array([[0.25, 0.75]], np.float32))
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert metrics.kl_divergence(value, reference)[0] == pytest.approx(expected, rel=1e-5)


def test_kl_divergence_agrees_with_torch() -> None:
    value, reference = np.random.default_rng(0).standard_normal((2, 5, 40)).astype(np.float32) * 8
    log_p = torch.log_softmax(torch.from_numpy(reference).double(), 1)
    log_q = torch.log_softmax(torch.from_numpy(value).double(), 1)
    expected = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(1)
    assert metrics.kl_divergence(value, reference) == pytest.approx(expected.numpy(), rel=1e-5)


def test_top1_agreement_counts_tokens() -> None:
    reference = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    value = np.array([[0, 2], [0, 1], [3, 4]], np.float32)
    assert metrics.top1_agreement(value, reference) == pytest.approx(2 / 3)
