"""Measure quality for the time given: `fastlm train FILE --budget TIME` with its defaults, beside what a user would
train instead.

Goals, with --full (five budgets, three seeds each, hours): Penn Treebank words, test perplexity at most 138, 112, 105,
92 and 80 after 2 s, 30 s, 60 s, 5 min and 30 min; tiny-shakespeare characters, nats of the last 10 % at most 1.51,
1.44, 1.41, 1.36 and 1.33. Two threads; the seconds are those of the whole command, Python's start included; of Penn
Treebank its validation text is given as --valid, of tiny-shakespeare the command sees only the first 90 %. Static: the
model is not changed by the text it is tested on; "adapting" is the same model by `eval --adapt`. --budget gives one
budget, --only "Penn Treebank words 30 s" such a row; without --full it is one seed, and 2 s and 10 s are tried. PyTorch
is given the same seconds from 30 s to 5 min, its import and reading not counted; `benchmarks.rivals.programs` runs the
rivals. KenLM is looked for as in `ngram`, nanoGPT in FASTLM_NANOGPT, which names a clone of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, torch_or_none, verdict
from benchmarks.quality.quality import Task, tasks
from benchmarks.rivals import programs

GOALS = {"word": {2: 138.0, 30: 112.0, 60: 105.0, 300: 92.0, 1800: 80.0},
         "char": {2: 1.51, 30: 1.44, 60: 1.41, 300: 1.36, 1800: 1.33}}
RIVALLED = (30.0, 60.0, 300.0)   # budgets that PyTorch gets too
THREADS = "2"


@dataclass(frozen=True)
class Trained:
    """The figures of `eval` and of `eval --adapt`, the seconds of `train`, and what it chose."""

    static: dict[str, Any]
    adapting: dict[str, Any]
    seconds: float
    chosen: str


def run(options: Options) -> None:
    """Print a row for each budget and text, and one for each rival."""
    torch = torch_or_none()
    budgets = [options.budget] if options.budget else sorted(GOALS["word"]) if options.full else [2.0, 10.0]
    table = Table("text", "budget", "static", "goal", "adapting", "spread", "seconds", "chosen")
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in tasks(options, folder, skipped):
            for budget in budgets:
                if options.only not in f"{task.name} {budget:g} s":
                    continue
                add(table, task, budget, [trained(task, budget, seed, folder)
                                          for seed in range(3 if options.full else 1)])
                print("\r", end="", file=sys.stderr)
                if torch is not None and budget in RIVALLED:
                    add_rival(table, task, f"{budget:g} s", programs.torch_lstm(torch, task, budget))
            if options.only in task.name:
                for rival in (programs.kenlm, programs.nanogpt):
                    try:
                        result = rival(task, folder)
                    except subprocess.CalledProcessError as error:   # a KenLM built for shorter n-grams, say
                        skipped.append(f"{rival.__name__}: {error}")
                    else:
                        if result is not None:
                            add_rival(table, task, "", result)
    if table.rows:
        table.print()
    if skipped:
        raise Skipped("; ".join(skipped))


def add(table: Table, task: Task, budget: float, runs: list[Trained]) -> None:
    """Add a row of the means over seeds."""
    static = [run.static[task.figure] for run in runs]
    goal = GOALS[task.unit].get(int(budget))
    table.add(task.name, f"{budget:g} s", f"{np.mean(static):.5g}",
              "" if goal is None else verdict([(f"≤ {goal:g}", -float(np.mean(static)), -goal)]),
              f"{np.mean([run.adapting[task.figure] for run in runs]):.5g}", f"{max(static) - min(static):.2g}",
              f"{max(run.seconds for run in runs):.2f}", runs[0].chosen)


def add_rival(table: Table, task: Task, budget: str, result: programs.Result) -> None:
    """Add a row of a rival."""
    table.add(task.name, budget, f"{result.figure:.5g}", "", "", "", f"{result.seconds:.2f}", result.what)


def trained(task: Task, budget: float, seed: int, folder: Path) -> Trained:
    """Run the command once and return its figures."""
    model = folder / "budget.fastlm"
    source = str(Path(fastlm.__path__[0]).parent)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))))

    def command(*arguments: str) -> str:
        return subprocess.run((sys.executable, "-m", "fastlm", *arguments), env=environment, cwd=folder, check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    valid = () if task.valid == task.test else ("--valid", str(task.valid.resolve()))
    begin = time.perf_counter()
    command("train", str(task.train.resolve()), "-o", str(model), *valid, "--unit", task.unit,
            "--budget", f"{budget:g}s", "--seed", str(seed), "--threads", THREADS, "--quiet")
    seconds = time.perf_counter() - begin
    static, adapting = (json.loads(command("eval", str(model), str(task.test.resolve()), "--json", "--threads", THREADS,
                                           *more)) for more in ((), ("--adapt",)))
    return Trained(static, adapting, seconds, fastlm.load(model).card.get("chosen", ""))
