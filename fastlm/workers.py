"""Threads that share out tasks, while NumPy's matrix products use one thread in each of them."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")


def available_threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Return `threads`, or for None the number of cores that this process may use.

    Raises ValueError for a number below 1.
    """
    if threads is None:
        return available_threads()
    if threads < 1:
        raise ValueError(f"threads = {threads}; at least 1 was expected, or None for all cores")
    return int(threads)


@contextmanager
def one_thread_products() -> Iterator[None]:
    """Limit NumPy's matrix library (BLAS) to one thread while inside.

    Tasks that run side by side do not compete with its threads then, and results do not depend on their number. The
    limit holds for the whole process. Threads may enter and leave in any order: the first one that enters sets the
    limit, and the last one that leaves restores the earlier setting. Warns where threadpoolctl is not installed.
    """
    if not _limit.enter():
        warnings.warn("threadpoolctl is not installed, so matrix products use NumPy's own threads: slower, and the "
                      "same bytes are not promised for every thread count (pip install threadpoolctl)", stacklevel=3)
        yield
        return
    try:
        yield
    finally:
        _limit.leave()


class _Limit:
    """The limit on the threads of BLAS libraries, shared by all threads that have entered `one_thread_products`.

    The libraries are looked for only once, since that takes longer than scoring a line of text; NumPy has loaded its
    library by then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered: dict[int, int] = {}                       # how many times each thread has entered
        self._shared: list[tuple[Any, int]] = []                 # libraries with one setting for the process, and it
        self._by_thread: dict[int, list[tuple[Any, int]]] = {}   # libraries with a setting for each thread, and it
        self._libraries: list[Any] | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def enter(self) -> bool:
        """Set the limit unless it is set. Return False where threadpoolctl is not installed."""
        try:
            import threadpoolctl
        except ImportError:
            return False
        thread = threading.get_ident()
        with self._lock:
            if self._libraries is None:
                found = threadpoolctl.ThreadpoolController().lib_controllers
                self._libraries = [library for library in found if library.user_api == "blas"]
            if not self._entered:
                self._shared = _limit_to_one(library for library in self._libraries if not _sets_by_thread(library))
            if thread not in self._entered:
                self._by_thread[thread] = _limit_to_one(
                    library for library in self._libraries if _sets_by_thread(library))
            self._entered[thread] = self._entered.get(thread, 0) + 1
        return True

    def leave(self) -> None:
        """Restore the setting from before this thread's first `enter`, and after the last thread that of all."""
        thread = threading.get_ident()
        with self._lock:
            self._entered[thread] -= 1
            if self._entered[thread]:
                return
            _restore(self._by_thread.pop(thread))
            del self._entered[thread]
            self._restore_if_last()

    def _restore_if_last(self) -> None:
        if not self._entered:
            _restore(self._shared)
            self._shared = []
        for library in self._libraries or []:
            # Since version 3.8 only one thread may change OpenBLAS until it lets go or ends: it may not be the last.
            getattr(library, "clear_controlling_thread", lambda: None)()

    def _after_fork(self) -> None:
        """Forget the other threads in a child process, where they do not exist and can never leave."""
        self._lock, thread = threading.Lock(), threading.get_ident()
        if self._entered:
            self._entered = {thread: self._entered[thread]} if thread in self._entered else {}
            self._restore_if_last()


def _sets_by_thread(library: Any) -> bool:
    """Return whether a library sets the number of threads for the calling thread alone."""
    return library.internal_api == "mkl" or getattr(library, "threading_layer", "") == "openmp"


def _limit_to_one(libraries: Iterable[Any]) -> list[tuple[Any, int]]:
    """Limit libraries to one thread; return each with the number that it had before."""
    before = [(library, library.get_num_threads()) for library in libraries]
    for library, _ in before:
        library.set_num_threads(1)
    return before


def _restore(before: Iterable[tuple[Any, int]]) -> None:
    for library, threads in before:
        if threads is not None:
            library.set_num_threads(threads)


_limit = _Limit()


