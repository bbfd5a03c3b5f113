"""The shipped tiny model, exported and run by ExecuTorch, answers held-out questions."""

from pathlib import Path

import numpy as np
import pytest

from pocketvl.evaluate.data.moment import MOMENT, moment_records
from pocketvl.export.component import ExportSettings
from pocketvl.export.tiny import TASKS, make_example, score
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engines.executorch import open_executorch
from tests.support.bundles import export_for_test

EXAMPLES = 40
# What the model was made for, less what 40 examples and 4 bits may cost.
FLOORS = {"read": 0.85, "count": 0.85, "colour": 0.95, "chart": 0.9, "point": 0.65, "pair": 0.95, MOMENT: 0.9}


@pytest.fixture(scope="module", params=["fp32", "int4"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatSession:
    folder: Path = tmp_path_factory.mktemp("tiny")
    settings = ExportSettings(buckets=(256,), max_context=512)
    bundle = export_for_test("tiny", folder / "bundle", request.param, settings)
    return ChatSession(bundle, open_executorch(bundle), keep_vision=True)


@pytest.mark.parametrize("task", TASKS)
def test_held_out_questions_are_answered(session: ChatSession, task: str) -> None:
    marks = []
    for index in range(EXAMPLES):
        example = make_example(task, index)
        session.reset()
        pictures = [{"type": "image", "image": image} for image in example.images]
        content = [*pictures, {"type": "text", "text": example.question}]
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
