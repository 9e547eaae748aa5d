"""Measure an ARPA file of millions of n-grams loaded and saved: processor time and peak memory, KenLM in turns.

Goal: at most twice the time and the memory that KenLM's Python module takes to load the same file. Each figure is of a
process of its own, the imports included in the memory and not in the time; the best of three, the rivals taking turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import fastlm
from benchmarks.harness import Options, Table
from benchmarks.ngrams.large import generate
from fastlm.models import KneserNey

SIZE = 8_000_000     # bytes of text, whose n-grams make an ARPA file of about 250 MB
ORDER = 5
ROUNDS = 3
LIMIT = 2.0
_MEASURED = """
import re, sys, time
{imports}
begin = time.process_time()
model = {call}
print(time.process_time() - begin, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""
_OURS = _MEASURED.format(imports="from fastlm import arpa", call="arpa.load(sys.argv[1])")
_SAVING = _MEASURED.format(imports="import fastlm; lm = fastlm.load(sys.argv[2])",
                           call="fastlm.arpa.save(lm, sys.argv[1])")
_KENLM = _MEASURED.format(imports="import kenlm", call="kenlm.Model(sys.argv[1])")


def run(options: Options) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path, again, model = Path(folder) / "m.arpa", Path(folder) / "again.arpa", Path(folder) / "m.fastlm"
        lm = fastlm.train([generate(SIZE).decode()], "word", min_count=1, model=lambda size: KneserNey(size, ORDER))
        lm.save(model)
        fastlm.arpa.save(lm, path)
        programs = {"fastlm loads": [_OURS, str(path)], "fastlm saves": [_SAVING, str(again), str(model)]}
        if find_spec("kenlm"):
            programs["KenLM loads"] = [_KENLM, str(path)]
        best: dict[str, tuple[float, float]] = {}
        for _ in range(ROUNDS):
            for name, program in programs.items():
                found = measure(program)
                old = best.get(name, found)
                best[name] = min(old[0], found[0]), min(old[1], found[1])
        rival = best.get("KenLM loads")
        table = Table("", "file", "n-grams", "processor time", "peak memory", "goal")
        for name, (seconds, peak) in best.items():
            goal = ""
            if rival and name == "fastlm loads":
                ratios = seconds / rival[0], peak / rival[1]
                goal = (f"≤ {LIMIT:g} x KenLM: {ratios[0]:.2f} x, {ratios[1]:.2f} x, "
                        f"{'met' if max(ratios) <= LIMIT else 'MISSED'}")
            table.add(name, f"{path.stat().st_size / 1e6:.0f} MB", f"{lm.model.ngrams.nodes:,}", f"{seconds:.2f} s",
                      f"{peak / 1e6:.0f} MB", goal)
        table.print()


def measure(program: list[str]) -> tuple[float, float]:
    """Return the processor seconds and the peak resident bytes that a program prints about itself."""
    done = subprocess.run([sys.executable, "-c", *program], check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)
