"""The shipped tiny model, exported and run as on a phone, answers held-out questions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvl.evaluate.data.moment import MOMENT, moment_records
from pocketvl.export.component import ExportSettings
from pocketvl.export.tiny import TASKS, Example, make_example, score
from pocketvl.export.tiny.drawing import COLOURS
from pocketvl.runtime import names
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engines.open import open_engine
from tests.support.bundles import export_for_test

EXAMPLES = 40
# What the model was made for, less what 40 examples and 4 bits may cost.
FLOORS = {"read": 0.85, "count": 0.85, "colour": 0.95, "chart": 0.9, "point": 0.65, "pair": 0.95, MOMENT: 0.9}


@pytest.fixture(scope="module", params=[("int8", names.EXECUTORCH), ("int4", names.ONNX)], ids=" ".join)
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatSession]:
    folder: Path = tmp_path_factory.mktemp("tiny")
    settings = ExportSettings(buckets=(256,), max_context=512)
    recipe, target = request.param
    bundle = export_for_test("tiny", folder / "bundle", recipe, settings, target)
    engine = open_engine(bundle, threads=1)
    yield ChatSession(bundle, engine, keep_vision=True)
    engine.close()


def test_a_constraint_loses_no_answer(session: ChatSession) -> None:
    """A choice of words is answered as well as freely; in JSON, which the model never saw, mostly."""
    free, chosen, quoted = [], [], []
    for index in range(20):
        example = make_example("colour", index)

        def ask(example: Example = example, **options: Any) -> str:
            session.reset()
            images = list(example.images)
            return session.ask(example.question, images=images, sampler=Sampler(), **options).text

        free.append(score(example, ask(max_tokens=32)))
        word = ask(regex="|".join(COLOURS))
        assert word in COLOURS
        chosen.append(score(example, word))
        quoted.append(score(example, json.loads(ask(json_schema={"enum": list(COLOURS)}))))
    assert sum(chosen) >= sum(free) >= 19
    assert sum(quoted) >= 0.75 * sum(free)


@pytest.mark.parametrize("task", TASKS)
def test_held_out_questions_are_answered(session: ChatSession, task: str) -> None:
    marks = []
    for index in range(EXAMPLES):
        example = make_example(task, index)
        session.reset()
        images = [{"type": "image", "image": image} for image in example.images]
        content = [*images, {"type": "text", "text": example.question}]
        marks.append(score(example, session.ask(content, max_tokens=32, sampler=Sampler()).text))
    assert np.mean(marks) >= FLOORS[task]


def test_what_is_shown_for_a_moment_is_seen(session: ChatSession) -> None:
    """In a video, which the model was not trained on: only a runtime that places every slice answers so."""
    marks = []
    for record in moment_records(range(36)):
        session.reset()
        (video,) = record.videos
        content = [video.content, {"type": "text", "text": record.question}]
        marks.append(session.ask(content, max_tokens=32, sampler=Sampler()).text in record.answers)
    assert np.mean(marks) >= FLOORS[MOMENT]
