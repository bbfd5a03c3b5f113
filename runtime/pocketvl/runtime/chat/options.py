"""What a caller may say about one question, beside its content."""

from collections.abc import Sequence
from typing import Any, TypedDict

from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.text.tools import GivenTool

DEFAULT_MAX_TOKENS = 256


class AnswerOptions(TypedDict, total=False):
    """Keyword arguments of ChatSession.ask and stream; what is left out has its default.

    images: what an image part takes; they come before the text. max_tokens: of the answer, 256 unless said.
    sampler: None for one of the bundle's sampling defaults.
    tools: what the model may call, see text/tools.py; named with a conversation's first turn, they stay.
    parallel_tool_calls: whether it may make several calls at once, where tools are named.
    """

    images: Sequence[Any]
    max_tokens: int
    sampler: Sampler | None
    tools: Sequence[GivenTool] | None
    parallel_tool_calls: bool
