"""An answer while its tokens come: what is shown of it, and what of it stays in the conversation."""

from collections.abc import Collection, Sequence

from pocketvl.runtime.text.answer_text import AnswerText, FoundBox, FoundQuad
from pocketvl.runtime.text.messages import Part, Text
from pocketvl.runtime.text.stop_strings import StopStrings
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.stream import Event, ToolStream, kept_tokens
from pocketvl.runtime.text.tools.tool import AnyToolCall


class AnswerBuilder:
    """For one answer."""

    def __init__(
        self, tokenizer: Tokenizer, eos: Collection[int], stop: StopStrings, calls: ToolStream
    ) -> None:
        """eos: ids that end an answer and are not part of its text. stop and calls: new, of this answer."""
        self._tokenizer = tokenizer
        self._eos = eos
        self._stop = stop
        self._calls = calls
        self._said: list[str] = []
        self.tool_calls: list[AnyToolCall] = []
        self._text = AnswerText(tokenizer)
        self._tokens: list[int] = []
        self._lengths: list[int] = []  # characters after each token, those held back or cut off included
        self._shown = 0

    @property
    def tokens(self) -> tuple[int, ...]:
        """As generated, the one that ended the answer included."""
        return tuple(self._tokens)

    @property
    def boxes(self) -> tuple[FoundBox, ...]:
        return self._text.boxes

    @property
    def quads(self) -> tuple[FoundQuad, ...]:
        return self._text.quads

    @property
    def text(self) -> str:
        """What was shown, without calls."""
        return "".join(self._said)

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string or a marker of the tools ended the answer."""
        return self._stop.found is not None or bool(self._calls.stopped_by)

    def parts(self) -> tuple[Part, ...]:
        """Of the message that the answer becomes."""
        if self.tool_calls and not self.text:
            return tuple(self.tool_calls)
        return (Text(self.text), *self.tool_calls)

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the text."""
        return self._stop.found

    def push(self, token: int) -> str:
        """The text that can be shown after this token, maybe none."""
        piece = "" if token in self._eos else self._text.push(token)
        self._tokens.append(token)
        self._lengths.append((self._lengths[-1] if self._lengths else 0) + len(piece))
        return self._show(self._stop.push(piece))

    def finish(self) -> str:
        """What was held back."""
        piece = self._stop.push(self._text.finish())
        return self._show(piece + self._stop.finish()) + self._add(self._calls.finish())

    def kept(self) -> tuple[int, ...]:
        """Tokens of what was shown, for the turns that follow: without the one that ended the answer, and
        without a stop string, within one of whose tokens the text may end."""
        tokens = self._tokens
        if self._stop.found is None:
            said = tokens[:-1] if tokens and tokens[-1] in self._eos else tokens
            return kept_tokens(said, self._tokenizer, self._calls.stopped_by, bool(self.tool_calls))
        count = sum(length <= self._shown for length in self._lengths)
        while count and self._is_part_of_a_character(count - 1):  # which the stop string begins with
            count -= 1
        length = self._lengths[count - 1] if count else 0
        rest = self._text.text[length : self._shown]
        return (*tokens[:count], *self._tokenizer.encode_text(rest))

    def _is_part_of_a_character(self, index: int) -> bool:
        before = self._lengths[index - 1] if index else 0
        return self._lengths[index] == before and self._tokens[index] not in self._tokenizer.special_ids

    def _show(self, piece: str) -> str:
        """What no stop string cut off, on to the tools."""
        self._shown += len(piece)
        return self._add(self._calls.push(piece))

    def _add(self, events: Sequence[Event]) -> str:
        """Keep calls; the text of the rest."""
        self.tool_calls += [event for event in events if not isinstance(event, str)]
        piece = "".join(event for event in events if isinstance(event, str))
        self._said.append(piece)
        return piece
