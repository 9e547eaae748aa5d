"""Measure the n-gram model beside KenLM: built and saved, scored, perplexity, disk and memory.

Goal: built and saved faster than `lmplz`, scored at least as fast per thread as `query` on a binary model, Penn
Treebank order 5 at most 141.2 and tiny-shakespeare characters order 8 at most 1.519 nats. "Build" is the whole command,
text in and model out, Python's start included, on all cores for both; `lmplz` writes ARPA text, and `build_binary`
makes a probing model of it, which is timed apart. Scoring is of Penn Treebank's test text twenty times over less that
of it once, one thread, from text to the sum, so that starting and loading do not count. `lmplz` is looked for on the
PATH or in FASTLM_LMPLZ, the other two beside it. KenLM gets `<unk>` under another name, and characters as words of one
line.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, duration, times, verdict
from fastlm.models import KneserNey

ROUNDS = 7
MANY = 20
SPLIT = 1_003_854   # characters of tiny-shakespeare to train on: nanoGPT's first nine tenths


def run(options: Options) -> None:
    """Print the tables."""
    ptb = {part: options.data / f"ptb.{part}.txt" for part in ("train", "valid", "test")}
    plays = options.data / "shakespeare.txt"
    if not all(path.exists() for path in (*ptb.values(), plays)):
        raise Skipped(f"the corpora are not in {options.data}")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        text = plays.read_text()
        for name, part in (("plays.train", text[:SPLIT]), ("plays.valid", text[SPLIT:])):
            (here / name).write_text(part, newline="")
            (here / f"{name}.words").write_text(" ".join(f"c{ord(c)}" for c in part) + "\n")
        for part, path in ptb.items():
            (here / f"{part}.words").write_text(path.read_text().replace("<unk>", "<unknown>"))
        (here / "many").write_text(ptb["test"].read_text() * MANY)
        (here / "many.words").write_text((here / "test.words").read_text() * MANY)
        kenlm = _kenlm()
        _build(here, kenlm, [("Penn Treebank", 3, ptb["train"], "train.words", ()),
                             ("Penn Treebank", 5, ptb["train"], "train.words", ()),
                             ("tiny-shakespeare", 8, here / "plays.train", "plays.train.words", ("--unit", "char"))])
        _perplexity(here, kenlm, ptb)
        _score(here, kenlm, ptb["test"])


def _kenlm() -> Path | None:
    found = os.environ.get("FASTLM_LMPLZ") or shutil.which("lmplz")
    if found is None:
        print("KenLM is left out: lmplz is neither on the PATH nor in FASTLM_LMPLZ\n")
    return None if found is None else Path(found).parent


def _command(arguments: list[Any], source: Path | None = None) -> tuple[float, str]:
    """Return the wall-clock seconds and the standard output of a command."""
    with open(source or os.devnull, "rb") as text:
        begin = time.perf_counter()
        done = subprocess.run([str(a) for a in arguments], stdin=text, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin, done.stdout.decode()


def _memory(arguments: list[Any]) -> str:
    """Return a command's peak resident memory, read every millisecond: wait4's figure includes the parent's own."""
    child = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(1e-3)
    return f"{peak / 1000:.0f} MB"


def _build(here: Path, kenlm: Path | None, cases: list[Any]) -> None:
    table = Table("text", "order", "n-grams", "fastlm", "lmplz", "its binary", "memory: fastlm", "lmplz",
                  "disk: fastlm", "ARPA", "binary", "goal")
    for text, order, path, words, unit in cases:
        ours: list[Any] = [sys.executable, "-m", "fastlm", "train", path, *unit, "--model", "kneser-ney",
                           "--order", order, "-o", here / f"{text}{order}.fastlm", "--quiet"]
        theirs: list[Any] = []
        name = here / f"{text}{order}"
        if kenlm is not None:
            theirs = [kenlm / "lmplz", "-o", order, "--discount_fallback", "-T", here, "-S", "1G",
                      "--text", here / words, "--arpa", f"{name}.arpa"]
        readings: dict[str, list[float]] = {"ours": [], "theirs": []}
        for round_ in range(ROUNDS + 1):
            for label, command in (("ours", ours), ("theirs", theirs)):
                if command and (reading := _command(command)) and round_:
                    readings[label].append(reading[0])
        seconds = statistics.median(readings["ours"])
        lm = fastlm.load(f"{name}.fastlm")
        assert isinstance(lm.model, KneserNey)
        cells, goal = ["", "", "", "", ""], ""
        if kenlm is not None:
            other = statistics.median(readings["theirs"])
            binary, _ = _command([kenlm / "build_binary", "probing", f"{name}.arpa", f"{name}.bin"])
            cells = [f"{duration(other)} ({times(other / seconds)})", duration(binary), _memory(theirs),
                     *(f"{os.path.getsize(f'{name}.{kind}') / 1e6:.1f} MB" for kind in ("arpa", "bin"))]
            goal = verdict([("faster", other / seconds, 1)])
        table.add(text, order, f"{lm.model.ngrams.nodes:,}", duration(seconds), *cells[:2], _memory(ours),
                  cells[2], f"{os.path.getsize(f'{name}.fastlm') / 1e6:.1f} MB", *cells[3:], goal)
    table.print()


