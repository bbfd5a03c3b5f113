"""Calls and results in the messages of OpenAI's chat API, checked and made plain."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.text.tools.arguments import parse_arguments
from pocketvl.runtime.text.tools.tool import AnyToolCall, InvalidToolCall, ToolCall

_Result = TypeVar("_Result")


def has_calls(message: Mapping[str, Any]) -> bool:
    """Whether an assistant's message calls tools; null and an empty list are none."""
    return bool(message.get("tool_calls")) or bool(message.get("function_call"))


def parse_calls(message: Mapping[str, Any], where: str) -> tuple[AnyToolCall, ...]:
    """Of `tool_calls`, or of the one older `function_call`. Raises PromptError.

    Arguments that are no JSON object stay as they are: a model wrote them so.
    """
    given = message.get("tool_calls")
    if message.get("function_call"):
        if given:
            raise PromptError(f"{where} gives both tool_calls and function_call; leave one out.")
        return (_call(message["function_call"], "call_0", f"{where}.function_call"),)
    if not isinstance(given, (list, tuple)):
        raise PromptError(f"{where}.tool_calls must be a list of calls, not {type(given).__name__}.")
    calls = tuple(_tool_call(call, i, f"{where}.tool_calls[{i}]") for i, call in enumerate(given))
    ids = [call.id for call in calls]
    for id in ids:
        if ids.count(id) > 1:
            raise PromptError(f"{where}.tool_calls has the id {id!r} twice; each call needs one of its own.")
    return calls


def result_id(message: Mapping[str, Any], where: str) -> str | None:
    """Of which call it is the result; None if it does not say. Raises PromptError."""
    id = message.get("tool_call_id")
    if id is not None and not isinstance(id, str):
        raise PromptError(f"{where}.tool_call_id must be the id of a call, a string.")
    return id


def in_order_of_calls(
    calls: Sequence[AnyToolCall],
    messages: Sequence[Mapping[str, Any]],
    results: Sequence[_Result],
    where: str,
) -> list[_Result]:
    """`results`, made of `messages` of the role tool, in the order of the calls that they answer.

    Results without ids are in order already. Raises PromptError unless each call has one.
    """
    if not calls:
        raise PromptError(f"{where} is a tool's result, but the message before it calls no tool.")
    if len(messages) != len(calls):
        raise PromptError(
            f"{where} begins {len(messages)} results for {len(calls)} calls; give one for each."
        )
    given = [result_id(message, where) for message in messages]
    if all(id is None for id in given):
        return list(results)
    wanted = [call.id for call in calls]
    if sorted(map(str, given)) != sorted(wanted):
        raise PromptError(
            f"{where} begins the results of the calls {', '.join(map(str, given))}, but the calls were"
            f" {', '.join(wanted)}; give one tool_call_id for each."
        )
    return [results[given.index(id)] for id in wanted]


def _tool_call(call: Any, number: int, where: str) -> AnyToolCall:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        raise PromptError(f'{where} must be {{"id": ..., "type": "function", "function": {{...}}}}.')
    _check_keys(call, ("id", "type", "function", "index"), where)
    id = call.get("id", f"call_{number}")
    if not isinstance(id, str):
        raise PromptError(f"{where}.id must be a string.")
    return _call(call.get("function"), id, f"{where}.function")


def _call(function: Any, id: str, where: str) -> AnyToolCall:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise PromptError(f'{where} must be {{"name": ..., "arguments": ...}}.')
    _check_keys(function, ("name", "arguments"), where)
    name, arguments = function["name"], function.get("arguments", "")
    if isinstance(arguments, str):
        try:
            return ToolCall(id, name, parse_arguments(arguments), arguments)
        except ValueError as error:
            return InvalidToolCall(id, name, arguments, str(error))
    if not isinstance(arguments, Mapping):
        raise PromptError(f"{where}.arguments must be JSON in a string, or an object.")
    try:
        raw = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(f"{where}.arguments cannot be written as JSON ({error}).") from None
    return ToolCall(id, name, arguments, raw)


def _check_keys(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in value:
        if key not in known:
            raise PromptError(f"{where} has the unknown key {key!r}; known are {', '.join(known)}.")
