"""Log-probabilities against torch's log_softmax."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.decoding.choosing import Chooser
from pocketvl.runtime.decoding.logprobs import Logprobs, TokenLogprob, check_logprobs, logprobs_of
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import UsageError

NONE = np.array([], np.int64)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 20))
def test_values_are_those_of_torch(seed: int, size: int, count: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, size).astype(np.float32)
    expected = torch.from_numpy(logits).double().log_softmax(-1)
    found = logprobs_of(logits, size - 1, count, NONE)
    assert found.logprob == pytest.approx(float(expected[-1]))
    values, ids = expected.topk(min(count, size))
    assert [one.token_id for one in found.top] == ids.tolist()
    assert [one.logprob for one in found.top] == pytest.approx(values.tolist())


def test_equals_are_in_order_of_their_ids_and_rows_without_a_token_are_no_alternatives() -> None:
    found = logprobs_of(np.zeros(8, np.float32), 5, 3, np.array([0, 2]))
    assert [one.token_id for one in found.top] == [1, 3, 4]
    assert found.logprob == pytest.approx(-np.log(8))


def test_what_cannot_be_is_no_alternative() -> None:
    logits = np.array([0, -np.inf, 0], np.float32)
    half = float(np.log(0.5))
    assert logprobs_of(logits, 0, 3, NONE) == Logprobs(
        0,
        pytest.approx(half),
        top=(TokenLogprob(0, pytest.approx(half)), TokenLogprob(2, pytest.approx(half))),
    )


def test_they_are_the_models_own_whatever_the_sampler_does() -> None:
    logits = np.array([2, 1, 0], np.float32)
    chooser = Chooser(Sampler(0, repetition_penalty=9), np.array([1]), logprobs=2)
    choice = chooser.choose(logits, [0])
    assert choice.token in {0, 2}
    assert choice.logprobs == logprobs_of(logits, choice.token, 2, np.array([1]))
    assert [one.token_id for one in choice.logprobs.top] == [0, 2]


@pytest.mark.parametrize("count", [-1, 21])
def test_numbers_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"0 \\(none\\) to 20 alternatives, not {count}"):
        check_logprobs(count)
