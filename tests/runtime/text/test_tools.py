"""Tools as they are given: objects and typed functions to schemas, and arguments back to the functions."""

import enum
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.tools.schema import kind_of, misfit
from pocketvl.runtime.text.tools.tool import Tool, tool_set


class Direction(enum.Enum):
    UP = "up"
    DOWN = "down"


def swipe(
    direction: Direction,
    steps: int,
    speed: float = 1.0,
    how: Annotated[Literal["flick", "drag"] | None, "the gesture"] = None,
    path: list[float] | None = None,
    extra: dict[str, bool] = {},  # noqa: B006
) -> str:
    """Swipe over the screen.

    One step is a tenth of it.
    """
    return f"{direction!r} {steps!r} {speed!r} {how!r} {path!r} {extra!r}"


def test_a_typed_function_becomes_a_schema() -> None:
    (tool,) = tool_set([swipe])
    assert (tool.name, tool.description) == (
        "swipe",
        "Swipe over the screen.\n\nOne step is a tenth of it.",
    )
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "direction": {"type": "string", "enum": ["up", "down"]},
            "steps": {"type": "integer"},
            "speed": {"type": "number"},
            "how": {
                "type": ["string", "null"],
                "enum": ["flick", "drag", None],
                "description": "the gesture",
            },
            "path": {"type": ["array", "null"], "items": {"type": "number"}},
            "extra": {"type": "object", "additionalProperties": {"type": "boolean"}},
        },
        "required": ["direction", "steps"],
    }


def test_arguments_come_as_the_types_of_the_hints() -> None:
    (tool,) = tool_set([swipe])
    said = tool.call({"direction": "up", "steps": 3.0, "speed": 2, "how": "drag", "path": [1, 2.5]})
    assert said == "<Direction.UP: 'up'> 3 2.0 'drag' [1.0, 2.5] {}"


def test_methods_and_callable_objects_are_functions_too() -> None:
    class Phone:
        def tap(self, x: int) -> int:
            return x + 1

    (tool,) = tool_set([Phone().tap])
    assert tool.parameters["required"] == ["x"]
    assert tool.call({"x": 1}) == 2


def test_a_function_with_a_schema_of_its_own_is_called_as_it_is() -> None:
    tool = Tool("tap", "", {"type": "object", "properties": {"x": {}}}, function=lambda x: x)
    assert tool.call({"x": [1.0]}) == [1.0]
    with pytest.raises(UsageError, match="without a function"):
        Tool("tap", "", {"type": "object"}).call({})


