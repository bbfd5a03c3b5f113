"""The stored goldens are what make_goldens.py makes, on any machine within float32's last digits."""

import json
from typing import Any

import pytest

from tests.golden.make_goldens import CHECKPOINT, FOLDER, GOLDENS, NEED_CHECKPOINT


@pytest.mark.parametrize("name", GOLDENS)
def test_the_stored_file_is_current(name: str) -> None:
    if name in NEED_CHECKPOINT and not (CHECKPOINT / "tokenizer.json").is_file():
        pytest.skip("the tiny model is not trained yet")
    stored = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert same(json.loads(json.dumps(GOLDENS[name]())), stored), "run python -m tests.golden.make_goldens"


def test_every_file_has_a_maker() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(GOLDENS)


def same(made: Any, stored: Any) -> bool:
    if isinstance(made, dict):
        return made.keys() == stored.keys() and all(same(made[key], stored[key]) for key in made)
    if isinstance(made, list):
        return len(made) == len(stored) and all(map(same, made, stored))
    return bool(abs(made - stored) < 1e-4) if isinstance(made, float) else bool(made == stored)
