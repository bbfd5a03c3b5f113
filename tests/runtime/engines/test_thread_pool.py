"""ExecuTorch's pool of threads is never replaced under what uses it."""

from typing import Any

import numpy as np
import pytest

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines import blas, thread_pool
from pocketvl.runtime.engines.executorch import open_executorch
from pocketvl.runtime.engines.thread_pool import ThreadPool
from pocketvl.runtime.errors import EngineError, UsageError


class Native:
    """A loaded method."""


class Runtime:
    """ExecuTorch's two functions, over a pool that says how often it was replaced."""

    def __init__(self, threads: int) -> None:
        self.threads, self.replaced = threads, 0

    def _threadpool_get_thread_count(self) -> int:
        return self.threads

    def _unsafe_reset_threadpool(self, threads: int) -> None:
        self.threads, self.replaced = threads, self.replaced + 1


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A process whose pool has 4 threads, and in which nothing is loaded."""
    monkeypatch.setattr(thread_pool, "_users", type(thread_pool._users)())
    monkeypatch.setattr(thread_pool, "_own_choice", [])
    return Runtime(4)


def test_the_pool_is_sized_when_something_is_loaded(runtime: Runtime) -> None:
    pool = ThreadPool(runtime, 2)
    assert runtime.threads == 4
    pool.load(Native)
    assert runtime.threads == 2


def test_the_same_number_again_leaves_the_pool_alone(runtime: Runtime) -> None:
    kept = [ThreadPool(runtime, 2).load(Native) for _ in range(3)]
    assert len(kept) == 3
    assert runtime.replaced == 1


def test_another_number_is_refused_at_once_while_something_is_loaded(runtime: Runtime) -> None:
    kept: Any = ThreadPool(runtime, 1).load(Native)
    with pytest.raises(UsageError, match="with 1 thread and cannot go on with 3 threads"):
        ThreadPool(runtime, 3)
    assert runtime.threads == 1
    del kept
    ThreadPool(runtime, 3)


def test_another_number_is_refused_where_files_are_loaded_later(runtime: Runtime) -> None:
    early = ThreadPool(runtime, 3)
    kept: Any = ThreadPool(runtime, 2).load(Native)
    with pytest.raises(UsageError, match="close the other one first"):
        early.load(Native)
    assert runtime.threads == 2
    del kept
    early.load(Native)
    assert runtime.threads == 3


def test_no_number_takes_the_pool_in_use_as_it_is(runtime: Runtime) -> None:
    kept = ThreadPool(runtime, 1).load(Native)
    also = ThreadPool(runtime, None).load(Native)
    assert runtime.threads == 1
    del kept
    with pytest.raises(UsageError):
        ThreadPool(runtime, 2)
    del also
    ThreadPool(runtime, None).load(Native)
    assert runtime.threads == 4  # as ExecuTorch had it


def test_what_fails_to_load_does_not_count(runtime: Runtime) -> None:
    def fail() -> None:
        raise RuntimeError("a damaged file")

    with pytest.raises(RuntimeError):
        ThreadPool(runtime, 2).load(fail)
    ThreadPool(runtime, 3).load(Native)
    assert runtime.threads == 3


@pytest.mark.parametrize("threads", [0, 257])
def test_a_number_that_no_pool_should_have_is_refused(runtime: Runtime, threads: int) -> None:
    with pytest.raises(EngineError, match=f"{threads} threads"):
        ThreadPool(runtime, threads)


def test_executorch_counts_what_is_loaded_until_it_is_freed(small_bundle: Bundle) -> None:
    before = len(thread_pool._users)
    first, second = (open_executorch(small_bundle, 1) for _ in range(2))
    first.text.save_cache(1)
    assert len(thread_pool._users) == before + 2  # decoder and head
    encode(small_bundle, second)
    assert len(thread_pool._users) == before + 3
    with pytest.raises(UsageError, match="with 1 thread and cannot go on with 2 threads"):
        open_executorch(small_bundle, 2)
    first.text.close()
    assert len(thread_pool._users) == before + 1
    second.vision.release()
    assert len(thread_pool._users) == before
    encode(small_bundle, second)
    del second
    assert len(thread_pool._users) == before


def encode(bundle: Bundle, engine: Engine) -> None:
    vision = bundle.manifest.geometry.vision
    cos = np.ones((4, vision.head_dim), np.float32)
    engine.vision.encode(np.zeros((4, vision.patch_dim), np.float32), cos, np.zeros_like(cos))


def test_blas_takes_the_pools_threads_while_executorch_runs_and_its_own_number_afterwards() -> None:
    setter = blas._set_threads()
    if setter is None:
        pytest.skip("this torch has no MKL")
    before = setter(3)
    try:
        with blas.blas_threads(2):
            assert setter(2) == 2
        assert setter(3) == 3
    finally:
        setter(before)
