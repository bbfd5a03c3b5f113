"""A model's call out of its text: the tool that it names, and arguments that fit the tool's schema."""

import json
import math
from typing import Any

from pocketvl.runtime.text.tools.schema import kind_of, misfit
from pocketvl.runtime.text.tools.tool import AnyToolCall, InvalidToolCall, ToolCall, ToolSet


def read_call(id: str, name: str, raw: str, tools: ToolSet) -> AnyToolCall:
    """A call as it was written; what is wrong with it becomes a reason, never an exception."""
    tool = tools.get(name)
    if tool is None:
        return InvalidToolCall(
            id, name, raw, f"There is no tool {name!r}; known are {', '.join(tools.names)}."
        )
    try:
        arguments = parse_arguments(raw)
    except ValueError as error:
        return InvalidToolCall(id, name, raw, f"The arguments of {name} must be a JSON object: {error}.")
    reason = misfit(arguments, tool.parameters)
    if reason is not None:
        return InvalidToolCall(id, name, raw, f"The arguments of {name} do not fit: {reason}.")
    return ToolCall(id, name, arguments, raw)


def parse_arguments(raw: str) -> dict[str, Any]:
    """The JSON object with which `raw` begins; nothing at all is an object without keys.

    What comes after it is left out, as this family at times adds a comment. Raises ValueError.
    """
    text = raw.strip()
    if not text:
        return {}
    try:
        value, _ = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"this is {kind_of(value)}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text} is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse, parse_float=_number)
