"""Measure how fast text is cut into pieces of a tokenizer.json, beside the package `tokenizers`.

Goal: the same ids, ten times as fast. Byte-level pairs learnt by `tokenizers` of tiny-shakespeare, cut as GPT-2 cuts;
and pieces learnt by fastlm, written as a tokenizer.json. Processor time of one thread, the better of three. The ids of
the two are compared before anything is timed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Disagreement, Options, Skipped, Table, verdict
from fastlm import Vocabulary

SIZE = 4096


def run(options: Options) -> None:
    """Print a row for each rule of cutting."""
    path = options.data / "shakespeare.txt"
    if not path.is_file():
        raise Skipped(f"{path} is absent")
    try:
        import tokenizers
    except ImportError:
        raise Skipped("tokenizers is not installed") from None
    text = path.read_text(encoding="utf-8")
    table = Table("cut as", "tokens", "fastlm, MB/s", "tokenizers, MB/s", "ratio", "goal")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "tokenizer.json")
        learnt_by_package(tokenizers, text).save(file)
        add(table, "GPT-2", Vocabulary.from_tokenizer_json(file), tokenizers.Tokenizer.from_file(file), text)
        own = Vocabulary.build([text], unit="piece", max_size=SIZE)
        own.to_tokenizer_json(file)
        add(table, "fastlm", own, tokenizers.Tokenizer.from_file(file), text)
    table.print()


def learnt_by_package(tokenizers: Any, text: str) -> Any:
    """Return a tokenizer of byte-level pairs of a text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([text], tokenizers.trainers.BpeTrainer(
        vocab_size=SIZE, show_progress=False, initial_alphabet=letters))
    return tokenizer


def add(table: Table, name: str, vocabulary: Vocabulary, tokenizer: Any, text: str) -> None:
    """Add how fast both cut a text."""
    ids = vocabulary.encode(text)
    own = ids if vocabulary.tokenizer_ids is None else vocabulary.tokenizer_ids[ids]
    if own.tolist() != tokenizer.encode(text).ids:
        raise Disagreement(f"the ids of {name} are not those of tokenizers")
    ours, theirs = seconds(lambda: vocabulary.encode(text)), seconds(lambda: tokenizer.encode(text))
    size = len(text.encode()) / 1e6
    table.add(name, f"{len(ids):,}", f"{size / ours:.1f}", f"{size / theirs:.2f}", f"{theirs / ours:.0f}",
              verdict([("≥ 10 x", theirs / ours, 10.0)]))


def seconds(call: Callable[[], Any]) -> float:
    """Return the processor time of a call, the least of three."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return min(times)
