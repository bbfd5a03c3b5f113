"""Reading a request's body: JSON, within a size, a time and what the server holds altogether."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.settings import Settings


@dataclass
class Body:
    """data may be emptied when it has been parsed; held is counted until the request ends."""

    data: bytes = b""
    held: int = 0


class Bodies:
    """Counts the bytes of all requests in the server. What a refused one still sends, uvicorn drops."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Body]:
        """Counted as held until the end of the block.

        Raises RequestError: 415, 413, 408, 429, and 400 for one that ends early.
        """
        _check_type(request)
        length = request.headers.get("content-length", "")
        self._check_size(int(length) if length.isdecimal() and len(length) < 20 else 0)
        body = Body()
        try:
            body.data = await self._receive(request, body)
            yield body
        finally:
            self._held -= body.held

    async def _receive(self, request: Request, body: Body) -> bytes:
        chunks = []
        try:
            async with asyncio.timeout(self._settings.body_time):
                async for chunk in request.stream():
                    body.held += len(chunk)
                    self._held += len(chunk)
                    self._check_size(body.held)
                    chunks.append(chunk)
        except TimeoutError:
            message = f"The body was not there within {self._settings.body_time:g} seconds."
            raise RequestError(408, message, headers={"Connection": "close"}) from None
        except ClientDisconnect:
            raise RequestError(400, "The body ended early.") from None
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body:
            raise RequestError(
                413,
                f"The body has more than {self._settings.max_body} bytes; send smaller images, or start the"
                " server with a larger --max-body.",
            )
        if self._held > self._settings.max_bodies:
            raise RequestError(
                429,
                "The requests in the server hold as much memory as they may; try again later.",
                code="queue_full",
                headers={"Retry-After": "1"},
            )


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, f"The content type is {kind or 'missing'!r}; send application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "Compressed bodies are not read; send plain JSON.")
