"""What is left of a time budget after everything that must still be paid for."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeVar

from fastlm.training.budget import Clock
from fastlm.workers import OutOfTime, until

T = TypeVar("T")


class Timetable:
    """Tell how much time is left until a deadline, less what was reserved by name for later.

    budget: seconds on the clock, None for no limit: then the deadline is infinite, and everything fits. usable_share:
    the deadline as a share of the budget; what lies behind it is for what nobody has measured.

    >>> timetable = Timetable(None, Clock())                    # doctest: +SKIP
    >>> timetable.left()                                        # doctest: +SKIP
    inf
    """

    def __init__(self, budget: float | None, clock: Clock, usable_share: float = 1.0) -> None:
        self.limited = budget is not None
        self.budget = inf if budget is None else budget
        self.deadline = usable_share * self.budget
        self.clock = clock
        self._reserved: dict[str, float] = {}

    def now(self) -> float:
        """Return the seconds spent so far."""
        return self.clock.seconds()

    def reserve(self, name: str, seconds: float) -> None:
        """Set aside seconds for something that comes later, in place of what was set aside under this name before."""
        self._reserved[name] = seconds

    def release(self, name: str) -> None:
        """Give back what was set aside under a name, if anything was."""
        self._reserved.pop(name, None)

    def reserved(self) -> float:
        """Return the seconds set aside for all that comes later."""
        return sum(self._reserved.values())

    def left(self) -> float:
        """Return the seconds from now to the deadline that nothing is set aside for; below 0 where it is too late."""
        return self.deadline - self.now() - self.reserved()

    def attempt(self, stage: Callable[[], T]) -> T | None:
        """Return the result of a stage that can be done without; None where it is given up, its time being over.

        It is given up between two of its tasks, see `workers.stop_if_asked`, once nothing is left of the time. `stage`
        may change nothing that matters before its end.
        """
        if not self.limited:
            return stage()
        try:
            with until(lambda: self.left() <= 0):
                return stage()
        except OutOfTime:
            return None

    def fits(self, seconds: float, share: float = 1.0) -> bool:
        """Return whether work of so many seconds, begun now, ends within a share of the usable time."""
        return self.now() + seconds <= share * self.deadline
