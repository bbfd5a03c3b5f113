"""Opens a dataset by what its name says it is, and checks every row before anything is computed."""

import itertools
from collections.abc import Container, Iterable, Sequence
from functools import partial
from pathlib import Path

from pocketvl.evaluate.data.arrow import arrow_records, is_arrow
from pocketvl.evaluate.data.generated import generated_records, is_generated
from pocketvl.evaluate.data.jsonl import jsonl_records
from pocketvl.evaluate.data.prompts import DEFAULT_PROMPTS, check_template, render
from pocketvl.evaluate.data.question import BadRow, Dataset, Question, fingerprint
from pocketvl.evaluate.data.record import Record, attempt, refusal
from pocketvl.evaluate.data.tsv import tsv_records
from pocketvl.evaluate.scoring import METRICS
from pocketvl.evaluate.scoring.choice import option_of
from pocketvl.evaluate.scoring.yesno import is_yes_or_no
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.files import regular_size

__all__ = ["Dataset", "Question", "open_dataset"]

# How published datasets are scored, by the beginning of the file's name.
_KNOWN = {"docvqa": "anls", "infovqa": "anls", "chartqa": "relaxed", "textvqa": "vqa", "ocrbench": "ocrbench"}
_MOST_CHOICES = 26
_FEWEST_VQA_ANSWERS = 4  # with fewer, no answer could reach 1


def open_dataset(
    spec: str,
    *,
    metric: str | None = None,
    prompt: str | None = None,
    limit: int | None = None,
    strict: bool = False,
) -> Dataset:
    """Read `spec`: generated:N[@FIRST], generated/TASK:N[@FIRST], a .tsv, a .jsonl, a `datasets` folder.

    metric: one of METRICS; None takes the dataset's own, else choice, iou, yesno or exact, question by
    question. prompt: a template with {question} and maybe {choices}; None takes the metric's. limit: the
    first so many rows. A row that cannot be used is left out and told in `bad_rows`; with `strict` it is
    raised, and so is an image that cannot be decoded. Raises UsageError that names file, line and column;
    MissingExtraError; ImageError.
    """
    if metric is not None and metric not in METRICS:
        raise UsageError(f"The metric {metric!r} is not known; known are {', '.join(METRICS)}.")
    if limit is not None and limit < 1:
        raise UsageError(f"At least 1 row must be read, not {limit}.")
    if prompt is not None:
        check_template(prompt)
    name, records = _records(spec, limit)
    try:
        rows = list(itertools.islice(records, limit))
    except OSError as error:
        raise UsageError(f"{spec} cannot be read ({error.strerror}); check its permissions.") from None
    questions, bad = _usable(name, rows, metric, prompt)
    if bad and (strict or not questions):
        raise UsageError(bad[0].reason)
    if not questions:
        raise UsageError(f"{spec} holds no questions; give a dataset with at least one.")
    if strict:
        for image in (image for question in questions for image in question.images):
            image.load()
        for video in (video for question in questions for video in question.videos):
            video.check()
    return Dataset(name, questions, fingerprint(name, questions), bad)


def _usable(
    name: str, records: Sequence[Record | BadRow], metric: str | None, prompt: str | None
) -> tuple[tuple[Question, ...], tuple[BadRow, ...]]:
    """The questions and the rows without one, each in their order."""
    sound = [record for record in records if isinstance(record, Record)]
    yesno = _all_yes_or_no(name, sound)
    questions: dict[str, Question] = {}
    bad: list[BadRow] = []
    for record in records:
        made = (
            attempt(record.where, partial(_question, name, record, metric, prompt, yesno, questions))
            if isinstance(record, Record)
            else record
        )
        if isinstance(made, BadRow):
            bad.append(made)
        else:
            questions[made.id] = made
    return tuple(questions.values()), tuple(bad)


def _records(spec: str, limit: int | None) -> tuple[str, Iterable[Record | BadRow]]:
    if is_generated(spec):
        return spec.partition(":")[0].replace("/", "-"), generated_records(spec)
    path = Path(spec)
    if path.is_dir():
        if not is_arrow(path):
            raise UsageError(
                f"{path} is no folder that datasets.save_to_disk wrote; give such a folder or a file."
            )
        return path.resolve().name, arrow_records(path)
    try:
        regular_size(path, UsageError)
    except UsageError as error:
        raise UsageError(
            f"{error} A dataset is a .tsv or .jsonl file, a folder that datasets.save_to_disk wrote, or"
            " generated:N."
        ) from None
    match path.suffix.lower():
        case ".tsv":
            return path.stem, tsv_records(path, limit)
        case ".jsonl":
            return path.stem, jsonl_records(path)
    raise UsageError(f"{path} is neither .tsv nor .jsonl; convert it to one of the two.")


def _question(
    name: str,
    record: Record,
    metric: str | None,
    prompt: str | None,
    yesno: bool,
    earlier: Container[str],
) -> Question:
    own = _own_metric(name, record)
    chosen = metric or ("yesno" if yesno and own == "exact" else own)
    _check(record, chosen)
    if record.id in earlier:
        raise refusal(record.where, "id", f"{record.id!r} occurs twice", "give every question its own")
    template = DEFAULT_PROMPTS[chosen] if prompt is None else prompt
    return Question(
        id=record.id,
        task=record.task,
        images=record.images,
        prompt=render(template, record.question, record.choices),
        answers=record.answers,
        choices=record.choices,
        metric=chosen,
        box=record.box,
        videos=record.videos,
    )


def _own_metric(name: str, record: Record) -> str:
    for beginning, metric in _KNOWN.items():
        if name.lower().startswith(beginning):
            return metric
    if record.box is not None:
        return "iou"
    return "choice" if record.choices else "exact"


def _all_yes_or_no(name: str, records: Sequence[Record]) -> bool:
    """Whether that is what all questions ask for that have neither a metric of their name nor options."""
    plain = [record for record in records if _own_metric(name, record) == "exact"]
    return bool(plain) and all(is_yes_or_no(answer) for record in plain for answer in record.answers)


def _check(record: Record, metric: str) -> None:
    for text in (record.id, record.task, record.question, *record.answers, *record.choices):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise refusal(record.where, "text", "half of a surrogate pair is no character", "take it out")
    if not all(answer.strip() for answer in record.answers):
        raise refusal(record.where, "answer", "is empty", "give the right answer, or take the line out")
    if len(record.choices) > _MOST_CHOICES:
        raise refusal(record.where, "choices", "there are more than 26", "leave some out")
    if metric == "choice":
        if len(record.choices) < 2:
            raise refusal(record.where, "choices", "the metric choice needs at least two", "give them")
        for answer in record.answers:
            if option_of(answer, record.choices) is None:
                raise refusal(
                    record.where,
                    "answer",
                    f"{answer!r} is neither the letter nor the text of an option",
                    "give one of the two",
                )
    if metric == "yesno" and not all(is_yes_or_no(answer) for answer in record.answers):
        raise refusal(
            record.where,
            "answer",
            f"{record.answers[0]!r} is neither yes nor no",
            "give one of the two, or choose another metric",
        )
    if metric == "iou" and record.box is None:
        raise refusal(record.where, "box", "the metric iou needs one", "give it, or choose another metric")
    if metric == "vqa" and len(record.answers) < _FEWEST_VQA_ANSWERS:
        raise refusal(
            record.where,
            "answers",
            f"the metric vqa needs at least {_FEWEST_VQA_ANSWERS}, one a person asked",
            "give them, or choose the metric exact",
        )
