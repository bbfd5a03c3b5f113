"""Many clients at once ask a server about images: is each answered about its own, and does memory stay flat?

    pocketvl export tiny -o bundle --target onnx --recipe fp32
    python benchmarks/serve_load.py bundle --clients 200 --requests 2000

Each question of the tiny model's tasks is asked once alone, greedily; then `--clients` ask on and on, every
second time in a stream, until `--requests` answers are there. Each has to be, letter by letter, what was
answered alone. In float32 it is so whatever was in the KV cache before. Everything stays on this computer.
"""

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from pocketvl.export.tiny.tasks import make_example

TASKS = ("colour", "count", "read", "chart", "pair")
EACH = 8  # questions of a task
STEPS = 10  # lines of the table


@dataclass
class Load:
    """What came of it. wrong: answers that were not those of the question. memory: (answers, MiB)."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refused: int = 0  # 429, asked again
    known: int = 0  # of `questions` that are answered as the task says
    questions: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)


async def load(url: str, clients: int, requests: int) -> Load:
    """`url` is the server's, without /v1."""
    result = Load()
    limits = httpx.Limits(max_connections=clients + 1, max_keepalive_connections=clients + 1)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        model = (await http.get("/v1/models")).json()["data"][0]["id"]
        bodies, alone = [], []
        for number in range(EACH * len(TASKS)):
            example = make_example(TASKS[number % len(TASKS)], number // len(TASKS))
            content = [*map(_image, example.images), {"type": "text", "text": example.question}]
            messages = [{"role": "user", "content": content}]
            bodies.append({"model": model, "messages": messages, "temperature": 0, "max_tokens": 16})
            alone.append(await _ask(http, bodies[-1], stream=False))
            result.known += alone[-1] == example.answer
        result.questions = len(bodies)
        numbers = iter(range(requests))

        async def client() -> None:
            for number in numbers:  # shared: each number is asked by one client
                which = number * 7 % len(bodies)
                try:
                    said = await _ask(http, bodies[which], stream=bool(number % 2), result=result)
                except (httpx.HTTPError, ValueError) as failure:
                    result.failed.append(f"{type(failure).__name__}: {failure}")
                    continue
                if said == alone[which]:
                    result.right += 1
                else:
                    result.wrong.append(f"{said!r} instead of {alone[which]!r}")
                if result.right % max(1, requests // STEPS) == 0:
                    result.memory.append((result.right, await _memory(http)))

        result.memory.append((0, await _memory(http)))
        began = time.monotonic()
        await asyncio.gather(*(client() for _ in range(clients)))
        result.seconds = time.monotonic() - began
        result.memory.append((result.right, await _memory(http)))
    return result


async def _ask(
    http: httpx.AsyncClient, body: dict[str, Any], *, stream: bool, result: Load | None = None
) -> str:
    while True:
        response = await http.post("/v1/chat/completions", json={**body, "stream": stream})
        if response.status_code != 429 or result is None:
            break
        result.refused += 1
        await asyncio.sleep(float(response.headers["retry-after"]))
    if response.status_code != 200:
        raise ValueError(f"status {response.status_code}: {response.text}")
    if not stream:
        return str(response.json()["choices"][0]["message"]["content"])
    *events, end, _ = response.text.split("\n\n")
    if end != "data: [DONE]":
        raise ValueError(f"a stream ended with {end!r}")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


async def _memory(http: httpx.AsyncClient) -> float:
    """Resident, in MiB."""
    text = (await http.get("/metrics")).text
    name = "process_resident_memory_bytes "
    return next(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)) / 2**20


def _image(image: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


@contextmanager
def started(bundle: str, threads: int, queue: int) -> Iterator[str]:
    """The URL of a server of its own, on a free port."""
    command = [sys.executable, "-m", "pocketvl", "serve", bundle, "--port", "0", "--threads", str(threads)]
    process = subprocess.Popen([*command, "--queue", str(queue)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = [word for word in line.split() if word.startswith("http://127.0.0.1:")]
        if not found:
            raise SystemExit(f"The server did not start: {line}{process.stderr.read()}")
        yield found[0].split("/v1")[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    if process.returncode != 0:
        raise SystemExit(f"The server left with status {process.returncode}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", help="of the tiny model")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with started(given.bundle, given.threads, given.queue) as url:
        result = asyncio.run(load(url, given.clients, given.requests))
    print("answers  resident MiB")
    for count, memory in result.memory:
        print(f"{count:7}  {memory:12.1f}")
    print(
        f"{given.clients} clients, {given.requests} requests in {result.seconds:.1f} s:"
        f" {given.requests / result.seconds:.1f}/s, {result.right} right, {len(result.wrong)} mixed up,"
        f" {len(result.failed)} lost, {result.refused} asked again;"
        f" alone {result.known} of {result.questions} are answered as the task says"
    )
    for sentence in (*result.wrong[:5], *result.failed[:5]):
        print(sentence)
    raise SystemExit(0 if result.right == given.requests else 1)


if __name__ == "__main__":
    main()
