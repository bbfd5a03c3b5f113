"""Memory that is given back: pages of zeros, and the vision encoder before the decoder is loaded."""

import mmap
import os
import struct
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engines import executorch, memory
from pocketvl.runtime.engines.memory import return_file_pages, return_zeros
from pocketvl.runtime.engines.onnx import graph
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.engines.thread_pool import ThreadPool

PAGE = mmap.PAGESIZE

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/pagemap")


def resident(array: NDArray[Any]) -> int:
    """How many of the array's whole pages are in memory."""
    first, last = -(-array.ctypes.data // PAGE), (array.ctypes.data + array.nbytes) // PAGE
    with Path("/proc/self/pagemap").open("rb") as file:
        file.seek(first * 8)
        entries = struct.unpack(f"<{last - first}Q", file.read((last - first) * 8))
    return sum(entry >> 63 for entry in entries)


@linux
def test_whole_pages_of_zeros_are_returned_and_still_read_as_zeros() -> None:
    block = np.empty(64 * PAGE, np.uint8)
    block[:] = 7
    middle = block[PAGE // 2 : -PAGE // 2]
    middle[:] = 0
    whole = resident(middle)
    assert whole >= 62
    return_zeros(middle)
    assert resident(middle) == 0
    assert not middle.any()
    assert (block[: PAGE // 2] == 7).all()
    assert (block[-PAGE // 2 :] == 7).all()
    middle[10 * PAGE] = 1
    assert middle.sum() == 1


@linux
def test_what_is_not_zero_stays() -> None:
    block = np.zeros(16 * PAGE, np.uint8)
    block[8 * PAGE] = 1
    return_zeros(block)
    assert block.sum() == 1


@linux
def test_pages_of_files_are_returned_but_not_what_was_written_into_them(tmp_path: Path) -> None:
    kind = run(["stat", "-f", "-c", "%T", tmp_path], check=True, capture_output=True, text=True).stdout
    if kind == "tmpfs\n":
        pytest.skip("the temporary folder is in memory")
    stored = np.arange(64 * PAGE, dtype=np.uint8)
    for name in ("read", "written"):
        with (tmp_path / name).open("wb") as file:
            file.write(stored.tobytes())
            os.fsync(file.fileno())
    read = np.memmap(tmp_path / "read", np.uint8, mode="c")
    written = np.memmap(tmp_path / "written", np.uint8, mode="c")
    written[5 * PAGE] = 77
    assert (read == stored).all()
    assert resident(read) == 64
    return_file_pages(tmp_path)
    assert resident(read) == 0
    assert (read == stored).all()
    assert written[5 * PAGE] == 77


@linux
def test_memory_that_came_to_where_a_file_was_mapped_keeps_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"1" * PAGE)
    status = (tmp_path / "file").stat()
    came = np.arange(64 * PAGE, dtype=np.uint8)
    first = -(-came.ctypes.data // PAGE) * PAGE
    stale = (first, first + 60 * PAGE, (status.st_dev, status.st_ino), 0)
    monkeypatch.setattr(memory, "_mappings", lambda: [stale])
    return_file_pages(tmp_path)
    assert (came == np.arange(64 * PAGE, dtype=np.uint8)).all()


def test_onnxruntimes_mapped_weights_are_returned(small_onnx_bundle: Bundle) -> None:
    engine = open_engine(small_onnx_bundle, threads=1)
    text = small_onnx_bundle.manifest.geometry.text
    given = np.ones((3, text.hidden_size), np.float32)
    rope = np.ones((2, 3, text.head_dim), np.float32)
    try:
        hidden = engine.text.decode(given, *rope, 0)
        return_file_pages(small_onnx_bundle.folder / "onnx")
        np.testing.assert_array_equal(engine.text.decode(given, *rope, 0), hidden)
    finally:
        engine.close()


def test_the_whole_cache_is_returned_when_the_decoder_is_loaded(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[NDArray[Any]] = []

    def record(buffer: NDArray[Any]) -> None:
        assert not buffer.any()
        returned.append(buffer)

    monkeypatch.setattr(executorch, "return_zeros", record)
    engine = open_engine(small_bundle, threads=1)
    text = small_bundle.manifest.geometry.text
    try:
        engine.text.decode(
            np.ones((3, text.hidden_size), np.float32), *np.ones((2, 3, text.head_dim), np.float32), 0
        )
        shape = (1, small_bundle.manifest.max_context, text.num_kv_heads, text.head_dim)
        assert [buffer.shape for buffer in returned] == [shape] * 2 * text.num_layers
        # The engine's own memory, not copies of it: what was decoded since is in it.
        assert all(buffer[:, :3].any() and not buffer[:, 3:].any() for buffer in returned)
    finally:
        returned.clear()
        engine.close()


def test_no_file_is_loaded_beside_the_vision_encoder(
    small_bundle: Bundle, small_onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[bool] = []
    load, open_session = ThreadPool.load, graph.open_session

    def native(pool: ThreadPool, open_native: Any) -> Any:
        beside.append(bool(engine.vision._files))  # type: ignore[attr-defined]
        return load(pool, open_native)

    def session(*arguments: Any) -> Any:
        beside.append(engine.vision._graph is not None)  # type: ignore[attr-defined]
        return open_session(*arguments)

    monkeypatch.setattr(ThreadPool, "load", native)
    monkeypatch.setattr(graph, "open_session", session)
    for bundle in (small_bundle, small_onnx_bundle):
        beside.clear()
        engine = open_engine(bundle, threads=1)
        image = Image.new("RGB", (56, 56), "red")
        ChatSession(bundle, engine).ask("What?", images=[image], max_tokens=2)
        engine.close()
        assert beside == [False, False, False]  # the encoder itself, head and decoder
