"""Measure 100 MB of generated text counted by the command line: wall-clock, peak memory, what was counted of it.

Goal: at most 2 GB in all. The text is drawn word by word: three words in eight are one of four that follow the last
one, the others are drawn from 200,000 words by Zipf's law. Where it does not fit, fewer tokens are counted or shorter
n-grams, and the model says so.
"""

from __future__ import annotations

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
LIMIT = 2e9


def run(options: Options) -> None:
    """Print the table."""
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
                      lm.history.ended, f"{lm.model.tensors()['word'].size:,}", f"{out.stat().st_size / 1e6:.0f} MB",
                      f"≤ 2 GB: {'met' if peak <= LIMIT else 'MISSED'}")
    table.print()


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
