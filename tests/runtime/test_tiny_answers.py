"""Whole answers of the tiny model, as every runtime must give them: tests/golden/tiny_answers.json."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engines.open import open_engine

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/tiny_answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def session(tiny_onnx_bundle: Bundle) -> ChatSession:
    limits = {key: GOLDEN[key] for key in ("min_pixels", "max_pixels")}
    return ChatSession(tiny_onnx_bundle, open_engine(tiny_onnx_bundle, 1), keep_vision=True, **limits)


@pytest.mark.parametrize("number", range(len(GOLDEN["cases"])))
def test_every_token_is_the_references(session: ChatSession, number: int) -> None:
    session.reset()
    for turn in GOLDEN["cases"][number]["turns"]:
        images = [Image.open(io.BytesIO(base64.b64decode(image))) for image in turn["images"]]
        answer = session.ask(
            turn["question"], images=images, max_tokens=GOLDEN["max_tokens"], sampler=Sampler()
        )
        assert (len(answer.prompt_token_ids), list(answer.token_ids)) == (turn["prompt_tokens"], turn["ids"])
        assert answer.text == turn["text"]
