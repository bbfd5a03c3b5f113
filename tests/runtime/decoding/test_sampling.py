"""Which token is drawn, how often, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import EngineError, UsageError

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.25, 0.05], np.float32))


def frequencies(draws: int = 4000, **options: Any) -> Any:
    sampler = Sampler(seed=1, **options)
    counts = np.bincount([sampler.sample(LOGITS) for _ in range(draws)], minlength=5)
    return counts / draws


def test_greedy_takes_the_likeliest_and_the_first_of_equals() -> None:
    assert Sampler().sample(LOGITS) == 1
    assert Sampler().sample(np.array([0, 3, 3], np.float32)) == 1


def test_temperature_one_draws_by_probability() -> None:
    np.testing.assert_allclose(frequencies(temperature=1.0), [0.1, 0.4, 0.2, 0.25, 0.05], atol=0.03)


def test_temperature_sharpens() -> None:
    expected = np.exp(LOGITS / 0.5)
    np.testing.assert_allclose(frequencies(temperature=0.5), expected / expected.sum(), atol=0.03)
    assert frequencies(200, temperature=1e-320)[1] == 1


def test_top_k_keeps_the_k_likeliest() -> None:
    np.testing.assert_allclose(
        frequencies(temperature=1.0, top_k=2), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0], atol=0.03
    )


@pytest.mark.parametrize(
    ("top_p", "kept"), [(1e-18, [1]), (0.39, [1]), (0.6, [1, 3]), (0.8, [1, 2, 3]), (0.93, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_smallest_sufficient_set(top_p: float, kept: list[int]) -> None:
    assert np.flatnonzero(frequencies(temperature=1.0, top_p=top_p)).tolist() == kept


def test_the_penalty_pushes_down_both_signs() -> None:
    sampler = Sampler(repetition_penalty=2.0)
    assert sampler.sample(np.array([4, 3, -1], np.float32), seen=[0, 0, 99]) == 1
    assert sampler.sample(np.array([-1.5, -1], np.float32), seen=[1]) == 0


@settings(max_examples=100)
@given(
    st.integers(0, 10**6),
    st.floats(0.1, 3),
    st.integers(1, 60),
    st.floats(0.05, 0.99),
    st.floats(1.0, 2),
)
def test_what_may_be_drawn_is_the_references(
    seed: int, temperature: float, top_k: int, top_p: float, penalty: float
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, 50).astype(np.float32)
    seen = random.integers(0, 50, 8)
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(penalty),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(top_k),
            TopPLogitsWarper(top_p),
        ]
    )
    scores = processors(torch.from_numpy(seen)[None], torch.from_numpy(logits)[None])
    likely = scores.softmax(-1)[0].numpy()
    sampler = Sampler(temperature, top_k, top_p, penalty, seed)
    assert all(likely[sampler.sample(logits, seen.tolist())] > 0 for _ in range(20))
    assert Sampler(0, repetition_penalty=penalty).sample(logits, seen.tolist()) == likely.argmax()


def test_seeds_repeat_and_differ() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(1.0, seed=seed)
        return [sampler.sample(LOGITS) for _ in range(30)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": -0.1}, "temperature must be 0"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": -1}, "top_k must be 0"),
        ({"top_p": 0.0}, "top_p must lie above 0"),
        ({"top_p": 1.1}, "not 1.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty"),
        ({"seed": -1}, "seed must be 0"),
    ],
)
def test_values_that_cannot_be_meant(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        Sampler(**options)


@pytest.mark.parametrize("bad", [[0.0, np.nan], [0.0, np.inf], [-np.inf, -np.inf], []])
def test_logits_that_are_no_numbers(bad: list[float]) -> None:
    for sampler in (Sampler(), Sampler(1.0)):
        with pytest.raises(EngineError, match=r"largest logit is .*`pocketvl verify`"):
            sampler.sample(np.array(bad, np.float32))


def test_masked_tokens_are_never_drawn() -> None:
    logits = np.array([0, -np.inf, 0], np.float32)
    sampler = Sampler(5.0, repetition_penalty=1.5, seed=0)
    assert {sampler.sample(logits, [1]) for _ in range(100)} == {0, 2}


def test_rows_without_a_token_are_never_drawn() -> None:
    logits, never = np.array([1, 9, 2, 8], np.float32), np.array([1, 3])
    assert Sampler().sample(logits, never=never) == 2
    hot = Sampler(temperature=50, repetition_penalty=0.1, seed=0)
    assert {hot.sample(logits, [1, 3], never) for _ in range(50)} == {0, 2}
    with pytest.raises(EngineError, match="no token of the vocabulary"):
        Sampler().sample(logits, never=np.arange(4))
