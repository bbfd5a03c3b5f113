"""Answering a dataset: what is written, going on after a stop, questions that cannot be asked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.evaluate.answers import answer_questions, bundle_sha256
from pocketvl.evaluate.data.dataset import Dataset, open_dataset
from pocketvl.evaluate.results import Result
from pocketvl.evaluate.summary import summarize, unreadable
from pocketvl.runtime.bundle.manifest import FileRecord
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.bundle.strict import from_json
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.executorch import open_executorch
from pocketvl.runtime.errors import UsageError

TOKENS = 4


@pytest.fixture(scope="module")
def bundle(small_bundle: Bundle) -> Bundle:
    return small_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return open_executorch(bundle, 1)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("generated:1")


def run(bundle: Bundle, engine: Engine, dataset: Dataset, path: Path) -> tuple[Result, ...]:
    return answer_questions(
        bundle, engine, dataset, path, max_tokens=TOKENS, progress=lambda _step, _share: None
    )


def read_results(path: Path) -> tuple[Result, ...]:
    """The lines behind the header, as another program would read them."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return tuple(from_json(Result, json.loads(line), "a result") for line in lines)


def test_every_question_is_asked_alone_and_greedily(
    bundle: Bundle, engine: Engine, dataset: Dataset, tmp_path: Path
) -> None:
    results = run(bundle, engine, dataset, tmp_path / "new" / "results.jsonl")
    assert [result.id for result in results] == [question.id for question in dataset.questions]
    for question, result in zip(dataset.questions, results, strict=True):
        session = ChatSession(bundle, engine)
        images = [{"type": "image", "image": ref.load()} for ref in question.images]
        content = [*images, {"type": "text", "text": question.prompt}]
        answer = session.ask(content, max_tokens=TOKENS, sampler=Sampler())
        assert (result.answer, result.token_ids) == (answer.text, answer.token_ids)
        assert result.error is None


def test_lines_are_a_header_and_the_results(
    bundle: Bundle, engine: Engine, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    results = run(bundle, engine, dataset, path)
    header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert header["fingerprint"] == dataset.fingerprint
    assert (header["dataset"], header["max_tokens"]) == ("generated", TOKENS)
    assert header["bundle_sha256"] == bundle_sha256(bundle)
    assert [line["id"] for line in lines] == [result.id for result in results]
    assert read_results(path) == results


@pytest.mark.parametrize("torn", [b"", b'{"id": "count-0", "ta'])
def test_a_stopped_run_goes_on(
    torn: bytes, bundle: Bundle, engine: Engine, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    whole = run(bundle, engine, dataset, path)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = json.loads(lines[1]) | {"answer": "kept from before", "score": 1.0}
    path.write_bytes(lines[0] + json.dumps(kept).encode() + b"\n" + torn)
    resumed = run(bundle, engine, dataset, path)
    assert resumed[0].answer == "kept from before"
    assert [replace(r, seconds=0) for r in resumed[1:]] == [replace(r, seconds=0) for r in whole[1:]]
    assert read_results(path) == resumed


def test_ctrl_c_leaves_what_was_answered(
    bundle: Bundle, engine: Engine, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"

    def stop_at_third(step: str, _share: float) -> None:
        if step.endswith(dataset.questions[2].id):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_questions(bundle, engine, dataset, path, max_tokens=TOKENS, progress=stop_at_third)
    assert len(read_results(path)) == 2
    assert len(run(bundle, engine, dataset, path)) == len(dataset.questions)


def test_another_run_is_not_continued(
    bundle: Bundle, engine: Engine, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    one = open_dataset("generated/count:1")
    run(bundle, engine, one, path)
    before = path.read_bytes()
    for change, named in (
        (lambda: run(bundle, engine, open_dataset("generated/count:2"), path), "fingerprint"),
        (
            lambda: answer_questions(
                bundle, engine, one, path, max_tokens=9, progress=lambda _step, _share: None
            ),
            "max_tokens 4, now 9",
        ),
    ):
        with pytest.raises(UsageError, match=rf"{named}.*--overwrite"):
            change()
    assert path.read_bytes() == before
    path.write_text("Dear diary\n")
    with pytest.raises(UsageError, match="line 1 is no line of results"):
        run(bundle, engine, one, path)


def test_questions_that_cannot_be_asked_score_0_and_images_that_cannot_be_decoded_do_not_count(
    bundle: Bundle, engine: open_executorch, tmp_path: Path
) -> None:
    Image.new("RGB", (2100, 10)).save(tmp_path / "long.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows = [
        {"question": "word " * 400, "answer": "x"},
        {"image": "long.png", "question": "What?", "answer": "x"},
        {"image": "broken.png", "question": "What?", "answer": "x"},
        {"question": "What?", "answer": "x"},
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = run(bundle, engine, open_dataset(str(tmp_path / "data.jsonl")), tmp_path / "results.jsonl")
    assert "context holds 320" in (results[0].error or "")
    assert "200 times" in (results[1].error or "")
    assert "broken" not in (results[2].answer)
    assert "data.jsonl, line 3, the image of question 3" in (results[2].error or "")
    assert results[3].error is None
    assert [result.score for result in results[:3]] == [0, 0, 0]
    (summary,) = summarize("data", results)
    assert (summary.score.count, summary.errors) == (3, 2)
    (left_out,) = unreadable(results)
    assert left_out.reason == results[2].error
    with pytest.raises(UsageError, match=r"No image of data can be decoded; .*line 3"):
        summarize("data", results[2:3])


def test_a_bundle_is_known_by_its_files(bundle: Bundle) -> None:
    first, *rest = bundle.manifest.files
    changed = (FileRecord(first.path, first.size, "0" * 64), *rest)
    moved = replace(bundle, folder=Path("elsewhere"), manifest=replace(bundle.manifest, files=(*rest, first)))
    assert bundle_sha256(moved) == bundle_sha256(bundle)
    assert bundle_sha256(replace(bundle, manifest=replace(bundle.manifest, files=changed))) != bundle_sha256(
        bundle
    )
