"""What a chat template may make: a meter, and the operations of template.py that need one.

Each is a function that a template calls as a filter, or that template.py puts around a part of it.
"""

import functools
import json
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2.filters import make_attrgetter
from jinja2.utils import Namespace

from pocketvl.runtime.errors import PromptError

MAX_SECONDS = 1.0  # processor time of the thread, which a busy or sleeping machine does not use up
MAX_MADE = 1 << 20  # characters and list elements of one rendering, if the messages are short
MADE_PER_CHARACTER = 64  # so much more for each character of the messages
_ELEMENT = 8  # what an element of a list or dict counts, in characters
_TICKS = 16  # looking at the clock takes longer than most operations
_LARGE = 1024
_MAX_BITS = 64  # of an integer
_MAX_INDENT = 16
_MAX_STRIPPED = 64  # characters that strip() takes away: each is compared with each


class Meter:
    """What one rendering may still make, in characters, and how long it may go on."""

    def __init__(self, room: int) -> None:
        self._room = self._left = room
        self._ticks = 0
        self._until = time.thread_time() + MAX_SECONDS

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _TICKS == 0 and time.thread_time() > self._until:
            raise PromptError(failed(f"it takes more than {MAX_SECONDS:g} s"))

    def spend(self, size: int) -> None:
        if size > _LARGE:  # work in proportion
            self._ticks += _TICKS - self._ticks % _TICKS - 1
        self.tick()
        self._left -= size
        if self._left < 0:
            raise PromptError(failed("it makes far more text, or longer lists, than they need"))

    def made(self, value: Any) -> Any:
        """`value`, which is new; what a list or dict refers to is not, but must stay small as text."""
        self.spend(size_of(value))
        if isinstance(value, (list, tuple, dict)):
            self.check(value)
        elif isinstance(value, Iterator):
            return counted(value)
        elif isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise PromptError(failed(f"it makes a number of {value.bit_length()} bits"))
        return value

    def check(self, value: Any) -> None:
        """Lists that hold a list twice may be small in memory and without end when written out."""
        if deep_size(value, self._room) > self._room:
            self.spend(self._room + 1)

    def text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        self.check(value)
        return str(value)


METER: ContextVar[Meter] = ContextVar("_METER")


def metered(function: Any) -> Any:
    @functools.wraps(function)  # also the mark by which Jinja passes the environment or context first
    def call(*args: Any, **kwargs: Any) -> Any:
        meter = METER.get()
        meter.tick()
        return meter.made(function(*args, **kwargs))

    return call


def counted(iterable: Iterable[Any]) -> Iterator[Any]:
    meter = METER.get()
    for item in iterable:
        meter.tick()
        yield item


def made(value: Any) -> Any:
    return METER.get().made(value)


def _text(value: Any) -> str:
    return METER.get().text(value)


def written(value: Any) -> str:
    meter = METER.get()
    text = meter.text(value)
    meter.spend(len(text))
    return text


def joined(values: Iterable[Any], separator: str = "") -> str:
    meter, texts = METER.get(), []
    for value in values:
        texts.append(meter.text(value))
        meter.spend(len(texts[-1]) + len(separator))
    return separator.join(texts)


@jinja2.pass_environment
def join(
    environment: jinja2.Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None
) -> str:
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    return joined(value, _text(d))


def replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    meter = METER.get()
    text = meter.text(value)
    meter.spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def trim(value: Any, chars: str | None = None) -> str:
    check_stripped(chars)
    return written(written(value).strip(chars))


def check_stripped(chars: str | None = None) -> None:
    if chars is not None and len(chars) > _MAX_STRIPPED:
        raise jinja2.TemplateError(f"it strips {len(chars)} different characters at once")


def to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """Jinja's own filter escapes for HTML, which a prompt is not."""
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= _MAX_INDENT):
        raise jinja2.TemplateError(f"the indent of tojson must lie in 0..{_MAX_INDENT}, not {indent!r}")
    meter = METER.get()
    meter.check(value)
    pieces = []
    for piece in json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent).iterencode(value):
        meter.spend(len(piece))
        pieces.append(piece)
    return "".join(pieces)


def size_of(value: Any) -> int:
    """Characters that a value takes without what it refers to."""
    if isinstance(value, str):
        return len(value)
    return _ELEMENT * len(value) if isinstance(value, (list, tuple, dict)) else _ELEMENT


def deep_size(value: Any, most: int) -> int:
    """With what it refers to, each as often as it would be written; stops counting beyond `most`."""
    total, left = 0, [value]
    while left and total <= most:
        item = left.pop()
        total += 1 + size_of(item)
        if isinstance(item, Namespace):
            item = item._Namespace__attrs
        if isinstance(item, dict):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            left += item
    return total


def failed(reason: str) -> str:
    return f"The chat template fails on these messages ({reason}); check chat_template.jinja."
