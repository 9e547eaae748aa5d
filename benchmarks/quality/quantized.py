"""Measure what weights in one byte cost: the same models in float32 and in int8, by the command line.

Goal: perplexity at most 0.5 % higher. `fastlm train`, `quantize` and `eval` on tiny-shakespeare characters (the last 10
% scored) and Penn Treebank words (its test text), an LSTM by itself and the default mixture, 30 s each (--budget for
another time), two threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, verdict
from benchmarks.quality.quality import Task, tasks


def run(options: Options) -> None:
    """Print a row for each text and model."""
    skipped: list[str] = []
    table = Table("text", "model", "float32", "int8", "higher by", "goal", "bytes, float32", "bytes, int8")
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks(options, Path(folder), skipped):
            for model in ("lstm", "auto"):
                figures, sizes = of_both(task, model, options.budget or 30.0, Path(folder))
                perplexities = figures if task.unit == "word" else np.exp(figures)
                cost = float(perplexities[1] / perplexities[0]) - 1
                table.add(task.name, model, *(f"{figure:.5g}" for figure in figures), f"{100 * cost:.2f} %",
                          verdict([("≤ 0.5 %", -cost, -0.005)]), *(f"{size:,}" for size in sizes))
    if table.rows:
        table.print()
    if skipped:
        raise Skipped("; ".join(skipped))


def of_both(task: Task, model: str, seconds: float, folder: Path) -> tuple[list[float], list[int]]:
    """Return the figures of a model in float32 and in int8, and the sizes of their files."""
    source = str(Path(fastlm.__path__[0]).parent)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))))

    def command(*arguments: str) -> str:
        return subprocess.run((sys.executable, "-m", "fastlm", *arguments), env=environment, cwd=folder, check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    command("train", str(task.train.resolve()), "-o", "large.fastlm", "--unit", task.unit, "--model", model,
            "--budget", f"{seconds:g}s", "--threads", "2", "--quiet")
    command("quantize", "large.fastlm", "-o", "small.fastlm")
    files = ("large.fastlm", "small.fastlm")
    figures = [json.loads(command("eval", name, str(task.test.resolve()), "--json", "--threads", "2"))[task.figure]
               for name in files]
    return figures, [(folder / name).stat().st_size for name in files]
