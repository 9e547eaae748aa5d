"""Threads that share out tasks."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from fastlm.workers import Workers, available_threads, check_threads, one_thread_products, stop_if_asked


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    def task(i: int):
        return lambda: time.sleep(0.001 * (i % 3)) or i * i
    with Workers(threads) as workers:
        for count in (0, 1, 2, 17):
            assert workers.run([task(i) for i in range(count)]) == [i * i for i in range(count)]


def test_the_calling_thread_works_too_and_others_with_it() -> None:
    both = threading.Barrier(2, timeout=30)   # passes only where two threads run at once
    with Workers(2) as workers:
        idents = workers.run([lambda: (both.wait(), threading.get_ident())[1]] * 2)
    assert threading.get_ident() in idents and len(set(idents)) == 2


def test_one_thread_starts_no_other() -> None:
    with Workers(1) as workers:
        assert set(workers.run([threading.get_ident] * 5)) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_first_task_to_fail_in_their_order_is_raised(threads: int) -> None:
    def fail(i: int):
        def task() -> int:
            if i in (3, 5):
                raise KeyError(i)
            return i
        return task
    with Workers(threads) as workers:
        with pytest.raises(KeyError, match="3"):
            workers.run([fail(i) for i in range(9)])
        assert workers.run([lambda: 1, lambda: 2]) == [1, 2]   # and it works on


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_map_calls_a_function_with_one_item_of_each_argument(threads: int) -> None:
    with Workers(threads) as workers:
        assert workers.map(lambda a, b: 10 * a + b, [3, 1, 4], range(3)) == [30, 11, 42]
        assert workers.map(len, []) == [] and workers.map(len, ["abc"]) == [3]
        with pytest.raises(ValueError, match="shorter than argument 1"):
            workers.map(pow, [1, 2], [3])
        with pytest.raises(ZeroDivisionError):
            workers.map(lambda a: 1 // a, [1, 0, 2])


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with Workers(4) as workers:
        workers.run([lambda: time.sleep(0.001)] * 8)
    assert threading.active_count() == before


def test_threads_respect_the_affinity_of_the_process() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not say which cores a process may use")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == check_threads(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert check_threads(None) == len(allowed) and check_threads(5) == 5


@pytest.mark.parametrize("threads", [0, -2])
def test_no_threads_at_all_is_an_error(threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads = {threads}; at least 1 was expected, or None for all cores"):
        Workers(threads)


def blas_threads() -> list[int]:
    """How many threads NumPy's products have, which is one of the libraries that may be there."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas" and "scipy.libs" not in pool["filepath"]]


def test_products_are_held_to_one_thread_and_let_go_again() -> None:
    before = blas_threads()
    with one_thread_products():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_a_missing_threadpoolctl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    message = "threadpoolctl is not installed, so matrix products use NumPy's own threads"
    with pytest.warns(UserWarning, match=message), one_thread_products():
        assert (np.ones((2, 2)) @ np.ones((2, 2)) == 2).all()


def test_what_waits_is_dropped_when_a_task_fails() -> None:
    done: list[int] = []

    def task(i: int):
        def run() -> None:
            if i == 1:
                raise KeyError(i)
            time.sleep(0.001)
            done.append(i)
        return run
    with Workers(2) as workers, pytest.raises(KeyError, match="1"):
        workers.run([task(i) for i in range(200)])
    assert len(done) < 100


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("first", [0, 3])
def test_ctrl_c_drops_what_waits_and_asks_what_runs_to_end(threads: int, first: int) -> None:
    """The task that is hit is in the calling thread; the others would never end by themselves."""
    begun: list[int] = []
    main = threading.get_ident()

    def task(i: int):
        def run() -> None:
            begun.append(i)
            if threading.get_ident() == main and i >= first:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(30)
            while threading.get_ident() != main and i >= first:
                time.sleep(0.001)
                stop_if_asked()
        return run
    with Workers(threads) as workers:
        with pytest.raises(KeyboardInterrupt):
            workers.run([task(i) for i in range(500)])
        assert len(begun) < 250
        assert workers.run([lambda: 1, lambda: 2]) == [1, 2]   # and it works on


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_the_tasks_of_workers_in_a_task(threads: int) -> None:
    main, inner = threading.get_ident(), []

    def task() -> None:
        if threading.get_ident() == main:
            while not inner:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)
        with Workers(threads) as workers:
            workers.run([lambda i=i: inner.append(i) or time.sleep(0.001) for i in range(10_000)])
    with Workers(2) as workers, pytest.raises(KeyboardInterrupt):
        workers.run([task, task])
    assert 0 < len(inner) < 10_000


def test_outside_of_tasks_nothing_is_asked_to_end() -> None:
    stop_if_asked()
    with Workers(2) as workers:
        assert workers.run([stop_if_asked, stop_if_asked]) == [None, None]


def test_threads_that_enter_and_leave_in_turn_leave_the_products_as_they_were() -> None:
    """A enters, B enters twice, A leaves (B is still inside), B leaves."""
    turn = [threading.Event() for _ in range(4)]
    seen: list[set[int]] = []

    def first() -> None:
        with one_thread_products():
            turn[0].set()
            assert turn[1].wait(30)
        turn[3].set()
        assert turn[2].wait(30)   # alive while the other one leaves: it is the one that set the limit

    def second() -> None:
        assert turn[0].wait(30)
        with one_thread_products(), one_thread_products():
            turn[1].set()
            assert turn[2].wait(30)
            seen.append(set(blas_threads()))
    before = blas_threads()
    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    assert turn[3].wait(30)
    held = set(blas_threads())
    turn[2].set()
    for thread in threads:
        thread.join()
    assert seen == [{1}] and held == {1} and blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_process_is_not_held_to_what_other_threads_wanted() -> None:
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with one_thread_products():
            inside.set()
            over.wait(30)
    before = blas_threads()
    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            free = blas_threads() == before
            with one_thread_products():
                held = set(blas_threads()) == {1}
            code = 0 if free and held and blas_threads() == before else 2
        finally:
            os._exit(code)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and blas_threads() == before