class Workers:
    """A pool of threads, of which the calling thread is one. Results come in the order of the tasks.

    threads: how many work, the calling one included; None for as many as this process may use.

    >>> with Workers(2) as workers:
    ...     workers.run([lambda: 1, lambda: 2]), workers.map(pow, [2, 3], [3, 2])
    ([1, 2], [8, 9])
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

    def map(self, function: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
        """Call a function once for each item of `arguments`, side by side, and return the results in their order.

        arguments: one or more iterables of equal length, one for each parameter of the function, as of the built-in
        `map`. Raises ValueError where the lengths differ, and otherwise what `run` raises.
        """
        return self.run([partial(function, *items) for items in zip(*arguments, strict=True)])

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Run every task and return their results in the order of the tasks.

        Where a task raises an error, tasks that have not begun are dropped, tasks that run are finished, and the first
        error in the order of the tasks is raised. Where a signal interrupts the calling thread, the tasks that run are
        asked to end, see `stop_if_asked`, and the interrupt is raised when they have ended.
        """
        if self._pool is None or len(tasks) < 2:
            return [_run_one(task) for task in tasks]
        run = _Run(tasks)
        helpers: list[Future[None]] = []
        try:
            for _ in range(min(self.threads, len(tasks)) - 1):
                helpers.append(self._pool.submit(run.work, False))
            run.work(True)
            for helper in helpers:
                helper.result()
        except BaseException:
            run.stop()
            wait_for(helpers)   # they write into arrays of the caller
            raise
        if run.errors:
            raise run.errors[min(run.errors)]
        return run.results


def wait_for(helpers: Sequence[Future[None]]) -> None:
    """Wait until the helpers have ended, whatever they raise."""
    for helper in helpers:
        helper.exception()


class _Run(Generic[T]):
    """The tasks of one `Workers.run` and their results, which its threads share."""

    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self.results: list[T] = [None] * len(tasks)   # type: ignore[list-item]
        self.errors: dict[int, BaseException] = {}
        self.stopping = False
        self.above: _Run[Any] | None = getattr(_local, "run", None)   # where a task of another run has called this one
        self.is_over: Callable[[], bool] | None = getattr(_local, "is_over", None)
        self._waiting = deque(enumerate(tasks))

    def stop(self) -> None:
        """Drop the tasks that wait, and ask those that run to end."""
        self.stopping = True
        self._waiting.clear()

    def failed(self, index: int, error: BaseException) -> None:
        """Keep an error and drop the tasks that wait.

        All earlier tasks have begun by then, so that the first error in the order of the tasks is always the same.
        """
        self.errors[index] = error
        self._waiting.clear()

    def asked(self) -> bool:
        """Return whether this run, or one that has a task which called it, was asked to end."""
        return self.stopping or (self.above is not None and self.above.asked())

    def work(self, calling: bool) -> None:
        """Run tasks until none waits. calling: whether this is the calling thread, which raises interrupts at once."""
        before, _local.run = getattr(_local, "run", None), self
        over_before, _local.is_over = getattr(_local, "is_over", None), self.is_over
        try:
            while True:
                try:
                    index, task = self._waiting.popleft()
                except IndexError:
                    return
                try:
                    self.results[index] = _run_one(task)
                except Exception as error:
                    self.failed(index, error)
                except BaseException as error:
                    if calling:
                        raise
                    self.failed(index, error)
        finally:
            _local.run, _local.is_over = before, over_before


class Stopped(Exception):
    """Ends a task of a run that has failed or was interrupted. `Workers.run` raises the cause and not this."""


_local = threading.local()


def stop_if_asked() -> None:
    """Raise Stopped in a task whose `Workers.run` was asked to end, and OutOfTime where the time of `until` is over.

    Work that takes long should call it now and then.
    """
    run: _Run[Any] | None = getattr(_local, "run", None)
    if run is not None and run.asked():
        raise Stopped
    is_over: Callable[[], bool] | None = getattr(_local, "is_over", None)
    if is_over is not None and is_over():
        raise OutOfTime


class OutOfTime(Exception):
    """Ends work that `until` has given a time, when that time is over."""


@contextmanager
def until(is_over: Callable[[], bool]) -> Iterator[None]:
    """Let `stop_if_asked` raise OutOfTime in this thread and in its tasks, while inside, once is_over() is true."""
    before, _local.is_over = getattr(_local, "is_over", None), is_over
    try:
        yield
    finally:
        _local.is_over = before


def _run_one(task: Callable[[], T]) -> T:
    stop_if_asked()
    return task()
