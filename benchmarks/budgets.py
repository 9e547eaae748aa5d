"""Quality for the time given: `fastlm train FILE --budget TIME` by the command line, nothing tuned, beside KenLM.

Claim, with --full (five budgets, three seeds each, hours): Penn Treebank words, test perplexity at most 138, 112, 105,
92 and 80 after 2 s, 30 s, 60 s, 5 min and 30 min; tiny-shakespeare characters, nats of the last 10 % at most 1.51,
1.44, 1.41, 1.36 and 1.33. Two threads; the seconds are those of the whole command, Python's start included; of Penn
Treebank its validation text is given as --valid, of tiny-shakespeare the command sees the first 90 % alone. Static: the
model is not changed by the text it is tested on; "adapting" is the same model by `eval --adapt`. --budget gives one
budget, one seed; without either 2 s and 10 s. KenLM is looked for as in `ngram`. PyTorch's LSTM is in `quality`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, verdict
from benchmarks.quality import Task, tasks

GOALS = {"word": {2: 138.0, 30: 112.0, 60: 105.0, 300: 92.0, 1800: 80.0},
         "char": {2: 1.51, 30: 1.44, 60: 1.41, 300: 1.36, 1800: 1.33}}
THREADS = "2"


def run(options: Options) -> None:
    """Prints a row a budget and text."""
    budgets = [options.budget] if options.budget else sorted(GOALS["word"]) if options.full else [2.0, 10.0]
    seeds = range(3) if options.full and not options.budget else range(1)
    table = Table("text", "budget", "static", "goal", "adapting", "spread", "seconds", "chosen")
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks(options, Path(folder), skipped):
            for budget in budgets:
                runs = [trained(task, budget, seed, Path(folder)) for seed in seeds]
                static = [figures[task.figure] for figures, _, _, _ in runs]
                goal = GOALS[task.unit].get(int(budget))
                table.add(task.name, f"{budget:g} s", f"{np.mean(static):.5g}",
                          "" if goal is None else verdict([(f"≤ {goal:g}", -float(np.mean(static)), -goal)]),
                          f"{np.mean([adapted[task.figure] for _, adapted, _, _ in runs]):.5g}",
                          f"{max(static) - min(static):.2g}", f"{max(seconds for _, _, seconds, _ in runs):.2f}",
                          runs[0][3])
                print("\r", end="", file=sys.stderr)
            if (lmplz := os.environ.get("FASTLM_LMPLZ") or shutil.which("lmplz")) is not None:
                figure, seconds = by_kenlm(task, Path(lmplz), Path(folder))
                table.add(task.name, "", f"{figure:.5g}", "", "", "", f"{seconds:.2f}", "KenLM lmplz")
    if table.rows:
        table.print()
    if skipped:
        raise Skipped("; ".join(skipped))


def trained(task: Task, budget: float, seed: int, folder: Path) -> tuple[dict[str, Any], dict[str, Any], float, str]:
    """The figures of `eval` and of `eval --adapt`, the seconds of `train`, and what it chose."""
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
    return static, adapting, seconds, fastlm.load(model).card.get("chosen", "")


def by_kenlm(task: Task, lmplz: Path, folder: Path) -> tuple[float, float]:
    """The figure and the seconds of `lmplz`, order 5 of words and 8 of characters, one token a word."""
    order = 8 if task.unit == "char" else 5
    texts = []
    for path in (task.train, task.test):
        text = path.read_text(encoding="utf-8")
        if task.unit == "char":
            text = "\n".join(" ".join("_" if c == " " else c for c in line) for line in text.split("\n"))
        texts.append(text)
    (folder / "kenlm.txt").write_text(texts[0], encoding="utf-8")
    begin = time.perf_counter()
    with open(folder / "kenlm.txt", "rb") as source:
        subprocess.run([lmplz, "-o", str(order), "--discount_fallback", "-T", folder, "-S", "1G", "--arpa",
                        folder / "kenlm.arpa"], stdin=source, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - begin
    result = subprocess.run([lmplz.parent / "query", "-v", "summary", folder / "kenlm.arpa"], input=texts[1].encode(),
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    perplexity = float(next(line.split(":")[1] for line in result.splitlines() if line.startswith("Perplexity incl")))
    return perplexity if task.figure == "perplexity" else float(np.log(perplexity)), seconds
