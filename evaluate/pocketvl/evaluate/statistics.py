"""Means with their standard errors: how much of a difference is chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketvl.runtime.errors import UsageError

_EQUAL = 1e-9  # scores that close are the same


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in the unit of the values; `error` None where one value says nothing."""

    mean: float
    error: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """The mean. Raises ValueError for no values.

    Scores that are all 0 or 1 have the binomial error sqrt(p (1 - p) / n), others that of a sample,
    s / sqrt(n) with s over n - 1.
    """
    if not values:
        raise ValueError("no values to take the mean of")
    array = np.asarray(values, np.float64)
    mean, count = float(array.mean()), len(array)
    if np.isin(array, (0.0, 1.0)).all():
        return Estimate(mean, math.sqrt(mean * (1 - mean) / count), count)
    return Estimate(mean, float(array.std(ddof=1)) / math.sqrt(count) if count > 1 else None, count)


def half_width(value: Estimate) -> float:
    """Of the 95 % interval around a mean of values in -1..1: 1.96 standard errors, at least 3 / count.

    The latter is the rule of three (Hanley and Lippman-Hand, JAMA 1983): `count` questions without a single
    change still leave room for a share of 3 / count. Infinite where one value says nothing.
    """
    return math.inf if value.error is None else max(1.96 * value.error, 3 / value.count)


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Estimate:
    """Mean of ours minus theirs, question by question, with the error of a sample of differences.

    Much smaller than the errors of the two means, because both runs meet the same hard questions. Raises
    UsageError if they did not answer the same questions.
    """
    if ours.keys() != theirs.keys():
        odd = min(ours.keys() ^ theirs.keys())
        raise UsageError(
            f"The two runs answered different questions (only one has {odd!r}); run both on the same data."
        )
    differences = np.array([ours[name] - theirs[name] for name in ours], np.float64)
    count = len(differences)
    if count == 0:
        raise ValueError("no questions to compare")
    error = float(differences.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return Estimate(float(differences.mean()), error, count)


def share_no_worse(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """Share of questions scored at least as high by us as by them: Argmax's QoI. Both have the same keys."""
    return sum(ours[name] >= theirs[name] - _EQUAL for name in theirs) / len(theirs)


def clustered_mean(groups: Sequence[Sequence[float]]) -> Estimate:
    """The mean over all values of all groups, with an error that takes whole groups for the sample.

    Tokens of one answer are alike, so that an error over tokens would be too small. This is the ratio
    estimator of cluster sampling (Cochran, Sampling Techniques, 3rd ed. 1977, section 9.7):
    sqrt(n / (n - 1) * sum((S_i - m T_i)^2)) / T, with sums S_i of T_i values, T of them in n groups.
    """
    counts = np.array([len(group) for group in groups], np.float64)
    sums = np.array([np.sum(group) for group in groups], np.float64)
    if counts.sum() == 0:
        raise ValueError("no values to take the mean of")
    mean, number = float(sums.sum() / counts.sum()), len(groups)
    if number < 2:
        return Estimate(mean, None, int(counts.sum()))
    spread = float(((sums - mean * counts) ** 2).sum()) * number / (number - 1)
    return Estimate(mean, math.sqrt(spread) / float(counts.sum()), int(counts.sum()))
