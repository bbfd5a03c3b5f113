"""A long chat keeps the embeddings of its images, not the files and pixels that were pasted."""

import base64
import gc
import io
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.kept_messages import Encoded, kept_messages
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.media.image_size import ImageSize
from pocketvl.runtime.text.messages import ImagePart, Message, Text, VideoPart
from tests.support.images import encoded, photograph

GREEDY = {"sampler": Sampler(), "max_tokens": 4}


@pytest.fixture(scope="module")
def engine(small_onnx_bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(small_onnx_bundle, 1)
    yield engine
    engine.close()


@pytest.fixture
def session(small_onnx_bundle: Bundle, engine: Engine) -> ChatSession:
    return ChatSession(small_onnx_bundle, engine)


def kept(source: Any) -> Any:
    """What becomes of an image's source; everything else must stay."""
    size = ImageSize(max_pixels=50_000)
    (message,) = kept_messages([Message("user", (Text("Hi"), ImagePart(source, size)))])
    assert (message.role, message.parts[0]) == ("user", Text("Hi"))
    assert isinstance(message.parts[1], ImagePart)
    assert message.parts[1].size == size
    return message.parts[1].source


def test_names_stay_and_contents_go() -> None:
    data = encoded(photograph(64, 48))
    for name in ("cat.jpg", "file:///tmp/cat.jpg", Path("cat.jpg")):
        assert kept(name) == name
    text = base64.b64encode(data).decode()
    contents = (data, bytearray(data), io.BytesIO(data), photograph(8, 8), np.zeros((8, 8)), text)
    for content in (*contents, f"data:image/png;base64,{text}"):
        assert kept(content) == Encoded()
    (message,) = kept_messages([Message("user", (VideoPart([photograph(8, 8)]),))])
    assert message.parts == (VideoPart(Encoded()),)


def test_pasted_images_are_freed_and_the_chat_goes_on(session: ChatSession) -> None:
    image = photograph(84, 112)
    freed = weakref.ref(image)
    data = encoded(photograph(84, 84, 1))
    first = session.ask("What are these?", images=[image, data], **GREEDY)
    del image
    gc.collect()
    assert freed() is None
    assert len(pickle.dumps(session.conversation.messages)) < 2000 < len(data)
    again = session.ask("And now?", **GREEDY)
    after = session.conversation
    session.conversation = after.before  # taken back, asked again
    assert session.ask("And now?", **GREEDY).token_ids == again.token_ids
    session.conversation = after.before.before if after.before is not None else None  # type: ignore[assignment]
    assert session.ask("What are these?", images=[photograph(84, 112), data], **GREEDY).token_ids == (
        first.token_ids
    )


def test_a_turn_that_fails_can_be_asked_again(session: ChatSession) -> None:
    content = [
        {"type": "image", "image": photograph(84, 112)},
        {"type": "text", "text": "What is it? " * 400},
    ]
    with pytest.raises(Exception, match="The prompt needs"):
        session.ask(content, **GREEDY)
    assert isinstance(content[0]["image"], Image.Image)
    content[1]["text"] = "What is it?"
    assert session.ask(content, **GREEDY).statistics.images_encoded == 1
