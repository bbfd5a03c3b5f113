"""JSON schemas of tools' parameters, and whether a call's arguments fit one.

What a small model most often gets wrong is checked: type, enum, properties, required, additionalProperties
and items. Other keywords (pattern, minimum, anyOf, ...) are shown to the model and left to the function.
"""

import json
from collections.abc import Mapping
from typing import Any

from pocketvl.runtime.errors import UsageError

_MAX_DEPTH = 32
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def check_parameters(schema: Any, where: str) -> None:
    """Whether `schema` describes an object of named arguments. Raises UsageError."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise UsageError(f'{where} must be a JSON schema of the type "object", not {schema!r:.60}.')
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be written as JSON ({error}).") from None
    _check(schema, where, _MAX_DEPTH)


def misfit(arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments for a schema that check_parameters took; None if they fit.

    Arguments that the schema does not name are wrong unless it has additionalProperties: nobody reads them.
    """
    return _misfit(arguments, {"additionalProperties": False, **parameters}, "")


def kind_of(value: Any) -> str:
    """JSON Schema's name for the type of a value out of JSON."""
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _check(schema: Any, where: str, depth: int) -> None:
    """Of one schema and those in it; true and false are schemas, too."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise UsageError(f"{where} must be a JSON schema, not {schema!r:.60}.")
    if not depth:
        raise UsageError(f"{where} are nested deeper than {_MAX_DEPTH} levels.")
    wanted = schema.get("type", [])
    for kind in wanted if isinstance(wanted, list) else [wanted]:
        if not isinstance(kind, str) or kind not in _TYPES:
            raise UsageError(f"{where} have the unknown type {kind!r}; known are {', '.join(_TYPES)}.")
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping):
        raise UsageError(f"{where} must have an object as 'properties'.")
    if not isinstance(required, list) or any(key not in [*properties] for key in required):
        raise UsageError(f"{where} must have a list of names out of 'properties' as 'required'.")
    if not isinstance(schema.get("enum", []), list):
        raise UsageError(f"{where} must have a list as 'enum'.")
    inner = {f".{key}": each for key, each in properties.items()}
    inner |= {f".{key}": schema[key] for key in ("items", "additionalProperties") if key in schema}
    for key, each in inner.items():
        _check(each, f"{where} at {key[1:]}" if depth == _MAX_DEPTH else f"{where}{key}", depth - 1)


def _misfit(value: Any, schema: Any, where: str) -> str | None:
    if not isinstance(schema, Mapping):
        return f"{where} is not allowed" if schema is False else None
    wanted = schema.get("type", [])
    kinds = wanted if isinstance(wanted, list) else [wanted]
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{where} must be {' or '.join(kinds)}, not {kind_of(value)}"
    choices = schema.get("enum")
    if choices is not None and not any(value == each and kind_of(value) == kind_of(each) for each in choices):
        return f"{where} must be one of {json.dumps(choices, ensure_ascii=False)}"
    if isinstance(value, Mapping):
        return _object_misfit(value, schema, where)
    if isinstance(value, list):
        found = (_misfit(each, schema.get("items"), f"{where}[{i}]") for i, each in enumerate(value))
        return next((reason for reason in found if reason), None)
    return None


def _object_misfit(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str | None:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            return f"{_path(where, key)} is missing"
    for key, each in value.items():
        if key not in properties and others is False:
            return f"{_path(where, key)} is unknown; known are {', '.join(properties) or 'none'}"
        reason = _misfit(each, properties.get(key, others), _path(where, key))
        if reason:
            return reason
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # 3.0 is an integer to JSON Schema
    return isinstance(value, _TYPES[kind])


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