async def later(x: int) -> None: ...
def untyped(x) -> None: ...  # type: ignore[no-untyped-def]
def of_bytes(x: bytes) -> None: ...
def of_two(x: int | str) -> None: ...
def of_tuple(x: list[tuple[int, int]]) -> None: ...
def of_mixed(x: Literal["a", 1]) -> None: ...
def of_rest(*x: int) -> None: ...
def of_position(x: int, /) -> None: ...
def of_any(x: Any) -> None: ...
def of_unknown(x: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "'x' of the function untyped has no type"),
        (of_bytes, "has the type bytes"),
        (of_two, "a choice of several"),
        (of_tuple, r"has the type tuple\[int, int\]"),
        (of_mixed, "choice among texts or among whole numbers"),
        (of_rest, "cannot be given by its name"),
        (of_position, "cannot be given by its name"),
        (of_any, "has the type"),
        (of_unknown, "type hints of the function of_unknown cannot be read"),
        (lambda x: x, "cannot have|has no type"),
        (later, "is async"),
        (print, "cannot be given by its name"),
    ],
)
def test_what_no_json_value_is_is_refused_by_name(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tool_set([function])


def test_objects_of_both_apis_are_the_same() -> None:
    inner = {"name": "tap", "description": "Tap.", "parameters": {"type": "object", "properties": {}}}
    outer = {"type": "function", "function": inner}
    assert tool_set([inner]) == tool_set([outer])
    assert tool_set([{"name": "tap", "description": "Tap."}]) == tool_set([outer])


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tap", "tools must be a list"),
        ({"name": "tap"}, "tools must be a list"),
        ([3], r"tools\[0\] must be an object or a function, not int"),
        ([{"name": ""}], "cannot have the name ''"),
        ([{"name": "tap it"}], "cannot have the name 'tap it'"),
        ([{"name": "t" * 65}], "cannot have the name"),
        ([{"name": 3}], "cannot have the name 3"),
        ([{"name": "tap", "strict": True}], r"tools\[0\] has the unknown key 'strict'"),
        ([{"type": "web_search", "function": {"name": "tap"}}], "the type 'web_search'"),
        ([{"type": "function"}], r"tools\[0\].function must be an object"),
        ([{"type": "function", "function": {"name": "tap"}, "x": 1}], "unknown key 'x'"),
        ([{"name": "tap", "description": None}], "description of the tool tap must be a string"),
        ([{"name": "tap"}, {"name": "tap"}], "Two tools have the name 'tap'"),
        ([{"name": "tap", "parameters": []}], "must be a JSON schema of the type"),
        ([{"name": "tap", "parameters": {}}], "must be a JSON schema of the type"),
        ([{"name": "tap", "parameters": {"type": "array"}}], "must be a JSON schema of the type"),
        ([{"name": "tap", "parameters": {**SCHEMA, "properties": []}}], "an object as 'properties'"),
        ([{"name": "tap", "parameters": {**SCHEMA, "required": ["x"]}}], "as 'required'"),
        ([{"name": "tap", "parameters": {**SCHEMA, "properties": {"x": 3}}}], "at x must be a JSON schema"),
        ([{"name": "tap", "parameters": {**SCHEMA, "properties": {"x": {"type": "int"}}}}], "type 'int'"),
        ([{"name": "tap", "parameters": {**SCHEMA, "properties": {"x": {"enum": 1}}}}], "list as 'enum'"),
        ([{"name": "tap", "parameters": {**SCHEMA, "default": {1}}}], "cannot be written as JSON"),
    ],
)
def test_what_is_no_tool_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tool_set(given)


def test_schemas_without_end_are_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"x": schema}}
    with pytest.raises(UsageError, match="nested deeper than 32"):
        Tool("tap", "", schema)
    schema["properties"]["x"] = schema
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        Tool("tap", "", schema)


PARAMETERS = {
    "type": "object",
    "properties": {
        "x": {"type": "integer"},
        "name": {"enum": ["a", 1]},
        "list": {"type": "array", "items": {"type": "object", "required": [], "properties": {"y": False}}},
    },
    "required": ["x"],
}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x": 1}, None),
        ({"x": 1.0}, None),
        ({}, "x is missing"),
        ({"x": 1.5}, "x must be integer, not number"),
        ({"x": True}, "x must be integer, not boolean"),
        ({"x": None}, "x must be integer, not null"),
        ({"x": 1, "z": 1}, "z is unknown; known are x, name, list"),
        ({"x": 1, "name": "a"}, None),
        ({"x": 1, "name": True}, 'name must be one of ["a", 1]'),
        ({"x": 1, "list": [{"z": 1}]}, None),
        ({"x": 1, "list": [{}, 3]}, "list[1] must be object, not integer"),
        ({"x": 1, "list": [{"y": 1}]}, "list[0].y is not allowed"),
    ],
)
def test_arguments_are_held_against_the_schema(arguments: Any, reason: str | None) -> None:
    Tool("tap", "", PARAMETERS)
    assert misfit(arguments, PARAMETERS) == reason


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_a_schema_of_a_values_own_types_fits_it(value: Any) -> None:
    def schema(value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"type": kind_of(value), "enum": [value]}
        if isinstance(value, dict):
            found |= {"properties": {key: schema(each) for key, each in value.items()}, "required": [*value]}
        return found

    parameters = {"type": "object", "properties": {"x": schema(value)}, "required": ["x"]}
    Tool("tap", "", parameters)
    assert misfit({"x": value}, parameters) is None
    assert misfit({}, parameters) == "x is missing"
