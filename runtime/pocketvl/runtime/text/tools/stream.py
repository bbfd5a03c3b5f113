"""An answer's text, piece by piece as it comes, to what is said and what is called; see format.py."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.arguments import read_call
from pocketvl.runtime.text.tools.format import ARGS, FUNCTION, RESULT, RETURN
from pocketvl.runtime.text.tools.tool import AnyToolCall, ToolSet

Event = str | AnyToolCall

_MARKERS = (FUNCTION, ARGS, RESULT, RETURN)
_MARKER = re.compile("|".join(_MARKERS))
_IN_TEXT = re.compile("|".join((FUNCTION, RESULT, RETURN)))  # arguments of nothing are text
_LONGEST = max(map(len, _MARKERS))


class ToolStream:
    """Text without markers is passed on; space before what may become a marker is held back with it.

    A call is complete at the next marker, or at the end. stopped_by: the marker that ends the answer: that of
    a result, which is not the model's to write, or of a second call where only one is made at a time. Nothing
    raises: a call that cannot be made is an InvalidToolCall.
    """

    def __init__(self, tools: ToolSet, *, calls_before: int = 0, after_results: bool = False) -> None:
        """calls_before: of the conversation, which numbers the ids. after_results: the text begins with the
        colon that belongs to the marker before it."""
        self._tools = tools
        self._number = calls_before
        self._after_colon = not after_results
        self._state: Literal["text", "name", "arguments"] = "text"
        self._held = ""
        self._searched = 0  # characters of _held in which no marker begins
        self._name = ""
        self.stopped_by = ""

    def push(self, piece: str) -> list[Event]:
        """What this piece completes. After stopped_by is set, nothing."""
        self._held += piece
        return list(self._events())

    def finish(self) -> list[Event]:
        """What was held back, as the answer ends here."""
        held, self._held = self._held, ""
        if self.stopped_by:
            return []
        if self._state != "text":
            return [self._call(held)]
        if not self._after_colon:
            held = _without_colon(held)
        return [held] if held else []

    def _events(self) -> Iterator[Event]:
        if not self._after_colon:
            if self._held in ("", ":"):
                return
            self._held, self._after_colon = _without_colon(self._held), True
        if not self._tools:
            if self._held:
                yield self._held
            self._held = ""
        while not self.stopped_by:
            pattern = _IN_TEXT if self._state == "text" else _MARKER
            found = pattern.search(self._held, self._searched)
            if found is None:
                break
            before, self._held = self._held[: found.start()], self._held[found.end() :]
            self._searched = 0
            yield from self._at_marker(found.group(), before)
        if self._state == "text" and not self.stopped_by:
            safe = _safe_length(self._held)
            if safe:
                yield self._held[:safe]
            self._held = self._held[safe:]
        self._searched = max(0, len(self._held) - _LONGEST)

    def _at_marker(self, marker: str, before: str) -> Iterator[Event]:
        calls = False
        if self._state == "text":
            if before := before.rstrip():
                yield before
        elif self._state == "name" and marker == ARGS:
            self._name = _without_colon(before).strip()
        else:
            yield self._call(before)
            calls = True
        if marker in (RESULT, RETURN) or (calls and not self._tools.parallel):
            self.stopped_by = marker
            self._held = ""
        self._state = "name" if marker == FUNCTION else "arguments"

    def _call(self, text: str) -> AnyToolCall:
        """After its name or its arguments; a name alone calls without arguments."""
        text = _without_colon(text).strip()
        name, raw = (text, "") if self._state == "name" else (self._name, text)
        self._number += 1
        return read_call(f"call_{self._number - 1}", name, raw, self._tools)


def kept_tokens(
    tokens: Sequence[int], tokenizer: Tokenizer, stopped_by: str, ends_with_call: bool
) -> tuple[int, ...]:
    """Of an answer: those before the marker, and a line break after a call, which its result follows.

    A token that holds more than the marker is encoded anew without it.
    """
    texts = [tokenizer.token_bytes(token, skip_special=False) for token in tokens]
    whole = b"".join(texts)
    cut = whole.rfind(stopped_by.encode()) if stopped_by else len(whole)
    size = count = 0
    while count < len(tokens) and size + len(texts[count]) <= cut:
        size += len(texts[count])
        count += 1
    rest = whole[size:cut].decode("utf-8", errors="replace")
    if ends_with_call and not whole[:cut].endswith(b"\n"):
        rest += "\n"
    return (*tokens[:count], *tokenizer.encode_text(rest))


def _safe_length(text: str) -> int:
    """Characters that cannot belong to a marker any more, nor to the space before it."""
    start = len(text)
    for size in range(min(_LONGEST - 1, len(text)), 0, -1):
        if any(marker.startswith(text[-size:]) for marker in _MARKERS):
            start -= size
            break
    return len(text[:start].rstrip())


def _without_colon(text: str) -> str:
    """Of what stands after a marker."""
    return text.removeprefix(":").removeprefix(" ") if text.startswith(":") else text
