"""What a request is refused with, in the shape of OpenAI's errors."""

from collections.abc import Mapping
from typing import Any

from pocketvl.runtime.errors import (
    ContextError,
    ImageError,
    MissingExtraError,
    PocketVLError,
    PromptError,
    UsageError,
)

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}
_MESSAGES = "messages"


class RequestError(PocketVLError):
    """A request that is not answered, and the HTTP status that says so.

    param: the part of the request that is wrong, as "messages[0].content". code: a word for programs.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON object of the response."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def request_error(failure: BaseException) -> RequestError:
    """The status of what a session raises: 400 where the request is the cause, 500 where it is not."""
    match failure:
        case RequestError():
            return failure
        case ContextError():
            return RequestError(400, str(failure), param=_MESSAGES, code="context_length_exceeded")
        case ImageError() | MissingExtraError():  # an image format that needs a package
            return RequestError(400, str(failure), param=_MESSAGES, code="invalid_image")
        case PromptError() | UsageError():
            return RequestError(
                400, str(failure), param=_MESSAGES if isinstance(failure, PromptError) else None
            )
        case PocketVLError():
            return RequestError(500, str(failure))
    return RequestError(500, "The server failed in a way that is not foreseen; its log says where.")
