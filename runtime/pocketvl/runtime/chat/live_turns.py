"""The turns of a live view, and which of their frames stay."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pocketvl.runtime.media.encoder import EncodedImage


@dataclass(frozen=True)
class LiveTurn:
    """A question, the frame that it is about, and its answer. has_frame: whether the frame comes before its
    text: not where it is another turn's already, or has left."""

    question: str
    frame: EncodedImage
    answer: str | None = None
    has_frame: bool = True

    def answered(self, answer: str) -> "LiveTurn":
        return replace(self, answer=answer)


def kept_frames(frames: Sequence[str], most: int) -> list[bool]:
    """Of turns about these frames, by key, which have theirs before their text: the first of neighbouring
    turns about one frame, for the `most` newest of such neighbours."""
    first = [index == 0 or frames[index - 1] != key for index, key in enumerate(frames)]
    left = sum(first) - most  # frames that leave
    return [is_first and sum(first[:index]) >= left for index, is_first in enumerate(first)]


def with_frames(turns: Sequence[LiveTurn], most: int) -> tuple[LiveTurn, ...]:
    """With the frames that stay; the last turn is about the newest."""
    kept = kept_frames([turn.frame.media.key for turn in turns], most)
    return tuple(replace(turn, has_frame=own) for turn, own in zip(turns, kept, strict=True))


def as_messages(turns: Sequence[LiveTurn]) -> list[dict[str, Any]]:
    """For ChatSession.ask: the last turn is not answered."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        image = [{"type": "image", "image": turn.frame}] if turn.has_frame else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": turn.question}]})
        if turn.answer is not None:
            messages.append({"role": "assistant", "content": turn.answer})
    return messages
