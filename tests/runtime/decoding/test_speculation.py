"""Drafts change the speed alone: with and without them the same tokens are said, in float32."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.choosing import Chooser
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import text_feed
from pocketvl.runtime.decoding.generation import Proposer, generate
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.decoding.speculation.draft_length import PassCosts
from pocketvl.runtime.decoding.speculation.prompt_lookup import PromptLookup
from pocketvl.runtime.engines.open import open_engine

NEVER = np.array([], np.int64)
TOKENS = 30
Run = Callable[[Sequence[int], Sampler, Proposer | None], list[int]]


class Cheap(PassCosts):
    """As if a pass took no longer for more rows: drafts wherever a guess was right."""

    def relative(self) -> dict[int, float]:
        return {2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}


class Oracle:
    """Drafts what the answer will be, but for some tokens."""

    def __init__(self, answer: Sequence[int], lengths: Sequence[int], wrong: set[int]) -> None:
        self._drafts = [(token + 1) % 300 if place in wrong else token for place, token in enumerate(answer)]
        self._lengths = iter(lengths)
        self._known = 0
        self.passes = 0

    def add(self, token: int) -> None:
        self._known += 1

    def propose(self, limit: int) -> Sequence[int]:
        return self._drafts[self._known :][: min(next(self._lengths, 0), limit)]

    def note_pass(self, rows: int, seconds: float, drafted: int) -> None:
        assert rows == drafted + 1
        self.passes += 1


@pytest.fixture(scope="module", params=["small_onnx_bundle", "small_bundle"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    bundle: Bundle = request.getfixturevalue(request.param)
    engine = open_engine(bundle, 1)
    table = EmbeddingMap(bundle.path(bundle.manifest.token_embedding.file), bundle.manifest.token_embedding)
    decoder = Decoder(engine.text, table, bundle.manifest)

    def answer(prompt: Sequence[int], sampler: Sampler, proposer: Proposer | None) -> list[int]:
        for chunk in decoder.feed(text_feed(prompt, 0)):
            hidden = chunk[-1:]
        choices = generate(decoder, Chooser(sampler, NEVER), hidden, prompt, TOKENS, proposer)
        tokens = [choice.token for choice in islice(choices, TOKENS)]
        held = engine.text.cache.common_prefix(text_feed([*prompt, *tokens], 0))
        assert held >= len(prompt) + TOKENS - 1 - 15  # what was read last may have had drafts after it
        return tokens

    yield answer
    engine.close()


prompts = st.lists(st.integers(0, 300), min_size=1, max_size=40)
hot = {"temperature": 3.0, "top_k": 9, "seed": 2}
samplers = st.sampled_from([{}, {"repetition_penalty": 1.3}, {"temperature": 0.7, "seed": 1}, hot])
few = settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(prompts, samplers, st.lists(st.integers(0, 15), max_size=TOKENS), st.sets(st.integers(1, TOKENS)))
def test_right_and_wrong_drafts_of_any_length_change_no_token(
    run: Run, prompt: list[int], options: dict[str, float], lengths: list[int], wrong: set[int]
) -> None:
    plain = run(prompt, Sampler(**options), None)
    assert run(prompt, Sampler(**options), Oracle(plain, lengths, wrong)) == plain


@few
@given(prompts, st.integers(2, 6))
def test_lookup_changes_no_token(run: Run, prompt: list[int], repeats: int) -> None:
    plain = run(prompt * repeats, Sampler(), None)
    lookup = PromptLookup(prompt * repeats, (), Cheap())
    assert run(prompt * repeats, Sampler(), lookup) == plain


def test_right_drafts_save_passes_and_are_counted(run: Run) -> None:
    prompt = [5, 6, 7, 8]
    plain = run(prompt, Sampler(), None)
    oracle = Oracle(plain, [15] * TOKENS, set())
    assert run(prompt, Sampler(), oracle) == plain
    assert oracle.passes == 2  # of 16 rows, then of what is left
    quoting = run([*prompt, *plain, *prompt], Sampler(), None)
    lookup = PromptLookup([*prompt, *plain, *prompt], (), Cheap())
    assert run([*prompt, *plain, *prompt], Sampler(), lookup) == quoting
    assert 0 <= lookup.accepted <= lookup.drafted
