"""Asks a bundle every question of a dataset: greedy, each in a conversation of its own."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from pocketvl.evaluate.data.question import Dataset, Question
from pocketvl.evaluate.results import Header, Result, open_results
from pocketvl.evaluate.scoring import is_parsed, score
from pocketvl.export.progress import Progress
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import ImageError, PromptError, VideoError


def answer_questions(
    bundle: Bundle,
    engine: Engine,
    dataset: Dataset,
    results: Path,
    *,
    max_tokens: int,
    progress: Progress,
) -> tuple[Result, ...]:
    """Answer and score all questions, in the dataset's order; each result is written as it comes.

    Questions that `results` holds already are not asked again. One that the bundle cannot be asked, such as
    for its context, scores 0 and carries the reason; one with an image that cannot be decoded carries it,
    too, and counts as unreadable. `progress` takes a step's name and the share done. Raises UsageError if
    `results` belongs to another run, else what a session raises.
    """
    with open_results(results, run_header(bundle, dataset, max_tokens)) as (writer, earlier):
        done = {result.id: result for result in earlier}
        session = ChatSession(bundle, engine, keep_vision=True, stop_repetition=False)
        for number, question in enumerate(dataset.questions):
            progress(f"{dataset.name}: {question.id}", number / len(dataset.questions))
            if question.id not in done:
                done[question.id] = _answer(session, question, max_tokens)
                writer.append(done[question.id])
    progress(dataset.name, 1.0)
    return tuple(done[question.id] for question in dataset.questions)


def check_results(bundle: Bundle, dataset: Dataset, results: Path, max_tokens: int) -> None:
    """Begin the file, or see that it is this run's, before other work. Raises UsageError, PocketVLError."""
    with open_results(results, run_header(bundle, dataset, max_tokens)):
        pass


def bundle_sha256(bundle: Bundle) -> str:
    """sha256 in hex over paths, sizes and hashes of the bundle's files: what its answers depend on."""
    files = sorted((record.path, record.size, record.sha256) for record in bundle.manifest.files)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def run_header(bundle: Bundle, dataset: Dataset, max_tokens: int) -> Header:
    image = bundle.manifest.image
    return Header(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        bundle_sha256=bundle_sha256(bundle),
        min_pixels=image.min_pixels,
        max_pixels=image.max_pixels,
        max_tokens=max_tokens,
        pocketvl=version("pocketvl"),
    )


def load_images(question: Question, on_note: Callable[[str], None] | None = None) -> tuple[Image.Image, ...]:
    """Its images in RGB; on_note as in ImageRef.load. Raises ImageError."""
    return tuple(ref.load(on_note) for ref in question.images)


def ask(session: ChatSession, question: Question, images: Sequence[Image.Image], max_tokens: int) -> Answer:
    """One greedy answer in a new conversation. Raises ImageError, PromptError and what else ask() raises."""
    session.reset()
    content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
    content += [video.content for video in question.videos]
    content.append({"type": "text", "text": question.prompt})
    return session.ask(content, max_tokens=max_tokens, sampler=Sampler(), lookup=False)


def _answer(session: ChatSession, question: Question, max_tokens: int) -> Result:
    began = time.perf_counter()
    text, error, unreadable = "", None, True
    notes: list[str] = []
    tokens: tuple[int, ...] = ()
    try:
        images = load_images(question, notes.append)
        unreadable = False
        answer = ask(session, question, images, max_tokens)
        text, tokens = answer.text, answer.token_ids
    except (PromptError, ImageError) as failure:
        error = str(failure)
        unreadable = unreadable or isinstance(
            failure, VideoError
        )  # whose frames are read when it is asked about
    return Result(
        id=question.id,
        task=question.task,
        metric=question.metric,
        prompt=question.prompt,
        answers=question.answers,
        answer=text,
        token_ids=tokens,
        score=0.0 if error else score(question.metric, question, text),
        seconds=round(time.perf_counter() - began, 4),
        error=error,
        unreadable=unreadable,
        unparsed=error is None and not is_parsed(question.metric, question, text),
        notes=tuple(notes),
    )
