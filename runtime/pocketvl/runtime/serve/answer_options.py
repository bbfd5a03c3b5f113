"""What a request asks of the session, beside its messages: the one place where they meet."""

from typing import Any, cast

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.chat.sampler import make_sampler
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.request import ChatRequest


def answer_options(request: ChatRequest, defaults: SamplingDefaults, max_tokens: int) -> AnswerOptions:
    """max_tokens: where the request names none. Raises RequestError."""
    options: dict[str, Any] = {
        "max_tokens": request.max_tokens or request.max_completion_tokens or max_tokens,
        "sampler": _sampler(request, defaults),
        **_wanted(request),
    }
    return cast(AnswerOptions, options)


def _wanted(request: ChatRequest) -> dict[str, Any]:
    """What the request asks for beside tokens and their drawing."""
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
            message = "tool_choice can be auto or none: whether a tool is called is the model's choice."
            raise RequestError(400, message, param="tool_choice", code="unsupported_parameter")
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
