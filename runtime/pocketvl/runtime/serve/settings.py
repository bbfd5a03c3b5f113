"""What whoever starts a server decides."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS
from pocketvl.runtime.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """name: the model's in requests. max_tokens: of an answer whose request names none.

    api_key: None for none. allow_files: folders of which requests may name images. allow_hosts: names beside
    localhost and addresses that the Host header may have. allow_origins: whose web pages may call, as
    "http://localhost:3000". queue: requests that wait while one is answered. max_body: bytes of a request.
    All times are in seconds: header_time until a request's headers are there, body_time until its body is,
    answer_time from an answer's beginning to its end, write_time for a client to take what was sent, grace
    for the answers in progress when the server is stopped.
    """

    name: str
    max_tokens: int = DEFAULT_MAX_TOKENS
    api_key: str | None = None
    allow_files: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    queue: int = 256
    max_body: int = 32 << 20
    max_bodies: int = 512 << 20  # bytes of all requests that are in the server at a time
    header_time: float = 30.0
    body_time: float = 60.0
    answer_time: float = 600.0
    write_time: float = 60.0
    grace: float = 5.0

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be meant."""
        for folder in self.allow_files:
            if not folder.is_dir():
                raise UsageError(f"{folder} is not a folder; give --allow-files one that holds images.")
        for origin in self.allow_origins:
            scheme, found, host = origin.partition("://")
            if scheme not in ("http", "https") or not found or not host or "/" in host or "*" in host:
                raise UsageError(
                    f"{origin!r} is not an origin; write --allow-origin as http://localhost:3000, without a"
                    " path and without *."
                )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError("The API key must be of printable ASCII characters; write another one.")
        if self.api_key is not None and len(self.api_key) < 8:
            raise UsageError("The API key is shorter than 8 characters; write a longer one.")


def check_exposure(host: str, api_key: str | None) -> None:
    """Raises UsageError for an address that other computers reach, without a key."""
    if not _is_loopback(host) and api_key is None:
        raise UsageError(
            f"{host} can be reached from other computers; give --api-key-file, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
