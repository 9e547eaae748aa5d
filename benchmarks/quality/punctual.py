"""Measure whether `fastlm train --budget 2s` keeps its time: twenty runs of the whole command, alone and beside a busy
process, and what the worst of them gives.

Goals: every run alone ends within 2.04 s, and beside a process that keeps one core busy within 2.2 s; none leaves more
than a tenth of its budget unused; the worst figure is shown, not the best. --budget gives another time, for which the
goals are in proportion; --only takes a text by its name. The seconds are wall-clock from the start of the command to
its end, Python's start and saving included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Options, Skipped, Table, verdict
from benchmarks.quality.budgets import Trained, trained
from benchmarks.quality.quality import Task, tasks

RUNS = 20
LATEST = {"alone": 1.02, "beside a busy process": 1.1}   # of the budget
UNUSED = 0.1                                             # of the budget
BUSY = "while True: pass"


def run(options: Options) -> None:
    """Print a row for each text and kind of machine."""
    budget = options.budget or 2.0
    table = Table("text", "machine", "seconds: median", "slowest", "fastest", "figure: median", "worst", "goal")
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for task in tasks(options, Path(name), skipped):
            if options.only in task.name:
                for machine in LATEST:
                    add(table, task, machine, budget, runs_of(task, machine, budget, Path(name)))
    table.print()
    print("figure: test perplexity of words, nats a character of characters; a fastest run of less than 0.9 of the "
          "budget leaves time unused.\n")
    if skipped:
        raise Skipped("; ".join(skipped))


def runs_of(task: Task, machine: str, budget: float, folder: Path) -> list[Trained]:
    """Return the figures of twenty runs."""
    busy = None if machine == "alone" else subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        return [trained(task, budget, 0, folder) for _ in range(RUNS)]
    finally:
        print("\r", end="", file=sys.stderr)
        if busy is not None:
            busy.kill()
            busy.wait()


def add(table: Table, task: Task, machine: str, budget: float, runs: list[Trained]) -> None:
    """Add a row; the verdicts are those of the slowest and of the fastest run."""
    seconds, figures = [one.seconds for one in runs], [one.static[task.figure] for one in runs]
    latest, least = LATEST[machine] * budget, (1 - UNUSED) * budget
    goal = verdict([(f"≤ {latest:g} s", -max(seconds), -latest), (f"≥ {least:g} s", min(seconds), least)])
    table.add(task.name, machine, f"{np.median(seconds):.2f}", f"{max(seconds):.2f}", f"{min(seconds):.2f}",
              f"{np.median(figures):.5g}", f"{max(figures):.5g}", goal)
