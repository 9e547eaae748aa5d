"""Measure how near the arithmetic coder comes to the score's bits, for every unit, and what it saves beside xz.

Goals: the coded length is that of `bits_per_byte` to 0.1 %, and every byte comes back; a vocabulary of 50 words needs
more bits than one of all words. Kneser-Ney of the first nine tenths of tiny-shakespeare, and the default model of
--budget seconds (else 10) over words, characters and pieces; 50,000 bytes of the rest are compressed. Times are of the
processor, since the coder runs on one thread. xz -9 reads the training text first, as a dictionary would be read, and
is charged for what the 50,000 bytes add.
"""

from __future__ import annotations

import lzma
import time
from typing import Any

import fastlm
from benchmarks.harness import Options, Skipped, Table, verdict
from fastlm.coding.compress import HEADER_BYTES, compress, decompress

COUNTED: dict[str, dict[str, Any]] = {
    "50 words": {"max_size": 50}, "3,000 words": {"max_size": 3000}, "all words": {"min_count": 1}, "words": {},
    "characters": {"unit": "char"}, "pieces": {"unit": "piece"}, "bytes": {"unit": "byte"}}
DEFAULT: dict[str, dict[str, Any]] = {"words": {}, "characters": {"unit": "char"}, "pieces": {"unit": "piece"}}
BYTES = 50_000


def run(options: Options) -> None:
    """Print a row for each model, and one for xz."""
    path = options.data / "shakespeare.txt"
    if not path.is_file():
        raise Skipped(f"{path} is absent")
    text = path.read_bytes()
    cut = len(text) * 9 // 10
    train, test = text[:cut], text[cut: cut + BYTES]
    table = Table("model", "unit", "bits per byte", "by the coder", "apart", "goal", "perplexity per word",
                  "us a token, both ways")
    for name, given in COUNTED.items():
        add(table, "Kneser-Ney", name, fastlm.train([train.decode()], model="kneser-ney", **given), test)
    seconds = options.budget or 10.0
    for name, given in DEFAULT.items():
        add(table, f"default, {seconds:g} s", name, fastlm.train([train.decode()], budget=seconds, **given), test)
    added = len(lzma.compress(train + test, preset=9)) - len(lzma.compress(train, preset=9))
    table.add("xz -9", "", "", f"{8 * added / BYTES:.4f}", "", "", "", "")
    table.print()


def add(table: Table, model: str, unit: str, lm: fastlm.LanguageModel, test: bytes) -> None:
    """Add what the score says of a text, and what the coder makes of it."""
    score = lm.evaluate(iter([test if lm.vocabulary.unit == "byte" else test.decode()]), "file")
    begin = time.process_time()
    coded = compress(lm, test, "file")
    middle = time.process_time()
    same = decompress(lm, coded) == test
    times = [1e6 * seconds / score.tokens for seconds in (middle - begin, time.process_time() - middle)]
    found = 8 * (len(coded) - HEADER_BYTES) / len(test)
    apart = abs(found / score.bits_per_byte - 1)
    goals = [("≤ 0.1 %", -apart, -0.001), ("the same bytes", float(same), 1.0)]
    table.add(model, unit, f"{score.bits_per_byte:.4f}", f"{found:.4f}", f"{100 * apart:.3f} %", verdict(goals),
              f"{score.perplexity_per_word:.0f}", " and ".join(f"{each:.0f}" for each in times))
