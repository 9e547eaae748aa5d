"""Measure bits per byte of ten raw texts: every unit after 10, 60 and 300 s, n-grams by themselves, and compressors.

Goals: the default of 60 s needs at most 0.85 times the bits of the best single Kneser-Ney model of any unit and order,
and `unit="auto"` at most 1.01 times those of the best fixed unit, on every text. The texts are those of `corpora`, in
the folder that FASTLM_CORPORA names. Two threads; a run is the commands `fastlm train` and `fastlm eval`, the seconds
are those of `train` as a whole. xz -9 and PPMd (variant H, order 16, of `pyppmd`) compress the training text and then
both texts: the difference is what the test text costs, and both adapt to it as they go.

Each run appends a line to units.jsonl in that folder, or to the file that FASTLM_UNITS names, and a run whose line is
there is not repeated: the benchmark can be stopped and goes on where it was. --budget gives one budget; --only TEXT
those runs whose name contains TEXT, such as "french", "60 s" or "kneser-ney"; --full adds 300 s.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastlm
from benchmarks.harness import ROOT, Options, Skipped, Table, verdict
from benchmarks.quality.corpora import Text, texts
from benchmarks.quality.packages import folder

FILE = "FASTLM_UNITS"
UNITS = ("auto", "piece", "word", "char", "byte")
ORDERS = (5, 6, 8, 10, 12)
THREADS = "2"
NGRAMS_SHARE, UNIT_SHARE = 0.85, 1.01   # the goals, at 60 s
PPMD_ORDER, PPMD_BYTES = 16, 1 << 29


@dataclass(frozen=True)
class Run:
    """One run: its ``name`` after that of the text, and what gives its figures for a text."""

    name: str
    figures: Callable[[Text], dict[str, Any]]


def run(options: Options) -> None:
    """Run what is not in the file yet, and print the tables of what is."""
    found, failed = results(), {}
    budgets = [options.budget] if options.budget else [10.0, 60.0, *([300.0] if options.full else [])]
    for text in texts():
        digest = hashlib.sha256(text.train.read_bytes() + text.test.read_bytes()).hexdigest()[:16]
        for each in runs(budgets):
            key = text.name, each.name
            if key in found or options.only not in f"{text.name} {each.name}":
                continue
            try:
                figures = each.figures(text)
            except (subprocess.CalledProcessError, ImportError) as error:
                failed[key] = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
                continue
            found[key] = {"text": text.name, "run": each.name, "digest": digest, "commit": commit(), **figures}
            with results_file().open("a", encoding="utf-8") as file:
                file.write(json.dumps(found[key]) + "\n")
            print(f"{text.name}, {each.name}: {figures['bits_per_byte']:.4f} bits per byte", file=sys.stderr)
    summary(found)
    everything(found)
    if failed:
        raise Skipped("; ".join(f"{text}, {name}: {why}" for (text, name), why in failed.items()))


def results_file() -> Path:
    """Return the file that the figures are kept in."""
    return Path(os.environ.get(FILE) or folder() / "units.jsonl")


def results() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures that are there, by the names of text and run."""
    path = results_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(line["text"], line["run"]): line for line in map(json.loads, lines)}


