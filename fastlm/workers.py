"""Threads that share out tasks, and a matrix product held to one thread in each of them."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


def available_threads() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """`threads`, or the cores this process may use when it is None; ValueError unless it is at least 1."""
    if threads is None:
        return available_threads()
    if threads < 1:
        raise ValueError(f"threads = {threads}; at least 1 was expected, or None for all cores")
    return int(threads)


@contextmanager
def one_thread_products() -> Iterator[None]:
    """Holds the BLAS behind NumPy to one thread: shards run side by side, and results do not depend on its pool."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        warnings.warn("threadpoolctl is not installed, so matrix products use NumPy's own threads: slower, and the "
                      "same bytes are not promised for every thread count (pip install threadpoolctl)", stacklevel=3)
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


class Workers:
    """A pool in which the calling thread works too. Results come in the order of the tasks, whoever ran them.

    >>> with Workers(2) as workers:
    ...     workers.run([lambda: 1, lambda: 2])
    [1, 2]
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = check_threads(threads)
        self._pool: ThreadPoolExecutor | None = None
        if self.threads > 1:
            from concurrent.futures import ThreadPoolExecutor  # here, since it costs `import fastlm` 3 ms
            self._pool = ThreadPoolExecutor(self.threads - 1)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Runs every task and returns their results; the first task to raise, in their order, is re-raised."""
        if self._pool is None or len(tasks) < 2:
            return [task() for task in tasks]
        results: list[T | None] = [None] * len(tasks)
        errors: dict[int, BaseException] = {}
        waiting = deque(enumerate(tasks))

        def work() -> None:
            while True:
                try:
                    index, task = waiting.popleft()
                except IndexError:
                    return
                try:
                    results[index] = task()
                except BaseException as error:
                    errors[index] = error
        helpers = [self._pool.submit(work) for _ in range(min(self.threads, len(tasks)) - 1)]
        work()
        for helper in helpers:
            helper.result()
        if errors:
            raise errors[min(errors)]
        return results  # type: ignore[return-value]
