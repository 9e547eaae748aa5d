"""Threads that share out tasks, and a matrix product held to one thread in each of them."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

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
    """Hold the BLAS behind NumPy to one thread: shards run side by side, and results do not depend on its pool.

    The limit is that of the whole process. Threads may enter and leave in any order: the first one in sets it, the last
    one out restores what was there before.
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
    """One limit of the BLAS's threads for all who want it, counted by thread.

    The libraries are looked for once: NumPy's is there by then, and looking takes longer than to score a line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered: dict[int, int] = {}                       # how often each thread is inside
        self._shared: list[tuple[Any, int]] = []                 # libraries of one setting, and what it was before
        self._own: dict[int, list[tuple[Any, int]]] = {}         # those with a setting for each thread
        self._libraries: list[Any] | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def enter(self) -> bool:
        """Set the limit unless it is set; False where threadpoolctl is not installed."""
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
                self._shared = _limited(library for library in self._libraries if not _by_thread(library))
            if thread not in self._entered:
                self._own[thread] = _limited(library for library in self._libraries if _by_thread(library))
            self._entered[thread] = self._entered.get(thread, 0) + 1
        return True

    def leave(self) -> None:
        """Restore what was before this thread's first `enter`, and where it is the last one inside, for all."""
        thread = threading.get_ident()
        with self._lock:
            self._entered[thread] -= 1
            if self._entered[thread]:
                return
            _restore(self._own.pop(thread))
            del self._entered[thread]
            self._restore_if_last()

    def _restore_if_last(self) -> None:
        if not self._entered:
            _restore(self._shared)
            self._shared = []
        for library in self._libraries or []:
            # Since version 3.8 only one thread may change OpenBLAS until it lets go or ends: it may not be the last.
            getattr(library, "clear_controlling_thread", lambda: None)()

    def _forked(self) -> None:
        """In a child process there are no other threads: none of them holds the lock, none will leave."""
        self._lock, thread = threading.Lock(), threading.get_ident()
        if self._entered:
            self._entered = {thread: self._entered[thread]} if thread in self._entered else {}
            self._restore_if_last()


def _by_thread(library: Any) -> bool:
    """Whether a library takes the number of threads for the calling thread alone."""
    return library.internal_api == "mkl" or getattr(library, "threading_layer", "") == "openmp"


def _limited(libraries: Iterable[Any]) -> list[tuple[Any, int]]:
    """Hold libraries to one thread; return what each had."""
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
        """Run every task and return their results in the order of the tasks.

        Where a task raises, the tasks that wait are dropped, those that run come to their end, and the first error in
        the order of the tasks is raised. Where a signal interrupts the calling thread, those that run are asked to end
        as well, see `stop_if_asked`, and the interrupt is raised once they have.
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
    """Return when the helpers have ended, whatever they raise."""
    for helper in helpers:
        helper.exception()


class _Run(Generic[T]):
    """What the threads of one `Workers.run` share."""

    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self.results: list[T] = [None] * len(tasks)   # type: ignore[list-item]
        self.errors: dict[int, BaseException] = {}
        self.stopping = False
        self.above: _Run[Any] | None = getattr(_local, "run", None)   # that of the thread that called
        self.is_over: Callable[[], bool] | None = getattr(_local, "is_over", None)
        self._waiting = deque(enumerate(tasks))

    def stop(self) -> None:
        """Drop what waits and ask what runs to end."""
        self.stopping = True
        self._waiting.clear()

    def failed(self, index: int, error: BaseException) -> None:
        """Note an error and drop what waits. All tasks before this one have begun: which error comes first is fixed."""
        self.errors[index] = error
        self._waiting.clear()

    def asked(self) -> bool:
        """Whether this run, or one that it is a part of, is to end."""
        return self.stopping or (self.above is not None and self.above.asked())

    def work(self, calling: bool) -> None:
        """Run tasks until none waits. calling: in the thread that called, where an interrupt passes at once."""
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
    """Ends a task of a run that has failed or was interrupted; `Workers.run` raises the cause instead."""


_local = threading.local()


def stop_if_asked() -> None:
    """Raise Stopped in a task whose `Workers.run` is to end, and OutOfTime where `until` says that its time is over.

    To be called now and then by work that takes long.
    """
    run: _Run[Any] | None = getattr(_local, "run", None)
    if run is not None and run.asked():
        raise Stopped
    is_over: Callable[[], bool] | None = getattr(_local, "is_over", None)
    if is_over is not None and is_over():
        raise OutOfTime


class OutOfTime(Exception):
    """Ends work whose time is over."""


@contextmanager
def until(is_over: Callable[[], bool]) -> Iterator[None]:
    """Let `stop_if_asked` raise OutOfTime in this thread, and in the tasks that it runs, once is_over() is true."""
    before, _local.is_over = getattr(_local, "is_over", None), is_over
    try:
        yield
    finally:
        _local.is_over = before


def _run_one(task: Callable[[], T]) -> T:
    stop_if_asked()
    return task()
