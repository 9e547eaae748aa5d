"""Time budgets and the clock that they are counted by."""

from __future__ import annotations

import os
import re
import time

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_budget(budget: float | str) -> float:
    """Return the seconds of a budget: a number of seconds, or a string like "90s", "10m" or "1h".

    Raises ValueError for anything else, for zero and for infinity.

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


_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_bytes(size: int | str) -> int:
    """Return the bytes of a size: a number of bytes, or a string like "800kB", "20MB" or "1.5GB", in powers of 1000.

    Raises ValueError for anything else, and for less than a byte.

    >>> parse_bytes("1.5GB"), parse_bytes("800 kb"), parse_bytes(20)
    (1500000000, 800000, 20)
    """
    found = 0
    if isinstance(size, str):
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmg]?b|)", size.strip().lower())
        found = round(float(match[1]) * _BYTES[match[2]]) if match else 0
    elif isinstance(size, int) and not isinstance(size, bool):
        found = size
    if found < 1:
        raise ValueError(f'max_bytes = {size!r}; bytes were expected, as a number or like "800kB", "20MB", "1.5GB"')
    return found


_LONGEST_START = 1.0   # seconds besides processor time: more belong to an older program that this process replaced


def process_seconds() -> float:
    """Return how many seconds ago this process began; its processor time where the system does not say.

    A command that starts waits for its files and for other processes, which its processor time does not include.
    """
    processor = time.process_time()
    try:
        with open("/proc/self/stat", "rb") as file:
            began_at = int(file.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - began_at
        return min(max(processor, since), processor + _LONGEST_START)
    except (OSError, ValueError, IndexError, AttributeError):
        return processor


class Clock:
    """A stopwatch that runs from its creation on. spent: seconds that count as over by then."""

    def __init__(self, spent: float = 0.0) -> None:
        self._start = time.perf_counter() - spent

    def seconds(self) -> float:
        """Return the seconds spent so far."""
        return time.perf_counter() - self._start

    def resume_at(self, seconds: float) -> None:
        """Count from here on as if `seconds` had been spent by now."""
        self._start = time.perf_counter() - seconds
