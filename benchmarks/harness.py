"""Validate rivals, time them in turn in one process, and print Markdown tables, for every benchmark.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_LEAST_SLICE = 2e-4   # seconds one reading should last: shorter calls are repeated within it
_SHORT = 5e-3         # seconds below which a run gets three untimed calls first


class Disagreement(Exception):
    """A rival's result differs from ours, so that timing them would compare different work."""


class Skipped(Exception):
    """A benchmark cannot run here, and why."""


@dataclass(frozen=True)
class Options:
    """``full``: the long budgets; ``data``: the folder of corpora; ``budget``: seconds of a quality run, or None;
    ``only``: part of the names of what `training`, `budgets` and `units` are to run."""

    full: bool = False
    data: Path = ROOT.parent / "shared" / "data"
    budget: float | None = None
    only: str = ""


@dataclass(frozen=True)
class Rival:
    """``run`` returns its result (array, tensor or a tuple of them); ``prepare`` is called before it, untimed."""

    run: Callable[[], Any]
    prepare: Callable[[], Any] | None = None


def torch_or_none() -> Any:
    """Return PyTorch held to one thread, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch


def torch_or_skip() -> Any:
    """Return PyTorch held to one thread; raise Skipped where it is not installed."""
    torch = torch_or_none()
    if torch is None:
        raise Skipped('PyTorch is not installed (pip install ".[bench]")')
    return torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold NumPy's and SciPy's BLAS to one thread."""
    from threadpoolctl import threadpool_limits
    with threadpool_limits(1, user_api="blas"):
        yield


def parts(result: Any) -> list[np.ndarray]:
    """Return results as fresh float64 arrays."""
    items = result if isinstance(result, tuple) else (result,)
    return [np.array(item.detach() if hasattr(item, "detach") else item, np.float64) for item in items]


def validate(name: str, rivals: dict[str, Rival], tolerance: float) -> None:
    """Raise Disagreement unless every rival's result is the first one's, to `tolerance` of its largest entry."""
    results = {}
    for label, rival in rivals.items():
        if rival.prepare:
            rival.prepare()
        results[label] = parts(rival.run())
    first, *others = results
    for label in others:
        for index, (ours, theirs) in enumerate(zip(results[first], results[label], strict=True)):
            scale = max(1e-30, float(np.abs(theirs).max(initial=0)))
            if ours.shape != theirs.shape or not np.abs(ours - theirs).max(initial=0) <= tolerance * scale:
                gap = np.abs(ours - theirs).max(initial=0) / scale if ours.shape == theirs.shape else "shapes"
                raise Disagreement(f"{name}: result {index} of {label} differs from that of {first} by {gap}")


def interleave(rivals: dict[str, Rival], seconds: float = 0.5, least: int = 7, most: int = 400) -> dict[str, float]:
    """Return the median seconds of each rival's run, read turn by turn (A B A B ...) for about `seconds` in all.

    Every turn begins with untimed calls of the same rival, three where they are short. Each would otherwise start
    with the caches full of the others' arrays, and kernels bound by memory would all read alike: a gather of 4 MB takes
    100 to 150 µs by itself and 300 to 600 µs after anything else has read 8 MB, and needs about three calls to recover.
    """
    repeats, warm = {}, {}
    once = 0.0
    for label, rival in rivals.items():
        taken = min(_timed(rival, 1) for _ in range(2))
        repeats[label] = 1 if rival.prepare else max(1, int(_LEAST_SLICE / max(taken, 1e-8)))
        warm[label] = 3 if taken < _SHORT else 1
        once += taken * (repeats[label] + warm[label])
    readings: dict[str, list[float]] = {label: [] for label in rivals}
    for _ in range(max(least, min(most, int(seconds / once)))):
        for label, rival in rivals.items():
            for _ in range(warm[label]):
                _timed(rival, 1)
            readings[label].append(_timed(rival, repeats[label]) / repeats[label])
    return {label: statistics.median(values) for label, values in readings.items()}


def _timed(rival: Rival, repeats: int) -> float:
    if rival.prepare:
        rival.prepare()
    run = rival.run
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - begin


def duration(seconds: float) -> str:
    """Format seconds for people: 12.3 µs, 4.56 ms, 7.89 s.

    >>> duration(0.00456)
    '4.56 ms'
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def times(ratio: float) -> str:
    """Format a ratio for people: 0.85x, 12.3x, 456x."""
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×" if ratio < 100 else f"{ratio:.0f}×"


def verdict(goals: Sequence[tuple[str, float, float]]) -> str:
    """Format goals, given as (text, value, least value), with whether each is met."""
    return ", ".join(f"{text}: {'met' if value >= least else 'MISSED'}" for text, value, least in goals)


class Table:
    """Rows collected and printed as one Markdown table; the first column and any named in `left` start at the left."""

    def __init__(self, *headers: str) -> None:
        self.headers = headers
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: Any) -> None:
        """Add a row, one cell for each column."""
        if len(cells) != len(self.headers):
            raise ValueError(f"{len(cells)} cells were given for {len(self.headers)} columns")
        self.rows.append(tuple(map(str, cells)))
        print(".", end="", file=sys.stderr, flush=True)

    def print(self) -> None:
        """Print the table, its columns lined up."""
        print(file=sys.stderr)
        widths = [max(map(len, column)) for column in zip(self.headers, *self.rows, strict=True)]
        for row in (self.headers, tuple("-" * width for width in widths), *self.rows):
            print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        print()


def environment() -> str:
    """Return machine, versions, commit, date and load, one line each."""
    import fastlm
    from fastlm import _core
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    packages = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "scipy", "torch", "matplotlib"))
    return (f"machine   {cpu}, {cores} cores for this process, {platform.system()} {platform.release()}\n"
            f"versions  fastlm {fastlm.__version__} ({_core.isa()}), Python {platform.python_version()}, {packages}\n"
            f"commit    {_commit()}\n"
            f"date      {datetime.now().astimezone().isoformat(timespec='seconds')}\n"
            f"load      {load:.2f} before the first measurement (other work on the machine bends every figure)")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
