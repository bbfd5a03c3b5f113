"""Evaluates Core ML packages for the module named CoreML of the Swift tests.

Requests come on standard input, answers go to standard output: a line of JSON, and as many raw bytes as its
"bytes" says. Ids are given by "open" (a function of a package) and "state", and freed by "close".
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.function import Function
from pocketvl.runtime.engines.coreml.package import Package
from pocketvl.runtime.engines.coreml.state import State
from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.errors import PocketVLError

Json = dict[str, Any]
WEIGHT_CACHE_BYTES = 1 << 30


class Evaluator:
    def __init__(self) -> None:
        self._functions: dict[int, Function] = {}
        self._states: dict[int, tuple[State, dict[str, TensorType]]] = {}
        self._packages: dict[tuple[str, int], Package] = {}
        self._last = 0

    def answer(self, request: Json, data: bytes) -> tuple[Json, bytes]:
        """Raises PocketVLError."""
        match request["task"]:
            case "open":
                return self._open(request["path"], request.get("name")), b""
            case "state":
                kinds = self._functions[request["id"]].signature.states
                return self._numbered(self._states, (State(kinds), kinds)) | {"states": listed(kinds)}, b""
            case "run":
                return {}, self._run(request["id"], request.get("state"), data)
            case "read":
                state, kinds = self._states[request["id"]]
                return {}, state.select(kinds, "read")[request["name"]].tobytes()
            case "write":
                state, kinds = self._states[request["id"]]
                kind = kinds[request["name"]]
                state.replace({request["name"]: np.frombuffer(data, kind.numpy).reshape(kind.shape).copy()})
                return {}, b""
            case "close":
                self._functions.pop(request["id"], None)
                self._states.pop(request["id"], None)
                return {}, b""
        raise ValueError(f"unknown task {request['task']!r}")

    def _open(self, path: str, name: str | None) -> Json:
        # Functions of one package share its weights, as long as its files are the same.
        newest = max(file.stat().st_mtime_ns for file in Path(path).rglob("*"))
        if (path, newest) not in self._packages:
            self._packages[path, newest] = Package.open(Path(path), weight_cache_bytes=WEIGHT_CACHE_BYTES)
        function = self._packages[path, newest].function(name)
        signature = function.signature
        return self._numbered(self._functions, function) | {
            "inputs": listed(signature.inputs),
            "outputs": listed(signature.outputs),
        }

    def _run(self, number: int, state: int | None, data: bytes) -> bytes:
        function = self._functions[number]
        inputs: dict[str, NDArray[Any]] = {}
        offset = 0
        for name, kind in function.signature.inputs.items():
            size = int(np.prod(kind.shape))
            inputs[name] = np.frombuffer(data, kind.numpy, size, offset).reshape(kind.shape)
            offset += inputs[name].nbytes
        outputs = function.run(inputs, None if state is None else self._states[state][0])
        return b"".join(outputs[name].tobytes() for name in function.signature.outputs)

    def _numbered(self, kept: dict[int, Any], value: Any) -> Json:
        self._last += 1
        kept[self._last] = value
        return {"id": self._last}


def listed(kinds: Mapping[str, TensorType]) -> list[Json]:
    return [
        {"name": name, "dtype": np.dtype(kind.numpy).name, "shape": list(kind.shape)}
        for name, kind in kinds.items()
    ]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Until the requests end."""
    evaluator = Evaluator()
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        try:
            answer, raw = evaluator.answer(request, data)
        except PocketVLError as error:
            answer, raw = {"error": str(error)}, b""
        answers.write(json.dumps(answer | {"bytes": len(raw)}).encode() + b"\n" + raw)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
