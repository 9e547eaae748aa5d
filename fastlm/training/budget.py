"""How long a run may take."""

from __future__ import annotations

import os
import re
import time

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_budget(budget: float | str) -> float:
    """Seconds from a number of seconds or "90s", "10m", "1h"; ValueError for anything else.

    >>> parse_budget("1.5m"), parse_budget(20)
    (90.0, 20.0)
    """
    if isinstance(budget, str):
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|min|h|)", budget.strip())
        seconds = float(match[1]) * _UNITS[match[2]] if match else float("nan")
    else:
        seconds = float(budget)
    if not 0 < seconds < float("inf"):
        raise ValueError(f'budget = {budget!r}; seconds above 0 were expected, as a number or like "90s", "10m", "1h"')
    return seconds


_LONGEST_START = 1.0   # seconds beside processor time: a process that took over an older one is not that old


def process_seconds() -> float:
    """Return how many seconds ago this process began; where the system does not tell, its processor time.

    A command waits for its files and for other processes while it starts, which processor time alone does not show.
    """
    taken = time.process_time()
    try:
        with open("/proc/self/stat", "rb") as file:
            begun = int(file.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return min(max(taken, time.clock_gettime(time.CLOCK_BOOTTIME) - begun), taken + _LONGEST_START)
    except (OSError, ValueError, IndexError, AttributeError):
        return taken


class Clock:
    """Seconds since it was made, and `spent` ones before it."""

    def __init__(self, spent: float = 0.0) -> None:
        self._start = time.perf_counter() - spent

    def seconds(self) -> float:
        """Seconds spent so far."""
        return time.perf_counter() - self._start

    def resume_at(self, seconds: float) -> None:
        """Counts from here on as if so many seconds had been spent by now."""
        self._start = time.perf_counter() - seconds