def _perplexity(here: Path, kenlm: Path | None, ptb: dict[str, Path]) -> None:
    table = Table("text", "order", "fastlm", "contexts end at line ends", "KenLM", "goal")
    line_end = fastlm.load(here / "Penn Treebank3.fastlm").boundary
    for order in (3, 5):
        lm = fastlm.load(here / f"Penn Treebank{order}.fastlm")
        lines = fastlm.train(ptb["train"], model=lambda size, order=order: KneserNey(size, order, line_end))
        for part in ("valid", "test"):
            ours = lm.perplexity(ptb[part])
            theirs = "" if kenlm is None else f"{_query(here, kenlm, 'Penn Treebank', order, f'{part}.words'):.2f}"
            goal = f"≤ 141.2: {'met' if ours <= 141.2 else 'MISSED'}" if (order, part) == (5, "test") else ""
            table.add(f"Penn Treebank {part}, perplexity", order, f"{ours:.2f}", f"{lines.perplexity(ptb[part]):.2f}",
                      theirs, goal)
    lm = fastlm.load(here / "tiny-shakespeare8.fastlm")
    nats = lm.evaluate(here / "plays.valid").nats_per_token
    theirs = "" if kenlm is None else f"{np.log(_query(here, kenlm, 'tiny-shakespeare', 8, 'plays.valid.words')):.4f}"
    table.add("tiny-shakespeare validation, nats", 8, f"{nats:.4f}", "", theirs,
              f"≤ 1.519 to three decimals: {'met' if round(nats, 3) <= 1.519 else 'MISSED'}")
    table.print()


def _query(here: Path, kenlm: Path, text: str, order: int, words: str) -> float:
    """Return KenLM's perplexity of a text, unknown words included."""
    _, out = _command([kenlm / "query", "-v", "summary", here / f"{text}{order}.bin"], here / words)
    return float(re.findall(r"Perplexity including OOVs:\s+(\S+)", out)[0])


def _score(here: Path, kenlm: Path | None, test: Path) -> None:
    lm = fastlm.load(here / "Penn Treebank5.fastlm")
    corpus = fastlm.Corpus.read(here / "many", lm.vocabulary)
    tokens = len(corpus.ids) * (MANY - 1) / MANY
    inputs = np.concatenate([[lm.boundary], corpus.ids[:-1]]).astype(np.int32)
    readings: dict[str, list[float]] = {}

    def read(label: str, seconds: float, count: float) -> None:
        readings.setdefault(label, []).append(count / seconds / 1e6)
    module = None
    if kenlm is not None:
        try:
            import kenlm as python_module
            module = python_module.Model(str(here / "Penn Treebank5.bin"))
        except ImportError:
            print("KenLM's Python module is not installed\n")
    lines = (here / "many.words").read_text().splitlines()
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        lm.model.score(inputs, corpus.ids)
        read("fastlm, from ids", time.perf_counter() - begin, len(corpus.ids))
        spent = []
        for path in (test, here / "many"):
            begin = time.perf_counter()
            lm.evaluate(path, threads=1)
            spent.append(time.perf_counter() - begin)
        read("fastlm, from text", spent[1] - spent[0], tokens)
        if kenlm is not None:
            spent = [_command([kenlm / "query", "-v", "summary", here / "Penn Treebank5.bin"], here / words)[0]
                     for words in ("test.words", "many.words")]
            read("KenLM query, from text", spent[1] - spent[0], tokens)
        if module is not None:
            begin = time.perf_counter()
            for line in lines:
                module.score(line)
            read("KenLM's Python module, from lines", time.perf_counter() - begin, len(corpus.ids))
    table = Table("scoring, one thread", "million tokens/s", "goal")
    middle = {label: statistics.median(values) for label, values in readings.items()}
    for label, rate in middle.items():
        goal = ""
        if label == "fastlm, from text" and kenlm is not None:
            goal = verdict([("≥ 1× query", rate / middle["KenLM query, from text"], 1)])
        table.add(label, f"{rate:.2f}", goal)
    table.print()
