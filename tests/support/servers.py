"""Servers in this process, and what is sent to them."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.export.tiny.tasks import make_example
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.engine import Engine, TextEngine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.serve.server import Server, bound_socket
from pocketvl.runtime.serve.settings import Settings
from tests.support.images import encoded

NAME = "a-model"
KEY = "a secret of the tests"


class SlowText:
    """A text engine that takes its time, so that there is some to do things in."""

    def __init__(self, text: TextEngine, seconds: float) -> None:
        self._text, self.seconds = text, seconds
        self.steps = 0
        self.failure: Exception | None = None  # of the next step

    @property
    def cache(self) -> KVCache:
        return self._text.cache

    def decode(self, *arguments: Any) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        self.steps += 1
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return self._text.decode(*arguments)

    def logits(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._text.logits(hidden)

    def close(self) -> None:
        self._text.close()


class Serving:
    """A server in a thread of its own."""

    def __init__(self, bundle: Bundle, seconds: float, settings: Settings) -> None:
        engine = open_engine(bundle, threads=1)
        self.text = SlowText(engine.text, seconds)
        session = ChatSession(
            bundle, Engine(engine.vision, self.text), keep_vision=True, stop_repetition=False
        )
        self.server = Server(session, bundle.manifest.sampling, settings, bound_socket("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.ended: bool | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._engine = engine

    def _run(self) -> None:
        self.ended = self.server.run()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(30)
        assert self.ended, "the worker goes on"
        self._engine.close()


@contextmanager
def serving(bundle: Bundle, seconds: float = 0.0, **settings: Any) -> Iterator[Serving]:
    """seconds: what each step of the decoder takes more than it needs."""
    server = Serving(bundle, seconds, Settings(**{"name": NAME, "grace": 1.0, **settings}))
    try:
        yield server
    finally:
        server.stop()


def data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(image)).decode()


def user(*parts: Any) -> dict[str, Any]:
    """A user's message: texts, and images."""
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": data_url(part)}}
            for part in parts
        ],
    }


def example(task: str, index: int) -> tuple[dict[str, Any], str]:
    """A question of the tiny model's tasks as a message, and its answer."""
    made = make_example(task, index)
    return user(*made.images, made.question), made.answer
