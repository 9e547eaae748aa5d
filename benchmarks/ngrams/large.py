"""Measure large texts by the command line: time, peak memory, how much was read and counted, and bits per byte.

100 MB of generated text counted whole, whose goal is at most 2 GB in all; it is drawn word by word: three words in
eight are one of four that follow the last one, the others are drawn from 200,000 words by Zipf's law. And, where
FASTLM_LARGE names a text, such as 1 GB of code, and FASTLM_LARGE_TEST another one of its kind: models of several units
and budgets (with --full of 5 and 30 minutes too), their evaluation, and `lmplz -S 2G` of FASTLM_LMPLZ. Goals: the
budget, 3 GB.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastlm
from benchmarks.harness import Options, Table, duration

SIZE = 100_000_000
WORDS = 200_000
LIMIT, LIMIT_OF_READING = 2e9, 3e9
BUDGETS, LONG_BUDGETS = (60,), (60, 300, 1800)


def run(options: Options) -> None:
    """Print the tables."""
    table = Table("unit", "text", "wall-clock", "peak memory", "what it says", "n-grams", "disk", "goal")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_bytes(generate(SIZE))
        for unit in ("word", "char"):
            out = Path(folder) / f"{unit}.fastlm"
            seconds, peak = measure([sys.executable, "-m", "fastlm", "train", str(path), "--unit", unit,
                                     "--model", "kneser-ney", "-o", str(out), "--quiet"])
            lm = fastlm.load(out)
            table.add(unit, f"{path.stat().st_size / 1e6:.0f} MB", duration(seconds), f"{peak / 1e9:.2f} GB",
                      lm.history.ended, f"{lm.model.ngrams.nodes:,}", f"{out.stat().st_size / 1e6:.0f} MB",
                      f"≤ 2 GB: {'met' if peak <= LIMIT else 'MISSED'}")
    table.print()
    if "FASTLM_LARGE" in os.environ:
        read(Path(os.environ["FASTLM_LARGE"]), Path(os.environ["FASTLM_LARGE_TEST"]), options)


def read(text: Path, test: Path, options: Options) -> None:
    """Print the table of a text that may be too large for the budgets, with KenLM beside fastlm."""
    table = Table("unit", "budget", "wall-clock", "peak memory", "what it says", "disk", "bits per byte", "scored",
                  "goal")
    with tempfile.TemporaryDirectory() as folder:
        for budget in LONG_BUDGETS if options.full else BUDGETS:
            for unit in ("word", "piece", "char", "byte"):
                if options.only in unit:
                    table.add(*row(text, test, unit, budget, Path(folder) / "model.fastlm"))
        if "FASTLM_LMPLZ" in os.environ:
            out = Path(folder) / "arpa"
            seconds, peak = measure([os.environ["FASTLM_LMPLZ"], "-o", "5", "-S", "2G", "-T", folder, "--skip_symbols",
                                     "--text", str(text), "--arpa", str(out)])
            table.add("word", "lmplz -S 2G", duration(seconds), f"{peak / 1e9:.2f} GB", "",
                      f"{out.stat().st_size / 1e6:.0f} MB", "", "", "")
    table.print()


def row(text: Path, test: Path, unit: str, budget: int, out: Path) -> list[str]:
    """Return the row of a unit and a budget."""
    seconds, peak = measure([sys.executable, "-m", "fastlm", "train", str(text), "--unit", unit, "--budget",
                             f"{budget}s", "-o", str(out), "--quiet"])
    lm, begin = fastlm.load(out), time.perf_counter()
    score = lm.evaluate(test)
    scored = f"{score.bytes / 1e6 / (time.perf_counter() - begin):.1f} MB/s"
    met = seconds <= budget and peak <= LIMIT_OF_READING
    return [unit, f"{budget} s", duration(seconds), f"{peak / 1e9:.2f} GB", lm.history.ended,
            f"{out.stat().st_size / 1e6:.0f} MB", f"{score.bits_per_byte:.4f}", scored,
            f"≤ {budget} s, ≤ 3 GB: {'met' if met else 'MISSED'}"]


def measure(command: list[str]) -> tuple[float, int]:
    """Return the wall-clock seconds and peak resident bytes of a command, looked at every 10 ms."""
    begin, peak = time.perf_counter(), 0
    child = subprocess.Popen(command)
    while child.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text())
        peak = max(peak, int(found[1]) * 1024 if found else 0)
        time.sleep(0.01)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return time.perf_counter() - begin, peak


def generate(size: int) -> bytes:
    """Return about `size` bytes of lines of twenty words."""
    rng = np.random.default_rng(0)
    count = size // 7
    letters = rng.integers(97, 123, (WORDS, 12)).astype(np.uint8)
    lengths = np.minimum(2 + rng.poisson(4, WORDS), 12)
    names = [bytes(row[:length]) for row, length in zip(letters, lengths, strict=True)]
    count -= count % 20
    drawn = np.minimum((WORDS ** rng.random(count)).astype(np.int64), WORDS - 1)
    follows = rng.random(count) < 0.5
    for i in range(1, 4):     # what followed a word before: one of four words of its own
        at = np.flatnonzero(follows[i::4]) * 4 + i
        drawn[at] = (drawn[at - 1] * 7919 + rng.integers(0, 4, len(at)) * 104729) % WORDS
    parts = [b" ".join(names[w] for w in line) for line in drawn.reshape(-1, 20).tolist()]
    return (b"\n".join(parts) + b"\n")[:size]
