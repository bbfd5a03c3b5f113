"""The contract of docs/server.md below messages: bodies, paths, hosts, origins. See test_conformance.py."""

import json
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

HELLO = [{"role": "user", "content": "Hello"}]


def chat(http: httpx.Client, served: str) -> httpx.Response:
    body = {"model": served, "messages": HELLO, "max_tokens": 4}
    return http.post("chat/completions", json=body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b'{"model": NaN}', b'{"model": "\\ud800"}',
     b"[" * 100_000, b'{"a":' * 5_000, b'{"model": 1' + b"0" * 5_000 + b"}", b"\xef\xbb\xbf{}", b"{}{}",
     b'{"model": "a", "model": "b"}', b'{"model": "a", "messages": [{"role": "user", "role": "user"}]}'],
)  # fmt: skip
def test_bodies_that_are_no_request(http: httpx.Client, body: bytes) -> None:
    refused = http.post("chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "chat/completions", 405),
        ("DELETE", "models", 405),
        ("GET", "nothing", 404),
        ("POST", "completions", 404),
        ("GET", "models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    ],
)
def test_paths_and_methods(http: httpx.Client, method: str, path: str, status: int) -> None:
    refused = http.request(method, path)
    assert refused.status_code == status
    assert refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_only_json_is_read(http: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    refused = http.post("chat/completions", content=b"{}", headers=headers)
    assert refused.status_code == 415


def test_compressed_bodies_are_not_read(http: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert http.post("chat/completions", content=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_another_host_is_not_served(http: httpx.Client, host: str) -> None:
    refused = http.get("models", headers={"Host": host})
    assert refused.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1:80", "[::1]", "[::1]:80"])
def test_hosts_that_are_served(http: httpx.Client, host: str) -> None:
    assert http.get("models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_pages_of_others_may_not_call(http: httpx.Client, model: str, origin: str) -> None:
    body = {"model": model, "messages": HELLO}
    for kind in ("application/json", "text/plain"):
        headers = {"Origin": origin, "Content-Type": kind}
        refused = http.post("chat/completions", content=json.dumps(body), headers=headers)
        assert refused.status_code == 403
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in http.options("chat/completions", headers=preflight).headers


def test_its_own_page_may_call(http: httpx.Client, base_url: str, model: str) -> None:
    origin = base_url.removesuffix("/v1")
    body = {"model": model, "messages": HELLO, "max_tokens": 1}
    assert http.post("chat/completions", json=body, headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("size", ["declared", "chunked"])
def test_a_body_of_100_megabytes(http: httpx.Client, model: str, size: str) -> None:
    piece = b" " * (1 << 20)
    content: Any = piece * 100 if size == "declared" else (piece for _ in range(100))
    headers = {"Content-Type": "application/json"}
    refused = http.post("chat/completions", content=content, headers=headers)
    assert refused.status_code == 413
    assert chat(http, model).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
)
def test_what_is_no_http_is_refused(base_url: str, http: httpx.Client, sent: bytes) -> None:
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=20) as connection:
        received = b""
        with suppress(OSError):  # the connection may be closed before all is sent
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
    assert not received or received.split()[1] in (b"400", b"421", b"431")
    assert http.get("models").status_code == 200


def test_health_and_metrics(http: httpx.Client, base_url: str, model: str) -> None:
    root = base_url.removesuffix("/v1")
    assert httpx.get(f"{root}/health").json() == {"status": "ok"}
    assert httpx.head(f"{root}/health").status_code == 200

    def metrics() -> dict[str, float]:
        text = http.get(f"{root}/metrics").text
        rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    before = metrics()
    usage = chat(http, model).json()["usage"]
    after = metrics()
    for kind, count in (("prompt", "prompt_tokens"), ("generated", "completion_tokens")):
        name = f'pocketvl_tokens_total{{kind="{kind}"}}'
        assert after[name] - before.get(name, 0) == usage[count]
    assert after['pocketvl_requests_total{status="200"}'] > before['pocketvl_requests_total{status="200"}']
    assert after["pocketvl_queue_waiting"] == after["pocketvl_queue_running"] == 0
    assert after["process_resident_memory_bytes"] > 1e6
