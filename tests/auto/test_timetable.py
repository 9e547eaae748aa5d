"""What is left of a budget, on a clock that a test turns."""

from math import inf

import pytest

from fastlm.auto.timetable import Timetable
from fastlm.training.budget import Clock
from fastlm.workers import Workers, stop_if_asked


class Turned(Clock):
    """A clock that stands still until it is turned."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.at = seconds

    def seconds(self) -> float:
        return self.at


def test_what_is_left_is_the_usable_time_less_what_is_reserved() -> None:
    clock = Turned(3.0)
    timetable = Timetable(100.0, clock, 0.9)
    assert (timetable.limited, timetable.budget, timetable.deadline) == (True, 100.0, 90.0)
    assert timetable.left() == 87.0 and timetable.reserved() == 0
    timetable.reserve("saving", 2.0)
    timetable.reserve("weighing", 5.0)
    assert timetable.reserved() == 7.0 and timetable.left() == 80.0
    timetable.reserve("weighing", 1.0)          # in place of the five
    assert timetable.left() == 84.0
    timetable.release("saving")
    timetable.release("recounting")             # of which nothing was reserved
    assert timetable.reserved() == 1.0
    clock.at = 95.0
    assert timetable.left() == -6.0 and timetable.now() == 95.0


def test_without_a_budget_there_is_no_end() -> None:
    timetable = Timetable(None, Turned(1e9), 0.9)
    timetable.reserve("saving", 1e12)
    assert not timetable.limited and timetable.left() == timetable.deadline == inf


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stage_is_given_up_when_nothing_is_left(threads: int) -> None:
    """Ten tasks of a second each: after the third there is nothing left of 5.5 seconds, two of which are reserved."""
    clock, done = Turned(1.0), []
    timetable = Timetable(5.5, clock)
    timetable.reserve("saving", 2.0)

    def task(number: int) -> int:
        stop_if_asked()
        clock.at += 1.0
        done.append(number)
        return number

    def stage() -> list[int]:
        with Workers(threads) as workers:
            return workers.run([lambda number=number: task(number) for number in range(10)])
    assert timetable.attempt(stage) is None and done[:3] == [0, 1, 2] and len(done) <= 2 + threads
    stop_if_asked()                                   # outside of the stage nothing is over
    timetable.release("saving")
    clock.at = 0.0
    assert timetable.attempt(lambda: [task(0), task(1)]) == [0, 1]


def test_without_a_budget_nothing_is_given_up() -> None:
    assert Timetable(None, Turned(1e9)).attempt(lambda: [stop_if_asked(), 5]) == [None, 5]


def test_an_error_of_a_stage_is_no_lack_of_time() -> None:
    def stage() -> None:
        raise ValueError("a fault")
    with pytest.raises(ValueError, match="^a fault$"):
        Timetable(9.0, Turned()).attempt(stage)
