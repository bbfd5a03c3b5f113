"""HTTP/1.1 by uvicorn, with the two time limits that it lacks."""

import asyncio

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from pocketvl.runtime.serve.settings import Settings


def timed_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """A connection ends where a request's headers take longer than header_time, and where its client does not
    take what is sent for write_time. uvicorn's own limit is for the time between requests."""

    class TimedProtocol(H11Protocol):
        _headers: asyncio.TimerHandle | None = None
        _write: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._headers = self.loop.call_later(settings.header_time, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            between = self.cycle is None or self.cycle.response_complete
            if not between and self._headers is not None:
                self._headers.cancel()
                self._headers = None
            elif between and self._headers is None:
                self._headers = self.loop.call_later(settings.header_time, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write = self.loop.call_later(settings.write_time, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._write is not None:
                self._write.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for timer in (self._headers, self._write):
                if timer is not None:
                    timer.cancel()

    return TimedProtocol


def server_config(app: object, settings: Settings) -> Config:
    """Of uvicorn: one process, no websockets, no log of its own, nothing about itself in responses."""
    return Config(
        app,  # type: ignore[arg-type]
        http=timed_protocol(settings),
        ws="none",
        timeout_keep_alive=15,  # longer than httpx keeps idle connections, so that it closes them itself
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.queue + 128,
        timeout_graceful_shutdown=round(settings.grace) + 5,
        h11_max_incomplete_event_size=64 << 10,
    )
