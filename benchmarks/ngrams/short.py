"""Measure many short texts: 100,000 lines by `score_batch`, by `fastlm score` and by KenLM's Python module; a keyboard.

Two models of Penn Treebank's words: Kneser-Ney of order 5, which KenLM reads as ARPA text too, and the default after
--budget seconds (60). The test lines are read again and again until there are 100,000, of 84,000 tokens in every 3,761.
Goals: 50,000 lines a second by n-grams alone; `next_words` after one more letter in 10 ms, `explain` of a page.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import fastlm
from benchmarks.harness import Options, Skipped, Table, duration
from fastlm.models import KneserNey

LINES = 100_000
ORDER = 5
KEYS = "the company said it expects to report a loss for the third quarter"
GOAL_LINES, GOAL_KEY = 50_000, 0.010
_CALLS = 20


def run(options: Options) -> None:
    """Print the tables."""
    train, test = options.data / "ptb.train.txt", options.data / "ptb.test.txt"
    if not train.exists():
        raise Skipped(f"{train} does not exist")
    lines = list(islice(cycle(line.strip() for line in test.read_text().splitlines() if line.strip()), LINES))
    tokens = sum(line.count(" ") + 2 for line in lines)
    throughput = Table("model", "by", "lines/s", "tokens/s", "goal")
    calls = Table("model", "call", "time", "goal")
    with tempfile.TemporaryDirectory() as folder:
        counted = fastlm.train(train, "word", model=lambda size: KneserNey(size, ORDER), documents="line")
        default = fastlm.train(train, budget=options.budget or 60, documents="line")
        (Path(folder) / "lines").write_text("".join(f"{line}\n" for line in lines))
        for name, lm in (("Kneser-Ney, order 5", counted), ("default", default)):
            for by, rate in rates(lm, lines, Path(folder)).items():
                goal = f"≥ {GOAL_LINES:,}: {'met' if rate >= GOAL_LINES else 'MISSED'}" \
                    if lm is counted and by == "score_batch" else ""
                throughput.add(name, by, f"{rate:,.0f}", f"{rate * tokens / len(lines):,.0f}", goal)
            for row in latencies(name, lm, Path(folder)):
                calls.add(*row)
    throughput.print()
    calls.print()


def rates(lm: fastlm.LanguageModel, lines: list[str], folder: Path) -> dict[str, float]:
    """Return the lines a second by each way to score them."""
    lm.save(folder / "m.fastlm")
    some = lines if isinstance(lm.model, KneserNey) else lines[: len(lines) // 10]
    (folder / "some").write_text("".join(f"{line}\n" for line in some))
    found = {"score_batch": len(some) / timed(lambda: lm.score_batch(some).nats)}
    found["score_batch, one thread"] = len(some) / timed(lambda: lm.score_batch(some, threads=1).nats)
    found["fastlm score, all of it"] = len(some) / timed(lambda: subprocess.run(
        [sys.executable, "-m", "fastlm", "score", str(folder / "m.fastlm"), str(folder / "some")], check=True,
        stdout=subprocess.DEVNULL))
    if isinstance(lm.model, KneserNey) and find_spec("kenlm"):
        import kenlm

        fastlm.arpa.save(lm, folder / "m.arpa")
        model = kenlm.Model(str(folder / "m.arpa"))
        found["kenlm.Model.score"] = len(some) / timed(lambda: [model.score(line) for line in some])
        import fastlm.compat.kenlm as ours

        mine = ours.Model(lm)
        found["compat.kenlm Model.score"] = len(some) / 10 / timed(lambda: [mine.score(line) for line in some[::10]])
    return found


def latencies(name: str, lm: fastlm.LanguageModel, folder: Path) -> list[tuple[str, str, str, str]]:
    """Return rows of what one call takes: a key of a keyboard, a page, loading."""
    rows, keys = [], []
    for n in range(1, len(KEYS)):
        context, _, prefix = KEYS[:n].rpartition(" ")
        begin = time.perf_counter()
        lm.next_words(context, prefix, 3)
        keys.append(time.perf_counter() - begin)
    median = sorted(keys)[len(keys) // 2]
    rows.append((name, f"next_words, median of {len(keys)} keys", duration(median),
                 f"≤ 10 ms: {'met' if median <= GOAL_KEY else 'MISSED'}"))
    rows.append((name, "next_words, the slowest of them", duration(max(keys)), ""))
    page = " ".join([KEYS] * 30)
    seconds = timed(lambda: lm.explain(page).to_html())
    rows.append((name, f"explain of {page.count(' ') + 1} words", duration(seconds), ""))
    lm.save(folder / "m.fastlm")
    loads = [timed(lambda: fastlm.load(folder / "m.fastlm")) for _ in range(_CALLS)]
    rows.append((name, "load", duration(sorted(loads)[_CALLS // 2]), ""))
    return rows


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
