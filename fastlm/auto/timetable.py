"""The time that is left of a budget, less what later stages will need."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeVar

from fastlm.training.budget import Clock
from fastlm.workers import OutOfTime, until

T = TypeVar("T")


class Timetable:
    """The time until a deadline, less the seconds that later stages have reserved under their names.

    budget: seconds on the clock, None for no limit: then the deadline is infinite, and everything fits. usable_share:
    the deadline as a share of the budget; the rest is a margin for work whose time is not measured.

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
        """Set aside seconds for a later stage, in place of those set aside under its name before."""
        self._reserved[name] = seconds

    def release(self, name: str) -> None:
        """Give back the seconds that were set aside under a name, if any were."""
        self._reserved.pop(name, None)

    def reserved(self) -> float:
        """Return the seconds that are set aside for all later stages."""
        return sum(self._reserved.values())

    def left(self) -> float:
        """Return the seconds from now to the deadline that are not set aside; below 0 where it is too late."""
        return self.deadline - self.now() - self.reserved()

    def attempt(self, stage: Callable[[], T]) -> T | None:
        """Return the result of a stage that can be done without; None where its time is over before its end.

        The stage is then given up between two of its tasks, see `workers.stop_if_asked`. Until its end it may change
        nothing that matters.
        """
        if not self.limited:
            return stage()
        try:
            with until(lambda: self.left() <= 0):
                return stage()
        except OutOfTime:
            return None
