"""Choosing, drafting and stopping against tests/golden/*.json, which Kotlin and Swift read too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.decoding.logprobs import logprobs_of
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.decoding.speculation.draft_length import DRAFT_LENGTHS, draft_length
from pocketvl.runtime.decoding.speculation.lookup import NgramIndex
from pocketvl.runtime.text.stop_strings import StopStrings

FOLDER = Path(__file__).parents[2] / "golden"


def golden(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_candidates_of_the_sampler() -> None:
    for case in golden("sampler")["cases"]:
        sampler = Sampler(*(case[key] for key in ("temperature", "top_k", "top_p", "repetition_penalty")))
        logits = np.array(case["logits"], np.float32)
        ids, probabilities = sampler.candidates(logits, case["seen"], np.array(case["never"]))
        order = np.argsort(ids)
        assert ids[order].tolist() == case["ids"], case
        assert probabilities[order] == pytest.approx(case["probabilities"], rel=1e-5)


def test_logprobs() -> None:
    for case in golden("sampler")["logprobs"]:
        logits = np.array(case["logits"], np.float32)
        found = logprobs_of(logits, case["token"], case["count"], np.array([], np.int64))
        assert found.logprob == pytest.approx(case["logprob"])
        assert [one.token_id for one in found.top] == [index for index, _ in case["top"]]
        assert [one.logprob for one in found.top] == pytest.approx([value for _, value in case["top"]])


def test_drafts() -> None:
    for case in golden("lookup")["drafts"]:
        index = NgramIndex(case["tokens"], case["never"])
        match = index.match()
        if match is None:
            assert (case["ngram"], case["drafts"]) == (0, []), case
        else:
            assert [match.ngram, match.follows] == [case["ngram"], case["follows"]], case
            assert list(index.draft(match, DRAFT_LENGTHS[-1])) == case["drafts"], case


def test_draft_lengths() -> None:
    for case in golden("lookup")["lengths"]:
        costs = {length + 1: cost for length, cost in zip(DRAFT_LENGTHS, case["costs"], strict=True)}
        assert draft_length(case["acceptance"], costs, case["limit"]) == case["length"], case


def test_stop_strings() -> None:
    for case in golden("stop_strings")["cases"]:
        stop = StopStrings(case["stop"])
        assert [*(stop.push(piece) for piece in case["pieces"]), stop.finish()] == case["shown"], case
        assert stop.found == case["found"], case
