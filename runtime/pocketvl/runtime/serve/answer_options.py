"""What a request asks of the session, beside its messages: the one place where they meet."""

from typing import Any, cast

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.chat.sampler import make_sampler
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.request import ChatRequest

# An option of the session and the request's field that needs it.
_FIELDS = {
    "stop": "stop",
    "logprobs": "logprobs",
    "json_schema": "response_format",
    "tools": "tools",
    "parallel_tool_calls": "parallel_tool_calls",
}


def answer_options(request: ChatRequest, defaults: SamplingDefaults, max_tokens: int) -> AnswerOptions:
    """max_tokens: where the request names none. Raises RequestError for what this build does not have."""
    options: dict[str, Any] = {
        "max_tokens": request.max_tokens or request.max_completion_tokens or max_tokens,
        "sampler": _sampler(request, defaults),
        **_wanted(request),
    }
    for option, field in _FIELDS.items():
        if option in options and option not in AnswerOptions.__annotations__:
            raise _unsupported(field)
    return cast(AnswerOptions, options)


def _wanted(request: ChatRequest) -> dict[str, Any]:
    """Those of _FIELDS that the request asks for."""
    wanted: dict[str, Any] = {}
    if request.stop:
        wanted["stop"] = request.stop
    if request.logprobs:
        wanted["logprobs"] = request.top_logprobs or 1  # for a session 0 is none at all
    if request.response_format is not None and request.response_format.type != "text":
        schema = request.response_format.json_schema
        wanted["json_schema"] = {"type": "object"} if schema is None else schema.schema_
    if request.tools and request.tool_choice != "none":
        if request.tool_choice not in (None, "auto"):
            raise _unsupported("tool_choice")
        wanted["tools"] = [
            tool.model_dump(exclude_none=True, exclude={"function": {"strict"}}) for tool in request.tools
        ]
        wanted["parallel_tool_calls"] = request.parallel_tool_calls is not False
    return wanted


def _sampler(request: ChatRequest, defaults: SamplingDefaults) -> Any:
    try:
        return make_sampler(
            defaults,
            request.temperature,
            request.top_k,
            request.top_p,
            request.repetition_penalty,
            seed=request.seed,
        )
    except UsageError as error:
        raise RequestError(400, str(error), code="invalid_value") from None


def _unsupported(field: str) -> RequestError:
    message = f"{field} is not supported by this build; leave it out."
    return RequestError(400, message, param=field, code="unsupported_parameter")
