"""Make the rows of the kernels' tables: each kernel beside its rivals, and beside what the machine can do.

The bytes that a call moves are counted once read and once written. They are compared with a copy of arrays that take as
much room as the kernel's, timed in turn with it, so that both lie in the same cache, or in memory. Operations count
each addition, multiplication, division and square root as one, and are compared with the sgemm peak.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Rival, Table, duration, interleave, times, validate, verdict
from fastlm.autodiff.matmul import product

KERNEL_HEADERS = ("kernel", "sizes", "fastlm", "NumPy", "SciPy", "PyTorch", "moves, of a copy", "computes, of the peak",
                  "goal")
_SHARE = 0.8   # of the copy's bandwidth: the goal of kernels bound by memory


@dataclass(frozen=True)
class Work:
    """What one call does: bytes read and written, bytes of room its arrays take, operations; which of them binds it."""

    moved: int
    room: int
    operations: int = 0
    memory_bound: bool = False


@functools.cache
def sgemm_peak() -> float:
    """Return the operations a second of a (1024, 1024) matrix product on one thread, NumPy's or ours, the faster."""
    a, b, out = (np.ones((1024, 1024), np.float32) for _ in range(3))
    return 2 * 1024**3 / min(interleave({"NumPy": Rival(lambda: np.matmul(a, b, out=out)),
                                         "fastlm": Rival(lambda: product(out, a, b))}, 0.6).values())


def kernel_row(table: Table, name: str, sizes: str, rivals: dict[str, Rival], tolerance: float = 2e-5,
               goals: dict[str, float] | None = None, seconds: float = 0.4, work: Work | None = None) -> None:
    """Validate and time one kernel, and add its row to a table with KERNEL_HEADERS. A rival may have a second entry,
    such as "PyTorch by hand": the fastest of those that begin with the same word is the one shown.
    """
    validate(f"{name} {sizes}", rivals, tolerance)
    timed = dict(rivals)
    if work is not None:
        source, target = (np.ones(work.room // 8, np.float32) for _ in range(2))
        timed["copy"] = Rival(lambda: np.copyto(target, source))
    median = interleave(timed, seconds)
    ours = median["fastlm"]
    cells, met = [], []
    for column in KERNEL_HEADERS[3:6]:
        entries = {label: value for label, value in median.items() if label.startswith(column)}
        if not entries:
            cells.append("")
            continue
        best = min(entries, key=lambda label: entries[label])
        cells.append(f"{duration(entries[best])} ({times(entries[best] / ours)}){best.removeprefix(column)}")
        if goals and column in goals:
            met.append((f"≥ {goals[column]:g}× {column}", entries[best] / ours, goals[column]))
    cells += ["", ""]
    if work is not None:
        share = (work.moved / ours) / (work.room / median["copy"])
        cells[-2] = f"{work.moved / ours * 1e-9:.0f} GB/s, {share:.0%}"
        if work.operations:
            cells[-1] = f"{work.operations / ours * 1e-9:.0f} GFLOP/s, {work.operations / ours / sgemm_peak():.0%}"
        if work.memory_bound:
            met.append((f"≥ {_SHARE:.0%} of a copy", share, _SHARE))
    table.add(name, sizes, duration(ours), *cells, verdict(met))
