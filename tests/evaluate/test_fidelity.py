"""Fidelity of real bundles to real references, and what is kept of a reference."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from pocketvl.evaluate import metrics
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.data.dataset import Dataset, open_dataset
from pocketvl.evaluate.data.question import Question
from pocketvl.evaluate.fidelity import Fidelity, measure_fidelity
from pocketvl.evaluate.reference_cache import ReferenceCache
from pocketvl.evaluate.reference_models import BundleReference, ReferenceModel, open_reference
from pocketvl.evaluate.reference_output import ReferenceOutput, read_output, write_output
from pocketvl.evaluate.results import Result
from pocketvl.evaluate.summary import summarize
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engines.onnx.engine import open_onnx
from pocketvl.runtime.errors import UsageError
from tests.support.bundles import SETTINGS, export_for_test
from tests.support.checkpoints import write_checkpoint

TOKENS = 5


@pytest.fixture(scope="module")
def exact(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


@pytest.fixture(scope="module")
def coarse(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    settings = dataclasses.replace(SETTINGS, max_context=256)
    return export_for_test(
        small_checkpoint, tmp_path_factory.mktemp("int4") / "bundle", "int4", settings, names.ONNX
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("generated:1")


def measure(candidate: Bundle, dataset: Dataset, cache: ReferenceCache) -> Fidelity:
    engine = open_onnx(candidate, 1)
    return measure_fidelity(candidate, engine, dataset, cache, lambda _step, _share: None)


class OnlyStored:
    """A model that must not run: what it is asked for has to be stored."""

    source_sha256 = ""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def run(self, question: Question, max_tokens: int) -> ReferenceOutput:
        raise AssertionError(f"{question.id} was not stored for {max_tokens} tokens")

    def close(self) -> None: ...


@pytest.mark.parametrize("kind", ["fp32", "checkpoint"])
def test_an_fp32_bundle_is_as_its_reference(
    kind: str, exact: Bundle, small_checkpoint: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = {"fp32": exact.folder, "checkpoint": small_checkpoint}[kind]
    model = open_reference(str(folder), exact, 1)
    value = measure(exact, dataset, ReferenceCache(tmp_path, model, TOKENS))
    assert value.kl_max < 1e-6
    assert value.top1 == 1
    assert value.perplexity_ratio == pytest.approx(1, abs=1e-4)
    assert value.vision_psnr is not None
    assert value.vision_psnr > 60
    assert value.questions == len(dataset.questions)
    assert value.tokens == sum(line.tokens for line in value.per_question)


def test_the_figures_are_those_of_the_distributions(
    exact: Bundle, coarse: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    cache = ReferenceCache(tmp_path, open_reference(str(exact.folder), coarse, 1), TOKENS)
    value = measure(coarse, dataset, cache)
    reference = Components(exact, open_onnx(exact, 1))
    candidate = Components(coarse, open_onnx(coarse, 1))
    divergences, differences, same = [], [], []
    for question in dataset.questions:
        output, images = cache.get(question), [ref.load() for ref in question.images]
        theirs = reference.logits(output.prompt, output.tokens[:-1], images)
        ours = candidate.logits(output.prompt, output.tokens[:-1], images)
        divergences += metrics.kl_divergence(ours, theirs).tolist()
        same += (ours.argmax(1) == theirs.argmax(1)).tolist()
        for token, left, right in zip(output.tokens, ours, theirs, strict=True):
            chance = [math.exp(row[token]) / sum(math.exp(float(x)) for x in row) for row in (left, right)]
            differences.append(math.log(chance[1] / chance[0]))
    assert value.tokens == len(divergences)
    assert value.kl_mean == pytest.approx(np.mean(divergences), rel=1e-3)
    assert value.kl_median == pytest.approx(np.median(divergences), rel=1e-3)
    assert value.kl_p99 == pytest.approx(np.percentile(divergences, 99), rel=1e-3)
    assert value.kl_max == pytest.approx(max(divergences), rel=1e-3)
    assert value.top1 == pytest.approx(np.mean(same))
    assert value.perplexity_ratio == pytest.approx(math.exp(np.mean(differences)), rel=1e-3)
    assert value.kl_mean > 1e-4  # 4 bits leave a trace
    assert json.loads(json.dumps(dataclasses.asdict(value)))["kl_mean"] == value.kl_mean


def test_the_reference_runs_once_for_many_candidates(
    exact: Bundle, coarse: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    model = BundleReference(exact, open_onnx(exact, 1))
    first = measure(coarse, dataset, ReferenceCache(tmp_path, model, TOKENS))
    stored: ReferenceModel = OnlyStored(model.fingerprint)
    assert measure(coarse, dataset, ReferenceCache(tmp_path, stored, TOKENS)) == first
    for other in (
        ReferenceCache(tmp_path, stored, TOKENS + 1),
        ReferenceCache(tmp_path, OnlyStored("another"), TOKENS),
    ):
        with pytest.raises(AssertionError, match="was not stored"):
            other.get(dataset.questions[0])
    damaged = sorted(tmp_path.glob("*.npz"))
    for path in damaged:
        path.write_bytes(path.read_bytes()[:100])
    assert measure(coarse, dataset, ReferenceCache(tmp_path, model, TOKENS)) == first
    assert sorted(tmp_path.iterdir()) == damaged


def test_questions_too_long_for_either_are_left_out(exact: Bundle, coarse: Bundle, tmp_path: Path) -> None:
    def asked(words: int) -> str:
        return json.dumps({"question": "a " * words, "answer": "x"}) + "\n"

    path = tmp_path / "long.jsonl"
    path.write_text(asked(2) + asked(250) + asked(300))
    dataset = open_dataset(str(path))
    cache = ReferenceCache(tmp_path / "cache", BundleReference(exact, open_onnx(exact, 1)), TOKENS)
    assert 256 < len(cache.get(dataset.questions[1]).prompt) <= 320
    value = measure(coarse, dataset, cache)
    assert [line.id for line in value.per_question] == ["1"]
    assert (value.kl_mean_error, value.vision_psnr) == (None, None)
    assert cache.scores(dataset, lambda _step, _share: None)["3"] == 0
    path.write_text(asked(300))
    with pytest.raises(UsageError, match="No question of long"):
        measure(coarse, open_dataset(str(path)), cache)


def test_other_models_and_other_buckets_are_refused(exact: Bundle, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "untied", tied=False)
    with pytest.raises(UsageError, match="geometries differ"):
        open_reference(str(tmp_path / "untied"), exact, 1)
    manifest = dataclasses.replace(exact.manifest, buckets=(16, 64))
    with pytest.raises(UsageError, match="same --buckets"):
        open_reference(str(exact.folder), dataclasses.replace(exact, manifest=manifest), 1)


@pytest.mark.parametrize("vocabulary", [1000, 300_000])
def test_stored_logits_keep_their_distribution(vocabulary: int, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(40, 8, (4, vocabulary)).astype(np.float32)
    logits[0, 5] = -1e6
    embeddings = (np.full((3, 2), 1e6, np.float32), np.ones((2, 2), np.float32))
    output = ReferenceOutput((1, 2), (3, 4, 5, 6), "né", logits, embeddings)
    write_output(tmp_path / "a.npz", output)
    stored = read_output(tmp_path / "a.npz")
    assert stored is not None
    assert (stored.prompt, stored.tokens, stored.text) == (output.prompt, output.tokens, output.text)
    assert float(metrics.kl_divergence(stored.logits, logits).max()) < 1e-5
    assert (stored.logits.argmax(1) == logits.argmax(1)).all()
    for one, other in zip(stored.embeddings, embeddings, strict=True):
        assert (one == other).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def result(name: str, task: str, score: float, error: str | None = None) -> Result:
    return Result(name, task, "exact" if task == "a" else "iou", "?", ("x",), "", (), score, 0.1, error)


def test_summaries_by_task_and_over_all() -> None:
    results = [result("1", "a", 1), result("2", "a", 0, "too long"), result("3", "b", 0.5)]
    one, two, every = summarize("data", results, {"1": 1.0, "2": 1.0, "3": 0.25})
    assert (one.task, one.metric, one.score.mean, one.errors) == ("a", "exact", 0.5, 1)
    assert (two.task, two.metric, two.score.mean, two.errors) == ("b", "iou", 0.5, 0)
    assert (every.task, every.metric, every.score.count, every.errors) == ("all", "mixed", 3, 1)
    assert one.comparison is not None
    assert every.comparison is not None
    assert one.comparison.difference.mean == -0.5
    assert every.comparison.no_worse == pytest.approx(2 / 3)
    assert len(summarize("data", results[:2])) == 1
    with pytest.raises(UsageError, match="'2'"):
        summarize("data", results[:2], {"1": 1.0})
