"""What a caller may say about one question, beside its content."""

from collections.abc import Sequence
from typing import Any, TypedDict

from pocketvl.runtime.decoding.sampling import Sampler

DEFAULT_MAX_TOKENS = 256


class AnswerOptions(TypedDict, total=False):
    """Keyword arguments of ChatSession.ask and stream; what is left out has its default.

    images: what an image part takes; they come before the text. videos: what a video part takes, or such
    parts with their options; after the images, before the text. max_tokens: of the answer, 256 unless said.
    sampler: None for one of the bundle's sampling defaults.
    """

    images: Sequence[Any]
    videos: Sequence[Any]
    max_tokens: int
    sampler: Sampler | None
