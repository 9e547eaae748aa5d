"""Reads the compressed files of a folder in every way, with 8 MiB of memory; prints what came of each as JSON.

The peak of the process's memory only rises, so that of each row is what the rows before it took, too."""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastlm import Corpus, Vocabulary

MEMORY = 1 << 23
WORDS = Vocabulary(["a", "b", "\n", "<unk>"])
CHARS = Vocabulary(["a", "b", " ", "\n"], unit="char")


def ways(path: Path) -> dict[tuple[str, str], Callable[[], Any]]:
    out: dict[tuple[str, str], Callable[[], Any]] = {
        ("read file", "word"): lambda: Corpus.read(path, WORDS, memory=MEMORY),
        ("read line", "char"): lambda: Corpus.read(path, CHARS, "line", memory=MEMORY),
        ("unknown", "word"): lambda: Corpus.read(path, Vocabulary(["c", "\n", "<unk>"]), memory=MEMORY),
        ("build file", "piece"): lambda: Corpus.build(path, "piece", memory=MEMORY),
        ("vocabulary blank-line", "word"): lambda: Vocabulary.build(path, documents="blank-line", memory=MEMORY),
        ("vocabulary line", "word"): lambda: Vocabulary.build(path, documents="line", memory=MEMORY),
    }
    return out | {("vocabulary file", unit): lambda unit=unit: Vocabulary.build(path, unit, memory=MEMORY)
                  for unit in ("word", "char", "byte", "piece")}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


before = peak()
for path in sorted(Path(sys.argv[1]).iterdir()):
    for (how, unit), read in ways(path).items():
        error = ""
        try:
            read()
        except ValueError as refusal:
            error = str(refusal)
        print(json.dumps({"text": path.name, "how": how, "unit": unit, "error": error, "peak": peak() - before}))
