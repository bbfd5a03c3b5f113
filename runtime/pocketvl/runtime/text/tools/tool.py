"""Tools that a model may call: named functions with a JSON schema of their arguments, and calls of them.

Given as OpenAI's chat API has them, {"type": "function", "function": {"name": ..., "parameters": ...}}, as
the inner object alone, or as a typed Python function, see typed_function.py.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.tools.schema import check_parameters
from pocketvl.runtime.text.tools.typed_function import converting, describe_function

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Tool:
    """parameters: a JSON schema of the type object. function: called with the arguments as JSON has them."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageError(
                f"A tool cannot have the name {self.name!r}; use 1 to 64 letters, digits, _ or -, as OpenAI's"
                " API does."
            )
        if not isinstance(self.description, str):
            raise UsageError(f"The description of the tool {self.name} must be a string.")
        check_parameters(self.parameters, f"The parameters of the tool {self.name}")

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns. Raises what it raises, and UsageError if there is none."""
        if self.function is None:
            raise UsageError(
                f"The tool {self.name} was given as a schema, without a function to call; give the function."
            )
        return self.function(**arguments)


@dataclass(frozen=True)
class ToolCall:
    """A call that a model made, whose arguments fit the tool's schema.

    id: what the result's tool_call_id must be. raw: the arguments as the model wrote them.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    raw: str


@dataclass(frozen=True)
class InvalidToolCall:
    """A call that cannot be made. name and raw are as the model wrote them; reason is a sentence for it."""

    id: str
    name: str
    raw: str
    reason: str


AnyToolCall = ToolCall | InvalidToolCall


@dataclass(frozen=True)
class ToolSet:
    """The tools of one conversation. parallel: whether the model may make several calls at once."""

    tools: tuple[Tool, ...] = ()
    parallel: bool = False

    def __iter__(self) -> Iterator[Tool]:
        return iter(self.tools)

    def __len__(self) -> int:
        return len(self.tools)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tool.name for tool in self.tools)

    def get(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)


NO_TOOLS = ToolSet()

GivenTool = Tool | Mapping[str, Any] | Callable[..., Any]


def tool_set(given: Iterable[GivenTool], parallel: bool = False) -> ToolSet:
    """Raises UsageError for what is no tool, and for a name that two have."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise UsageError('tools must be a list; write [{"type": "function", "function": {...}}].')
    tools = tuple(_tool(each, f"tools[{i}]") for i, each in enumerate(given))
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two tools have the name {name!r}; rename one of them.")
    return ToolSet(tools, parallel and bool(tools))


def _tool(given: Any, where: str) -> Tool:
    if isinstance(given, Tool):
        return given
    if isinstance(given, Mapping):
        return _from_object(given, where)
    if callable(given):
        return Tool(*describe_function(given), function=converting(given))
    raise UsageError(f"{where} must be an object or a function, not {type(given).__name__}.")


def _from_object(given: Mapping[str, Any], where: str) -> Tool:
    inner: Any = given
    if "function" in given or given.get("type") == "function":
        _check_keys(given, ("type", "function"), where)
        if given.get("type", "function") != "function":
            raise UsageError(f"{where} has the type {given['type']!r}; 'function' is the only one.")
        inner, where = given.get("function"), f"{where}.function"
    if not isinstance(inner, Mapping):
        raise UsageError(f"{where} must be an object with name, description and parameters.")
    _check_keys(inner, ("name", "description", "parameters"), where)
    parameters = inner.get("parameters")
    return Tool(
        inner.get("name", ""),
        inner.get("description", ""),
        _NO_PARAMETERS if parameters is None else parameters,
    )


def _check_keys(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{where} has the unknown key {key!r}; known are {', '.join(known)}.")
