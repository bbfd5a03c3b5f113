"""The body of POST /v1/chat/completions, checked: what OpenAI's API has and this server does.

docs/server.md lists every field. Nothing is ignored: a field that is neither supported nor at the value that
changes nothing is refused by its name.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from pocketvl.runtime.serve.errors import RequestError

MOST_STOPS = 4
MOST_TOP_LOGPROBS = 20
_NAME = r"^[A-Za-z0-9_-]{1,64}$"

# Fields that are not supported, with values that ask for nothing; null does so, too.
_INERT: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "audio": (),
    "function_call": (),
    "functions": (),
    "metadata": ({},),
    "prediction": (),
    "prompt_cache_key": (),
    "reasoning_effort": (),
    "safety_identifier": (),
    "user": (),
    "verbosity": (),
    "web_search_options": (),
}


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StreamOptions(_Wire):
    include_usage: bool = False


class JsonSchema(_Wire):
    """name and description are for people; strict is always meant."""

    name: str = Field(pattern=_NAME)
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_goes_with_its_type(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with the type json_schema, and only with it")
        return self


class Function(_Wire):
    name: str = Field(pattern=_NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Literal[False] | None = None  # a call may not fit the schema


class Tool(_Wire):
    type: Literal["function"]
    function: Function


class ChatRequest(_Wire):
    """top_k and repetition_penalty are this server's own. None is the bundle's or the server's default."""

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1 << 31)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    seed: int | None = Field(None, ge=0, lt=1 << 64)
    stop: Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: str | None = None  # none, auto, required, or a function's name as "function:NAME"

    @field_validator("stop", mode="before")
    @classmethod
    def _stops(cls, value: Any) -> Any:
        stops = [value] if isinstance(value, str) else value
        if isinstance(stops, list) and "" in stops:
            raise ValueError("a stop string must not be empty")
        return stops

    @field_validator("tool_choice", mode="before")
    @classmethod
    def _choice(cls, value: Any) -> Any:
        match value:
            case None | "none" | "auto" | "required":
                return value
            case {"type": "function", "function": {"name": str() as name, **rest}, **more} if not rest | more:
                return f"function:{name}"
        raise ValueError(
            '"none", "auto", "required" or {"type": "function", "function": {"name": ...}} is meant'
        )

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream: true")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs: true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValueError("max_tokens and max_completion_tokens differ; give one of them")
        names = {tool.function.name for tool in self.tools or ()}
        if len(names) < len(self.tools or ()):
            raise ValueError("two tools have one name")
        kind, _, name = (self.tool_choice or "").partition(":")
        if kind == "required" and not names:
            raise ValueError("tool_choice required goes with tools")
        if kind == "function" and name not in names:
            raise ValueError(f"tool_choice names {name!r}, which is none of the tools")
        return self


def parse_request(body: bytes) -> ChatRequest:
    """Raises RequestError with status 400, which names the field."""
    try:
        from_json(body, allow_inf_nan=False)  # strict, also about nesting and halves of surrogate pairs
        given = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"The body is not JSON ({error}).", code="invalid_json") from None
    if not isinstance(given, dict):
        raise RequestError(400, "The body must be a JSON object with model and messages.")
    _refuse_unsupported(given)
    try:
        return ChatRequest.model_validate({key: given[key] for key in given if key not in _INERT})
    except ValidationError as error:
        raise _refusal(error) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key given twice would otherwise be ignored once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _refuse_unsupported(given: dict[str, Any]) -> None:
    for key in given.keys() & _INERT.keys():
        value = given[key]
        if value is None or any(_same(value, inert) for inert in _INERT[key]):
            continue
        inert = f" but as {_INERT[key][0]!r}" if _INERT[key] else ""
        raise RequestError(
            400,
            f"{key} is not supported{inert}; leave it out.",
            param=key,
            code="unsupported_parameter",
        )


def _same(value: Any, inert: Any) -> bool:
    """Equal, where True is not 1."""
    return bool(value == inert) and isinstance(value, bool) == isinstance(inert, bool)


def _refusal(error: ValidationError) -> RequestError:
    """Of the first thing that is wrong."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        message, code = f"{where} is not known; docs/server.md lists what is.", "unknown_parameter"
    elif first["type"] == "missing":
        message, code = f"{where} is missing.", "missing_parameter"
    else:
        said = first["msg"].removeprefix("Value error, ")
        message, code = f"{where}: {said}." if where else f"{said[0].upper()}{said[1:]}.", "invalid_value"
    return RequestError(400, message, param=where or None, code=code)
