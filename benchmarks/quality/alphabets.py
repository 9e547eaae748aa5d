"""Measure bits per byte of texts read as characters of a large alphabet: the default beside n-grams by themselves.

Goals, after 30 s: at most 1.06 bits per byte of Chinese manual pages, and of any text no more than Kneser-Ney of order
8. Of each text the last tenth is held out and never seen in training; two threads; the seconds are those of the whole
command. --budget gives another time. The texts are the files that FASTLM_ALPHABETS names, separated by commas, else
zh.txt and ja.txt of the data folder. They can be made of Debian's packages, raw pages as they are, sorted by path:

    apt-get download manpages-zh manpages-ja
    for package in manpages-*.deb; do dpkg -x $package pages; done
    for zh in zh_CN zh_TW; do find pages/usr/share/man/$zh -type f | LC_ALL=C sort | xargs zcat; done > zh.txt
    find pages/usr/share/man/ja -type f | LC_ALL=C sort | xargs zcat > ja.txt
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fastlm
from benchmarks.harness import Options, Skipped, Table, verdict

FILES = "FASTLM_ALPHABETS"
GOALS = {"zh": 1.06}   # bits per byte after 30 s, by the name of the file
SECONDS = 30.0
HELD_OUT = 10          # one in so many characters
THREADS = "2"


def run(options: Options) -> None:
    """Print a row for each text and model."""
    texts, absent = files(options)
    if not texts:
        raise Skipped(f"{', '.join(map(str, absent))} absent; {FILES}=file[,file...] names texts")
    seconds = options.budget or SECONDS
    table = Table("text", "characters", "alphabet", "model", "bits per byte", "seconds", "goal", "chosen")
    for path in texts:
        with tempfile.TemporaryDirectory() as folder:
            add(table, path, Path(folder), seconds)
    table.print()
    if absent:
        raise Skipped(f"{', '.join(map(str, absent))} absent")


def files(options: Options) -> tuple[list[Path], list[Path]]:
    """Return the texts that are there, and those that are not."""
    named = [Path(name) for name in os.environ.get(FILES, "").split(",") if name]
    wanted = named or [options.data / "zh.txt", options.data / "ja.txt"]
    return [path for path in wanted if path.is_file()], [path for path in wanted if not path.is_file()]


def add(table: Table, path: Path, folder: Path, seconds: float) -> None:
    """Cut a text in two, train and count on its first part, and add what each model makes of the rest."""
    text = path.read_bytes().decode("utf-8", "replace")
    cut = len(text) - len(text) // HELD_OUT
    train, test = folder / "train.txt", folder / "test.txt"
    train.write_bytes(text[:cut].encode())
    test.write_bytes(text[cut:].encode())
    counted, _, counting = trained(train, test, folder, "--model", "kneser-ney", "--order", "8")
    found, chosen, taken = trained(train, test, folder, "--budget", f"{seconds:g}s")
    goals = [("≤ Kneser-Ney", -found, -counted)]
    if path.stem in GOALS and seconds == SECONDS:
        goals.append((f"≤ {GOALS[path.stem]:g}", -found, -GOALS[path.stem]))
    about = path.name, f"{cut:,}", len(set(text[:cut]))
    table.add(*about, "Kneser-Ney, order 8", f"{counted:.4f}", f"{counting:.1f}", "", "")
    table.add(*about, f"default, {seconds:g} s", f"{found:.4f}", f"{taken:.1f}", verdict(goals), chosen)


def trained(train: Path, test: Path, folder: Path, *arguments: str) -> tuple[float, str, float]:
    """Return the bits per byte of a test text by a model that the command trained, what was chosen, and the seconds."""
    model = folder / "alphabets.fastlm"
    source = str(Path(fastlm.__path__[0]).parent)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))))

    def command(*given: str) -> Any:
        return subprocess.run((sys.executable, "-m", "fastlm", *given, "--threads", THREADS), env=environment,
                              cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    begin = time.perf_counter()
    command("train", str(train), "-o", str(model), "--unit", "char", "--quiet", *arguments)
    taken = time.perf_counter() - begin
    figures = json.loads(command("eval", str(model), str(test), "--json"))
    return figures["bits_per_byte"], fastlm.load(model).card.get("chosen", ""), taken
