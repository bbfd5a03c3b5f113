"""POST /v1/chat/completions, from the body to the last byte of the answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.serve.answer_options import answer_options
from pocketvl.runtime.serve.body import Bodies, Body
from pocketvl.runtime.serve.errors import RequestError, request_error
from pocketvl.runtime.serve.guard import Receive, Scope, Send
from pocketvl.runtime.serve.image_files import ImageFiles
from pocketvl.runtime.serve.job import Job
from pocketvl.runtime.serve.messages import session_messages
from pocketvl.runtime.serve.metrics import Metrics
from pocketvl.runtime.serve.request import ChatRequest, parse_request
from pocketvl.runtime.serve.response import DONE, Completion, server_sent
from pocketvl.runtime.serve.settings import Settings
from pocketvl.runtime.serve.worker import Worker
from pocketvl.runtime.text.tokenizer import Tokenizer

_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


class ChatCompletions:
    """An ASGI application of its own: it watches the connection while the answer is made."""

    def __init__(
        self,
        worker: Worker,
        settings: Settings,
        sampling: SamplingDefaults,
        tokenizer: Tokenizer,
        metrics: Metrics,
    ) -> None:
        self._worker = worker
        self._tokenizer = tokenizer
        self._settings = settings
        self._sampling = sampling
        self._metrics = metrics
        self._files = ImageFiles(settings.allow_files, settings.max_body)
        self._bodies = Bodies(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises RequestError before the first byte; what goes wrong later ends the stream with an event."""
        async with self._bodies.read(Request(scope, receive)) as body:
            asked, messages, options = await asyncio.to_thread(self._parse, body)
            job = Job(messages, options, self._settings.answer_time)
            self._worker.submit(job)
            completion = Completion(self._settings.name, self._tokenizer, asked.top_logprobs or 0)
            async with _cancelled_without_client(job, receive):
                if asked.stream:
                    await self._stream(job, asked, completion, send)
                else:
                    answer = await self._whole(job)
                    await JSONResponse(completion.whole(answer))(scope, receive, send)

    def check_model(self, name: str) -> None:
        """Raises RequestError with status 404."""
        if name != self._settings.name:
            raise RequestError(
                404,
                f"The model {name!r} does not exist; this server has {self._settings.name!r}.",
                param="model",
                code="model_not_found",
            )

    def _parse(self, body: Body) -> tuple[ChatRequest, list[dict[str, Any]], AnswerOptions]:
        asked = parse_request(body.data)
        body.data = b""
        self.check_model(asked.model)
        options = answer_options(asked, self._sampling, self._settings.max_tokens)
        return asked, session_messages(asked.messages, self._files), options

    async def _whole(self, job: Job) -> Answer:
        async for event in self._events(job):
            if isinstance(event, Answer):
                return event
        raise AssertionError("a job ends with an answer or an exception")

    async def _stream(self, job: Job, asked: ChatRequest, completion: Completion, send: Send) -> None:
        begun = False

        async def chunk(data: bytes, more: bool = True) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                await chunk(server_sent(completion.first()))
            await send({"type": "http.response.body", "body": data, "more_body": more})

        try:
            async for event in self._events(job):
                if isinstance(event, str):
                    await chunk(server_sent(completion.text(event)))
                    continue
                await chunk(server_sent(completion.last(event)))
                if asked.stream_options is not None and asked.stream_options.include_usage:
                    await chunk(server_sent(completion.usage(event)))
                await chunk(DONE, more=False)
        except RequestError as failure:
            if not begun:
                raise
            await chunk(server_sent(failure.body()), more=False)

    async def _events(self, job: Job) -> AsyncIterator[str | Answer]:
        """Pieces of text and the answer, which is counted. Raises RequestError."""
        try:
            async for event in job.pieces():
                if isinstance(event, Answer):
                    self._metrics.answer(event, job.waited)
                yield event
        except Exception as failure:  # the worker has logged what is not foreseen
            raise request_error(failure) from failure


@asynccontextmanager
async def _cancelled_without_client(job: Job, receive: Receive) -> AsyncIterator[None]:
    """The job ends when the client leaves, and when the block does."""
    watching = asyncio.create_task(_when_gone(receive, job.cancel))
    try:
        yield
    finally:
        watching.cancel()
        job.cancel()


async def _when_gone(receive: Receive, then: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    then()
