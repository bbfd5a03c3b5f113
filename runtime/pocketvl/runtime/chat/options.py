"""What a caller may say about one question, beside its content."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pocketvl.runtime.decoding.sampling import Sampler

DEFAULT_MAX_TOKENS = 256


class AnswerOptions(TypedDict, total=False):
    """Keyword arguments of ChatSession.ask and stream; what is left out has its default.

    images: what an image part takes; they come before the text. videos: what a video part takes, or such
    parts with their options; after the images, before the text. max_tokens: of the answer, 256 unless said.
    sampler: None for one of the bundle's sampling defaults. stop: up to 4 texts; the answer ends before the
    first of them. logprobs: how many likeliest tokens, 0 to 20, Answer.logprobs lists at each token of the
    answer; 0 leaves it empty. json_schema: what the answer is JSON of. regex: what the whole answer matches.
    lookup: whether tokens are drafted from what was said before, which changes the speed alone.
    """

    images: Sequence[Any]
    videos: Sequence[Any]
    max_tokens: int
    sampler: Sampler | None
    stop: Sequence[str]
    logprobs: int
    json_schema: Mapping[str, Any] | bool | None
    regex: str | None
    lookup: bool
