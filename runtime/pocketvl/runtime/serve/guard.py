"""Who may call: checked before anything else of a request is read.

A server on this computer is reached by every web page in this computer's browser. Two things give such a page
away, which it cannot set: the Host header, which names the page's own server where its name was made to lead
here (DNS rebinding), and the Origin header.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from starlette.responses import JSONResponse

from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WITHOUT_KEY = ("/", "/health")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """ASGI middleware: refuses with 421, 403 and 401, and adds headers that keep browsers careful."""

    def __init__(self, app: App, settings: Settings, on_status: Callable[[int], None]) -> None:
        """on_status is called with the status of each response."""
        self._app = app
        self._hosts = {"localhost", *(name.lower() for name in settings.allow_hosts)}
        self._origins = {origin.lower() for origin in settings.allow_origins}
        self._key = settings.api_key
        self._on_status = on_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._on_status(message["status"])
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            self._check(scope)
        except RequestError as refusal:
            await JSONResponse(refusal.body(), refusal.status, refusal.headers)(scope, receive, sending)
            return
        await self._app(scope, receive, sending)

    def _check(self, scope: Scope) -> None:
        headers = _by_name(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            raise RequestError(
                421, f"The Host header {', '.join(hosts)!r} is not this server's; --allow-host adds a name."
            )
        for origin in headers.get("origin", []):
            same = origin.lower() == f"{scope['scheme']}://{hosts[0]}".lower()
            if not same and origin.lower() not in self._origins:
                raise RequestError(
                    403, f"Web pages of {origin} may not call this server; --allow-origin lets them."
                )
        if self._key is not None and scope["path"] not in _WITHOUT_KEY and scope["method"] != "OPTIONS":
            self._check_key(headers.get("authorization", []), self._key)

    def _is_ours(self, host: str) -> bool:
        """An address cannot be rebound: whoever asks for it means it."""
        name = _without_port(host)
        return name in self._hosts or _is_address(name)

    def _check_key(self, given: list[str], key: str) -> None:
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        wrong = not hmac.compare_digest(token.strip().encode(), key.encode())
        if scheme.lower() != "bearer" or wrong:
            raise RequestError(
                401,
                "The API key is missing or wrong; send it as: Authorization: Bearer KEY.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _by_name(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _without_port(host: str) -> str:
    """ "[::1]:8000" -> "::1"."""
    name, colon, port = host.rpartition(":")
    plain = name if colon and port.isdigit() and not name.endswith(":") else host
    return plain.lower().removesuffix(".").removeprefix("[").removesuffix("]")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
