"""Tasks in processes of this machine."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from types import TracebackType

from pocketvl.evaluate.sweep.store import Store
from pocketvl.evaluate.sweep.task import Outcome, Task, attempt
from pocketvl.runtime.child_process import end_with
from pocketvl.runtime.quiet import quiet_libraries

_DIED = (
    "its process ended early, most likely because memory ran out; use fewer --jobs, or close other programs."
)


class LocalRunner:
    """A pool of processes, each with its share of the cores. A context manager, which ends them.

    The processes are spawned: a program that uses it must be guarded by `if __name__ == "__main__"`.
    """

    def __init__(self, store: Store, jobs: int, threads: int) -> None:
        """`jobs` tasks at a time, each with `threads` threads."""
        self._store = store
        self._jobs = jobs
        self._threads = threads
        self._pool = self._new_pool(jobs)

    def __enter__(self) -> "LocalRunner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, tasks: Iterable[Task], most: int | None = None) -> Iterator[Outcome]:
        """Each task's outcome as it comes. `most` bounds how many run at a time.

        When a process dies, the tasks that were running are tried again one by one, so that the one at
        fault is found and the others do not suffer from it.
        """
        width = self._jobs if most is None else min(self._jobs, most)
        waiting = deque(tasks)
        running: dict[Future[Outcome], Task] = {}
        while waiting or running:
            self._fill(waiting, running, width)
            lost = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(task)
            if lost:
                lost += running.values()
                running.clear()
                self._renew()
                for task in lost:
                    yield self._alone(task)

    def _fill(self, waiting: deque[Task], running: dict[Future[Outcome], Task], width: int) -> None:
        """No more are submitted than can run, so that a death has few suspects."""
        while waiting and len(running) < width:
            try:
                future = self._submit(self._pool, waiting[0])
            except BrokenProcessPool:  # a process died while it was idle
                if not running:
                    self._renew()
                return
            running[future] = waiting.popleft()

    def _alone(self, task: Task) -> Outcome:
        with self._new_pool(1) as pool:
            try:
                return self._submit(pool, task).result()
            except BrokenProcessPool:
                return Outcome(task, None, _DIED)

    def _submit(self, pool: ProcessPoolExecutor, task: Task) -> Future[Outcome]:
        return pool.submit(attempt, task, self._threads, self._store.partial(task.key))

    def _renew(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool(self._jobs)

    def _new_pool(self, processes: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_begin, initargs=(self._threads,)
        )


def _begin(threads: int) -> None:
    """In a new process: its share of the cores, quiet, and an end when the parent ends, however that does."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch, which is not imported yet
    quiet_libraries()
    parent = parent_process()
    if parent is not None:
        end_with(parent.join)
