"""A model, its worker and uvicorn as one: from a bound socket to an orderly end."""

import asyncio
import socket
from types import FrameType

from uvicorn import Config
from uvicorn import Server as Uvicorn

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.serve.app import make_app
from pocketvl.runtime.serve.protocol import server_config
from pocketvl.runtime.serve.settings import Settings
from pocketvl.runtime.serve.worker import Worker


def bound_socket(host: str, port: int) -> socket.socket:
    """That listens already: clients wait while the model is loaded. Port 0 takes a free one.

    Raises PocketVLError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        named = error.strerror or str(error)  # asyncio and socket put the address into it
        reason = named if isinstance(error, socket.gaierror) else named.partition(" (")[0]
        raise PocketVLError(
            f"{host}:{port} cannot be listened on ({reason}); choose another --port or --host."
        ) from None


class Server:
    """Answers over HTTP until stop() or, in the main thread, SIGINT or SIGTERM."""

    def __init__(
        self, session: ChatSession, sampling: SamplingDefaults, settings: Settings, listening: socket.socket
    ) -> None:
        """sampling: the bundle's defaults. Asks once, so that a bundle that cannot answer fails here.

        Raises BundleError, EngineError, PromptError.
        """
        session.ask("Hello", max_tokens=1)
        session.reset()
        self._worker = Worker(session, settings.queue)
        self._listening = listening
        app = make_app(self._worker, settings, sampling, session.tokenizer)
        self._uvicorn = _Uvicorn(server_config(app, settings), self._worker, settings.grace)

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def run(self) -> bool:
        """Until it is stopped. Waiting requests are refused then, and the answer in progress has `grace`
        seconds to end; a second signal ends it at once. Whether the model is free to be closed."""
        try:
            self._uvicorn.run(sockets=[self._listening])
        finally:
            ended = self._worker.stop()
        return ended

    def stop(self) -> None:
        """From any thread."""
        self._uvicorn.should_exit = True


class _Uvicorn(Uvicorn):
    def __init__(self, config: Config, worker: Worker, grace: float) -> None:
        super().__init__(config)
        self._worker, self._grace = worker, grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._worker.stop_accepting()
        ending = asyncio.create_task(self._cancel_later())
        await super().shutdown(sockets)
        ending.cancel()

    async def _cancel_later(self) -> None:
        """A cancel that comes before an answer has begun is forgotten, so again and again."""
        await asyncio.sleep(self._grace)
        while True:
            self._worker.cancel_running()
            await asyncio.sleep(0.05)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """To be stopped is a server's normal end: the signal is not raised once more afterwards."""
        self.force_exit = self.should_exit
        self.should_exit = True
