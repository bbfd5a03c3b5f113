"""Answers from a bundle: images, prompt, positions, engines, session. No torch in its own code.

    with load("bundle") as model:
        print(model.chat().ask("What is this?", images=["a.jpg"]).text)

Names are imported when first used: numpy, Pillow and tokenizers take a third of a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvl.runtime.answer import Answer, AnswerStream, Statistics
    from pocketvl.runtime.answer_text import Box
    from pocketvl.runtime.conversation import Conversation
    from pocketvl.runtime.decoding.sampling import Sampler
    from pocketvl.runtime.errors import PocketVLError
    from pocketvl.runtime.model import Model, load
    from pocketvl.runtime.session import ChatSession

__all__ = [
    "Answer",
    "AnswerStream",
    "Box",
    "ChatSession",
    "Conversation",
    "Model",
    "PocketVLError",
    "Sampler",
    "Statistics",
    "load",
]

_MODULES = {
    "Answer": "answer",
    "AnswerStream": "answer",
    "Box": "answer_text",
    "ChatSession": "session",
    "Conversation": "conversation",
    "Model": "model",
    "PocketVLError": "errors",
    "Sampler": "decoding.sampling",
    "Statistics": "answer",
    "load": "model",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
