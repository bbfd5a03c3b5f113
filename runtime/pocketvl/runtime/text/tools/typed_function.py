"""A typed Python function as a tool: its signature to a JSON schema, and JSON arguments back to its types.

    def tap(x: int, y: int, button: Literal["left", "right"] = "left") -> str:
        '''Tap the screen.'''

Hints may be str, int, float, bool, list, dict, list[T], dict[str, T], Literal, Enum, Optional, and Annotated
with a text, which describes the parameter. Others are refused by name.
"""

import functools
import inspect
import types
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pocketvl.runtime.errors import UsageError

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
_KNOWN = "str, int, float, bool, list, dict, Literal, Enum, Optional and Annotated"
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def describe_function(function: Callable[..., Any]) -> tuple[str, str, dict[str, Any]]:
    """(name, description, JSON schema of the parameters). Raises UsageError."""
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"The function {name} is async and would not be waited for; wrap it into another.")
    hints, properties, required = _hints(function, name), {}, []
    for parameter in _signature(function, name).parameters.values():
        where = f"The parameter {parameter.name!r} of the function {name}"
        if parameter.kind not in _BY_KEYWORD:
            raise UsageError(f"{where} cannot be given by its name, as a model's arguments are.")
        if parameter.name not in hints:
            raise UsageError(f"{where} has no type; write one of {_KNOWN}.")
        properties[parameter.name] = _schema(hints[parameter.name], where)
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    schema = {"type": "object", "properties": properties, "required": required}
    return name, inspect.getdoc(function) or "", schema


def converting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, for arguments out of JSON that fit its schema: they become what its hints name."""
    hints = _hints(function, getattr(function, "__name__", type(function).__name__))

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        return function(**{key: _value(hints[key], value) for key, value in arguments.items()})

    return call


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise UsageError(f"The parameters of {name} are not known; wrap it into a typed function.") from None


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    plain = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    try:
        hints = get_type_hints(plain, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UsageError(f"The type hints of the function {name} cannot be read ({error}).") from None
    hints.pop("return", None)
    return hints


def _schema(hint: Any, where: str) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        texts = [text for text in arguments[1:] if isinstance(text, str)]
        return {**_schema(arguments[0], where), **({"description": texts[0]} if texts else {})}
    if origin in (Union, types.UnionType):
        return _optional(hint, arguments, where)
    if origin is Literal or _is_enum(hint):
        return _choice(list(arguments) or [member.value for member in hint], where)
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], where)}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema(arguments[1], where)}
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    shown = hint.__name__ if isinstance(hint, type) and origin is None else str(hint)
    raise UsageError(f"{where} has the type {shown}, which no JSON value is; use {_KNOWN}.")


def _optional(hint: Any, arguments: tuple[Any, ...], where: str) -> dict[str, Any]:
    """Of T | None; a choice of several types is more than a small model gets right."""
    others = [each for each in arguments if each is not type(None)]
    if len(others) != 1:
        raise UsageError(f"{where} has the type {hint}, a choice of several; use one type, or that and None.")
    schema = _schema(others[0], where)
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _choice(values: list[Any], where: str) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise UsageError(f"{where} must be a choice among texts or among whole numbers, not among {values}.")
    return {"type": _SIMPLE[kinds.pop()], "enum": values}


def _value(hint: Any, value: Any) -> Any:
    """`hint` is one that _schema took, `value` fits its schema."""
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return value
    if origin in (Annotated, Union, types.UnionType):
        return _value(next(each for each in arguments if each is not type(None)), value)
    if origin is list:
        return [_value(arguments[0], each) for each in value]
    if origin is dict:
        return {key: _value(arguments[1], each) for key, each in value.items()}
    if _is_enum(hint) or hint in (int, float):  # JSON's 3 may be a float, and its 3.0 a whole number
        return hint(value)
    return value


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)
