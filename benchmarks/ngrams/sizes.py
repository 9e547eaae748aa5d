"""How small a model may be: the bytes of its file against its perplexity.

The default of each text is trained without a limit to its size, as it is (`Policy.bytes_for_byte`), and with
`max_bytes` of a tenth of that; its n-grams are pruned before networks learn to correct them. The other rows are a
finished model pruned on held-out text to multiples of the text's size: the one without a limit, and Kneser-Ney n-grams
alone.
`python -m benchmarks sizes --budget 60`. Goals: at most 4 times the text and 0.2 % worse in nats by default.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path

import fastlm
from benchmarks.harness import Options, Table
from fastlm.auto.policy import Policy

MULTIPLES = (8.0, 4.0, 2.0, 1.0, 0.4)    # bytes of the file for each byte of the text


def texts(data: Path, folder: Path) -> list[tuple[str, str, Path, Path, Path]]:
    """Return the name, unit, training, held-out and test text of each corpus; a text of one file is cut in three."""
    whole = (data / "shakespeare.txt").read_text(encoding="utf-8")
    cuts = [0, len(whole) * 9 // 10, len(whole) * 19 // 20, len(whole)]
    parts = [folder / f"shakespeare.{name}" for name in ("train", "valid", "test")]
    for part, first, last in zip(parts, cuts[:-1], cuts[1:], strict=True):
        part.write_text(whole[first:last], encoding="utf-8")
    words = [data / f"ptb.{name}.txt" for name in ("train", "valid", "test")]
    return [("Penn Treebank", "word", words[0], words[1], words[2]),
            ("Shakespeare", "char", parts[0], parts[1], parts[2])]


def run(options: Options) -> None:
    """Print the table."""
    table = Table("text", "model", "bytes", "bytes for each of the text", "nats a token", "perplexity",
                  "nats against all n-grams")
    budget = options.budget or 60.0
    with tempfile.TemporaryDirectory() as folder:
        for name, unit, train, valid, test in texts(options.data, Path(folder)):
            size = train.stat().st_size
            whole = fastlm.train(train, unit, budget=budget, policy=Policy(bytes_for_byte=1e9), valid=valid)
            ngrams = fastlm.train(train, unit, model="kneser-ney")
            rows = [(f"{budget:g} s", whole)]
            rows.append((f"{budget:g} s, the default", fastlm.train(train, unit, budget=budget, valid=valid)))
            tenth = int(Policy().bytes_for_byte * size / 10)
            rows.append((f"{budget:g} s, max_bytes={tenth:,}",
                         fastlm.train(train, unit, budget=budget, valid=valid, max_bytes=tenth)))
            rows += pruned(f"{budget:g} s", whole, size, valid)
            add(table, name, rows, size, test)
            add(table, name, [("kneser-ney", ngrams), *pruned("kneser-ney", ngrams, size, valid)], size, test)
    table.print()


def pruned(name: str, lm: fastlm.LanguageModel, size: int, valid: Path) -> list[tuple[str, fastlm.LanguageModel]]:
    """Return copies of a finished model pruned to multiples of the text's bytes, those that it can be pruned to."""
    out = []
    for multiple in MULTIPLES:
        with contextlib.suppress(ValueError):   # where the networks and the vocabulary alone take more
            out.append((f"{name}, then pruned", lm.pruned(int(multiple * size), valid)))
    return out


def add(table: Table, text: str, models: list[tuple[str, fastlm.LanguageModel]], size: int, test: Path) -> None:
    """Add a row for each model of a text, compared with the first of them."""
    first: float | None = None
    for name, lm in models:
        nats, taken = lm.evaluate(test).nats_per_token, len(lm.to_bytes())
        first = nats if first is None else first
        table.add(text, name, f"{taken:,}", f"{taken / size:.2f}", f"{nats:.4f}", f"{math.exp(nats):.2f}",
                  f"{100 * (nats / first - 1):+.2f} %")
