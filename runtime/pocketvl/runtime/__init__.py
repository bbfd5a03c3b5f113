"""Answers from a bundle: images, prompt, positions, engines, session. No torch in its own code.

    with load("bundle") as model:
        print(model.chat().ask("What is this?", images=["a.jpg"]).text)

Names are imported when first used: numpy, Pillow and tokenizers take a third of a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvl.runtime.chat.agent import Agent, AgentAnswer
    from pocketvl.runtime.chat.answer import Answer, AnswerStream, Statistics
    from pocketvl.runtime.chat.conversation import Conversation
    from pocketvl.runtime.chat.live import LiveView
    from pocketvl.runtime.chat.session import ChatSession
    from pocketvl.runtime.decoding.sampling import Sampler
    from pocketvl.runtime.errors import PocketVLError
    from pocketvl.runtime.media.encoder import EncodedImage
    from pocketvl.runtime.model import Model, load
    from pocketvl.runtime.text.answer_text import Box, Quad
    from pocketvl.runtime.text.tools.tool import InvalidToolCall, Tool, ToolCall

__all__ = [
    "Agent",
    "AgentAnswer",
    "Answer",
    "AnswerStream",
    "Box",
    "ChatSession",
    "Conversation",
    "EncodedImage",
    "InvalidToolCall",
    "LiveView",
    "Model",
    "PocketVLError",
    "Quad",
    "Sampler",
    "Statistics",
    "Tool",
    "ToolCall",
    "load",
]

_MODULES = {
    "Agent": "chat.agent",
    "AgentAnswer": "chat.agent",
    "Answer": "chat.answer",
    "AnswerStream": "chat.answer",
    "Box": "text.answer_text",
    "ChatSession": "chat.session",
    "Conversation": "chat.conversation",
    "EncodedImage": "media.encoder",
    "LiveView": "chat.live",
    "InvalidToolCall": "text.tools.tool",
    "Model": "model",
    "PocketVLError": "errors",
    "Quad": "text.answer_text",
    "Sampler": "decoding.sampling",
    "Statistics": "chat.answer",
    "Tool": "text.tools.tool",
    "ToolCall": "text.tools.tool",
    "load": "model",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
