"""What a caller may say about one question, beside its content."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.tools.tool import GivenTool

DEFAULT_MAX_TOKENS = 256

Content = str | Sequence[Mapping[str, Any]]  # a text, parts, or messages with roles; see text/messages.py


class AnswerOptions(TypedDict, total=False):
    """Keyword arguments of ChatSession.ask and stream; what is left out has its default.

    images: what an image part takes; they come before the text. videos: what a video part takes, or such
    parts with their options; after the images, before the text. max_tokens: of the answer, 256 unless said.
    sampler: None for one of the bundle's sampling defaults. stop: up to 4 texts; the answer ends before the
    first of them. logprobs: how many likeliest tokens, 0 to 20, Answer.logprobs lists at each token of the
    answer; 0 leaves it empty. json_schema: what the answer is JSON of. regex: what the whole answer matches.
    lookup: whether tokens are drafted from what was said before: faster where an answer quotes, but tokens
    that are toss-ups may come out otherwise if the bundle is quantized (docs/generation.md).
    tools: what the model may call, see text/tools/; named with a conversation's first turn, they stay.
    parallel_tool_calls: whether it may make several calls at once, where tools are named.
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
    tools: Sequence[GivenTool] | None
    parallel_tool_calls: bool


def with_media(content: Content, options: AnswerOptions) -> Content:
    """Parts instead of a text that has images or videos beside it. Raises UsageError."""
    images, videos = options.get("images", ()), options.get("videos", ())
    if not images and not videos:
        return content
    if not isinstance(content, str):
        kind = "image" if images else "video"
        raise UsageError(f"{kind}s go with a text; in a list of parts, give each {kind} as a part.")
    return [
        *({"type": "image", "image": image} for image in images),
        *(
            {"type": "video", **(video if isinstance(video, Mapping) else {"video": video})}
            for video in videos
        ),
        {"type": "text", "text": content},
    ]
