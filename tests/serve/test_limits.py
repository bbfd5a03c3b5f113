"""Clients that leave, that are slow, that are many; and the end of a server."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import EngineError
from tests.support.servers import NAME, Serving, serving

STEP = 0.03  # seconds a token
LONG = {"model": NAME, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 200}
SHORT = {**LONG, "max_tokens": 1}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def slow(small_onnx_bundle: Bundle) -> Iterator[Serving]:
    with serving(small_onnx_bundle, STEP, queue=3) as server:
        yield server


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def post(server: Serving, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(server.url + CHAT, json=body, timeout=60)


def gauge(server: Serving, name: str) -> int:
    text = httpx.get(f"{server.url}/metrics").text
    rows = [line.split() for line in text.splitlines() if line.startswith(f"pocketvl_queue_{name} ")]
    return int(rows[0][1])


def connect(server: Serving, body: dict[str, Any]) -> socket.socket:
    """A connection on which a request was sent."""
    data = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", server.server.port), timeout=20)
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return connection


def closed_after(connection: socket.socket) -> float:
    """Seconds until the server has closed it."""
    began = time.monotonic()
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def trickle(connection: socket.socket) -> None:
    """A byte now and then."""
    for _ in range(100):
        connection.sendall(b"G")
        time.sleep(0.05)


def ask_and_never_read(connection: socket.socket) -> None:
    connection.setblocking(False)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        except BlockingIOError:
            time.sleep(0.05)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_ends_within_a_token_when_its_client_leaves(slow: Serving, stream: bool) -> None:
    before = slow.text.steps
    connection = connect(slow, {**LONG, "stream": stream})
    until(lambda: slow.text.steps > before + 5)
    connection.close()
    left = slow.text.steps
    until(lambda: gauge(slow, "running") == 0)
    assert slow.text.steps <= left + 10  # of 200: what a busy machine takes to notice
    assert post(slow, SHORT).status_code == 200


def test_a_prompt_ends_within_a_chunk_when_its_client_leaves(
    slow: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow.text, "seconds", 0.2)
    prompt = {"role": "user", "content": "word " * 40}
    before = slow.text.steps
    connection = connect(slow, {**LONG, "messages": [prompt]})
    until(lambda: slow.text.steps > before)
    connection.close()
    until(lambda: gauge(slow, "running") == 0)
    assert slow.text.steps <= before + 4  # of 7 or more


def test_who_leaves_while_waiting_is_not_answered(slow: Serving) -> None:
    first = connect(slow, LONG)
    until(lambda: gauge(slow, "running") == 1)
    waiting = connect(slow, LONG)
    until(lambda: gauge(slow, "waiting") == 1)
    waiting.close()
    until(lambda: gauge(slow, "waiting") == 0)
    first.close()
    assert post(slow, SHORT).status_code == 200


def test_a_full_queue_refuses_and_says_when_to_come_again(slow: Serving) -> None:
    held = []
    for count in range(4):
        held.append(connect(slow, LONG))
        until(lambda count=count: gauge(slow, "running") + gauge(slow, "waiting") == count + 1)
    refused = post(slow, SHORT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    for connection in held:
        connection.close()
    until(lambda: gauge(slow, "running") == 0)
    assert post(slow, SHORT).status_code == 200


def test_without_a_queue_one_after_the_other_is_answered(small_onnx_bundle: Bundle) -> None:
    with serving(small_onnx_bundle, 0.01, queue=0) as server:
        with httpx.Client(timeout=60) as client:
            assert {client.post(server.url + CHAT, json=SHORT).status_code for _ in range(20)} == {200}
        with connect(server, {**LONG, "max_tokens": 250}):
            until(lambda: gauge(server, "running") == 1)
            assert post(server, SHORT).status_code == 429


def test_answers_come_in_the_order_of_the_questions(slow: Serving) -> None:
    ends: list[int] = []

    def ask(number: int) -> None:
        assert post(slow, {**LONG, "max_tokens": 5}).status_code == 200
        ends.append(number)

    with connect(slow, LONG) as held, ThreadPoolExecutor(3) as pool:
        until(lambda: gauge(slow, "running") == 1)
        for number in range(3):
            pool.submit(ask, number)
            until(lambda number=number: gauge(slow, "waiting") == number + 1)
        held.close()
    assert ends == [0, 1, 2]


@pytest.mark.parametrize("stream", [True, False])
def test_a_failing_engine_fails_one_request(
    slow: Serving, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for failure, said in (
        (EngineError("The graph is broken; export again."), "The graph is broken"),
        (RuntimeError("/home/somebody/secret"), "not foreseen"),
    ):
        slow.text.failure = failure
        failed = post(slow, {**SHORT, "messages": [{"role": "user", "content": "New"}], "stream": stream})
        assert failed.status_code == 500
        assert said in failed.json()["error"]["message"]
        assert "secret" not in failed.text
    assert "secret" in caplog.text
    assert post(slow, SHORT).status_code == 200


def test_a_stream_that_fails_on_the_way_ends_with_the_error(slow: Serving) -> None:
    with httpx.stream("POST", slow.url + CHAT, json={**LONG, "stream": True}, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        slow.text.failure = EngineError("The graph is broken; export again.")
        *_, last = (line for line in lines if line)
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"


def test_an_answer_has_its_time(small_onnx_bundle: Bundle) -> None:
    with serving(small_onnx_bundle, STEP, answer_time=1.0) as server:
        answer = post(server, LONG).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["pocketvl"]["stop_reason"] == "cancelled"
        assert 1 < answer["usage"]["completion_tokens"] < 60
    with serving(small_onnx_bundle, 0.3, answer_time=0.2) as server:
        late = post(server, {**LONG, "messages": [{"role": "user", "content": "word " * 40}]})
        assert (late.status_code, late.json()["error"]["type"]) == (504, "timeout_error")


def test_slow_clients_are_let_go(small_onnx_bundle: Bundle) -> None:
    limits = {"header_time": 0.8, "body_time": 0.8, "write_time": 0.8}
    with serving(small_onnx_bundle, **limits) as server:
        address = ("127.0.0.1", server.server.port)
        with socket.create_connection(address, timeout=20) as silent:
            assert closed_after(silent) < 5
        with socket.create_connection(address, timeout=20) as drop, pytest.raises(ConnectionError):
            trickle(drop)
        with socket.create_connection(address, timeout=20) as again:
            again.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in again.recv(65536)
            again.sendall(b"GET /health HTTP/1.1\r\n")
            assert closed_after(again) < 10  # before uvicorn's limit for idle connections
        with socket.create_connection(address, timeout=20) as body:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            body.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            assert b" 408 " in body.recv(65536)
        with socket.create_connection(address, timeout=20) as deaf, pytest.raises(ConnectionError):
            ask_and_never_read(deaf)
        assert post(server, SHORT).status_code == 200


def test_bodies_that_are_large_together(small_onnx_bundle: Bundle) -> None:
    padded = json.dumps(SHORT) + " " * 2800

    def send(server: Serving) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return httpx.post(server.url + CHAT, content=padded, headers=headers, timeout=60)

    with serving(small_onnx_bundle, STEP, max_body=3000, max_bodies=4000) as server:
        assert send(server).status_code == 200
        with connect(server, LONG) as held, ThreadPoolExecutor(3) as pool:
            until(lambda: gauge(server, "running") == 1)
            done = [pool.submit(send, server) for _ in range(3)]
            until(lambda: sum(each.done() for each in done) == 2)
            held.close()
            assert sorted(each.result().status_code for each in done) == [200, 429, 429]
        assert send(server).status_code == 200


def test_the_end_lets_the_running_answer_finish(small_onnx_bundle: Bundle) -> None:
    with serving(small_onnx_bundle, STEP, grace=20.0) as server, ThreadPoolExecutor(2) as pool:
        running: Future[httpx.Response] = pool.submit(post, server, {**LONG, "max_tokens": 30})
        until(lambda: gauge(server, "running") == 1)
        waiting: Future[httpx.Response] = pool.submit(post, server, LONG)
        until(lambda: gauge(server, "waiting") == 1)
        server.server.stop()
        assert waiting.result().status_code == 503
        assert running.result().json()["usage"]["completion_tokens"] == 30
        server.thread.join(20)
        assert not server.thread.is_alive()
        with pytest.raises(httpx.ConnectError):
            post(server, SHORT)


def test_the_end_cuts_off_an_answer_without_end(small_onnx_bundle: Bundle) -> None:
    with serving(small_onnx_bundle, STEP, grace=0.3) as server, ThreadPoolExecutor(1) as pool:
        running: Future[httpx.Response] = pool.submit(post, server, LONG)
        until(lambda: gauge(server, "running") == 1)
        server.server.stop()
        answer = running.result().json()
        assert answer["pocketvl"]["stop_reason"] == "cancelled"
        assert answer["usage"]["completion_tokens"] < 60
