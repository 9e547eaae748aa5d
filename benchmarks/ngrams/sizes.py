"""How small a model may be: the bytes of its file against its perplexity, n-grams pruned and weights fitted again.

One model of n-grams and networks is trained for each text, without a limit to its size, and pruned on the held-out text
to multiples of the text's size; the last rows are Kneser-Ney n-grams alone. `python -m benchmarks sizes --budget 60s`.
"""

from __future__ import annotations

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
                  "against all n-grams")
    with tempfile.TemporaryDirectory() as folder:
        for name, unit, train, valid, test in texts(options.data, Path(folder)):
            for model in ("auto", "kneser-ney"):
                options_of = {"budget": options.budget or 60.0, "policy": Policy(bytes_for_byte=1e9), "valid": valid}
                lm = fastlm.train(train, unit, model=model, **({} if model == "kneser-ney" else options_of))
                size, first = train.stat().st_size, None
                for multiple in (math.inf, *MULTIPLES):
                    try:
                        smaller = lm if multiple == math.inf else lm.pruned(int(multiple * size), valid)
                    except ValueError:          # the networks and the vocabulary alone take more
                        continue
                    nats, taken = smaller.evaluate(test).nats_per_token, len(smaller.to_bytes())
                    first = nats if first is None else first
                    table.add(name, model, f"{taken:,}", f"{taken / size:.2f}", f"{nats:.4f}",
                              f"{math.exp(nats):.2f}", f"{100 * (math.exp(nats - first) - 1):+.2f} %")
    table.print()
