"""Threads that share out tasks."""

import os
import sys
import threading
import time

import numpy as np
import pytest

from fastlm.workers import Workers, available_threads, check_threads, one_thread_products


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


def test_products_are_held_to_one_thread_and_let_go_again() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.ones((2, 2)) @ np.ones((2, 2))

    def of_numpy() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    before = of_numpy()
    with one_thread_products():
        assert set(of_numpy()) == {1}
    assert of_numpy() == before


def test_a_missing_threadpoolctl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    message = "threadpoolctl is not installed, so matrix products use NumPy's own threads"
    with pytest.warns(UserWarning, match=message), one_thread_products():
        assert (np.ones((2, 2)) @ np.ones((2, 2)) == 2).all()