def commit() -> str:
    """Return the commit of the checkout, with a plus where files differ from it."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def runs(budgets: list[float]) -> Iterator[Run]:
    """Yield every run, those that cost least first."""
    yield Run("xz -9", lambda text: compressed(text, lambda data: len(lzma.compress(data, preset=9))))
    yield Run("PPMd", lambda text: compressed(text, ppmd))
    for unit in UNITS[1:]:
        for order in ORDERS:
            yield Run(f"{unit} kneser-ney {order}", command("--unit", unit, "--model", "kneser-ney", "--order",
                                                            str(order)))
    for unit in UNITS:
        yield Run(f"{unit} kneser-ney", command("--unit", unit, "--model", "kneser-ney"))
    for budget in budgets:
        for unit in UNITS:
            yield Run(f"{unit} {budget:g} s", command("--unit", unit, "--budget", f"{budget:g}s"))


def command(*arguments: str) -> Callable[[Text], dict[str, Any]]:
    """Return what trains with these arguments and evaluates by the command line."""
    def figures(text: Text) -> dict[str, Any]:
        paths = filter(None, (str(Path(fastlm.__path__[0]).parent), os.environ.get("PYTHONPATH", "")))
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
        with tempfile.TemporaryDirectory() as home:
            def fastlm_command(*given: str) -> str:
                return subprocess.run((sys.executable, "-m", "fastlm", *given, "--threads", THREADS), env=environment,
                                      cwd=home, check=True, capture_output=True, text=True).stdout
            begin = time.perf_counter()
            fastlm_command("train", str(text.train.resolve()), "-o", "units.fastlm", *arguments, "--quiet")
            seconds = time.perf_counter() - begin
            measured = json.loads(fastlm_command("eval", "units.fastlm", str(text.test.resolve()), "--json"))
            model = Path(home) / "units.fastlm"
            return {"bits_per_byte": measured["bits_per_byte"], "seconds": round(seconds, 2),
                    "bytes": model.stat().st_size, "chosen": fastlm.load(model).card.get("chosen", "")}
    return figures


def compressed(text: Text, size: Callable[[bytes], int]) -> dict[str, Any]:
    """Return what a compressor needs for the test text after the training text."""
    train, test = text.train.read_bytes(), text.test.read_bytes()
    begin = time.perf_counter()
    both = size(train + test)
    seconds = time.perf_counter() - begin
    return {"bits_per_byte": 8 * (both - size(train)) / len(test), "seconds": round(seconds, 2)}


def ppmd(data: bytes) -> int:
    """Return the size of data as PPMd compresses it."""
    import pyppmd

    encoder = pyppmd.Ppmd7Encoder(PPMD_ORDER, PPMD_BYTES)
    return len(encoder.encode(data) + encoder.flush())


def summary(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Print for each text the default after 60 s beside the best n-grams, the best unit and the compressors."""
    table = Table("text", "auto, 60 s", "best n-grams", "ratio", "best unit", "ratio", "xz -9", "PPMd", "goals")
    for text in dict.fromkeys(text for text, _ in found):
        of_text = {name: line["bits_per_byte"] for (other, name), line in found.items() if other == text}
        ngrams = {name: bits for name, bits in of_text.items() if "kneser-ney" in name}
        fixed = {name: bits for name, bits in of_text.items() if name.endswith(" 60 s") and not name.startswith("auto")}
        auto = of_text.get("auto 60 s")
        cells, goals = [], []
        for rivals, share in ((ngrams, NGRAMS_SHARE), (fixed, UNIT_SHARE)):
            best = min(rivals, key=rivals.__getitem__, default=None)
            ratio = auto / rivals[best] if best and auto else None
            cells += [f"{rivals[best]:.4f} ({best})" if best else "", f"{ratio:.3f}" if ratio else ""]
            if ratio:
                goals.append((f"≤ {share}", -ratio, -share))
        table.add(text, f"{auto:.4f}" if auto else "", *cells,
                  *(f"{of_text[name]:.4f}" if name in of_text else "" for name in ("xz -9", "PPMd")),
                  verdict(goals) if goals else "")
    table.print()


def everything(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Print the bits per byte of every run, a column for each text."""
    names = list(dict.fromkeys(text for text, _ in found))
    table = Table("bits per byte", *names)
    for each in sorted(dict.fromkeys(name for _, name in found), key=_rank):
        lines = [found.get((text, each)) for text in names]
        table.add(each, *("" if line is None else f"{line['bits_per_byte']:.4f}" for line in lines))
    table.print()


def _rank(name: str) -> tuple[int, float, str]:
    words = name.split()
    if words[-1] == "s":
        return 0, float(words[-2]), name
    return (1, float(words[-1]) if words[-1].isdigit() else 99.0, name) if "kneser-ney" in name else (2, 0.0, name)
