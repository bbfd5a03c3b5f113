"""`pocketvl serve` as a command: how it starts, what it refuses, how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pocketvl.runtime.bundle.open import Bundle
from tests.support.command_line import run
from tests.support.servers import KEY


@contextmanager
def started(*words: object, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process, and its URL once it answers."""
    command = [sys.executable, "-m", "pocketvl", "serve", *map(str, words), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "300"} | environment
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " answers at http://127.0.0.1:" in line, line + process.stderr.read()
        yield process, line.partition("answers at ")[2].partition("/v1")[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(small_onnx_bundle: Bundle, number: signal.Signals) -> None:
    key = {"Authorization": f"Bearer {KEY}"}
    with started(small_onnx_bundle.folder, "--name", "mine", POCKETVL_API_KEY=KEY) as (process, url):
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers=key).json()["data"][0]["id"] == "mine"
        body = {"model": "mine", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        done = httpx.post(f"{url}/v1/chat/completions", json=body, headers=key, timeout=60)
        assert done.json()["usage"]["completion_tokens"] == 2
        with httpx.Client() as idle:  # a connection that is kept alive does not hold it up
            idle.get(f"{url}/health")
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "Stopped.\n")


def test_a_port_in_use(small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, said = run(capsys, "serve", small_onnx_bundle.folder, "--port", port)
    assert status == 1
    assert said == (
        f"error: 127.0.0.1:{port} cannot be listened on (Address already in use); choose another --port or"
        " --host."
    )


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--host", "0.0.0.0"), 2, "can be reached from other computers"),
        (("--host", "no.such.host.invalid", "--api-key-file", "{folder}/key"), 1, "cannot be listened on"),
        (("--api-key-file", "{folder}/none"), 2, "No such file"),
        (("--api-key-file", "{folder}/empty"), 2, "is empty"),
        (("--api-key-file", "{folder}/short"), 2, "shorter than 8"),
        (("--allow-files", "{folder}/none"), 2, "is not a folder"),
        (("--allow-origin", "*"), 2, "is not an origin"),
        (("--port", "70000"), 2, "65535"),
        (("--queue", "-1"), 2, "equal to 0"),
    ],
)
def test_what_cannot_be_started(
    words: tuple[str, ...],
    status: int,
    sentence: str,
    small_onnx_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in (("key", KEY), ("empty", "\n"), ("short", "abc")):
        (tmp_path / name).write_text(text)
    filled = [word.format(folder=tmp_path) for word in words]
    left, _, said = run(capsys, "serve", small_onnx_bundle.folder, *filled)
    assert left == status
    assert sentence in said


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(capsys, "serve", tmp_path)
    assert status == 1
    assert "manifest.json" in said


def test_the_extra_is_named(
    small_onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("pocketvl.runtime.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, said = run(capsys, "serve", small_onnx_bundle.folder)
    assert status == 1
    assert "pip install 'pocketvl[serve]'" in said


def test_nothing_but_its_command_imports_the_server() -> None:
    """The base install has no FastAPI."""
    program = "import sys, pocketvl.cli.app; print({'fastapi', 'uvicorn', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
