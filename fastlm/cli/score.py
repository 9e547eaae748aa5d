"""Figures for each line, whatever the lines are."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import fastlm
from fastlm.cli.inputs import StandardInput, names_of, reading_of, source_of
from fastlm.cli.records import Record, of_json, of_row
from fastlm.scoring.score import FIGURES
from fastlm.text.sources.lines import read_lines
from fastlm.text.tokens import RAW_UNITS
from fastlm.training.progress import tell

_BYTES = 1 << 20   # of lines that are scored together


class LineScorer:
    """Scores lines in groups, and writes what is asked for of each, in their order.

    output: turns a record and its score, None for a faulty one, into text; ends_lines:
    whether every text is a line, whose end is scored too; threads: as in `LanguageModel.score`; together: lines of a
    group, by default enough for the speed of long texts.
    """

    def __init__(self, lm: fastlm.LanguageModel, output: Callable[[Record, fastlm.Score | None], str],
                 write: Callable[[str], None], ends_lines: bool = True, threads: int | None = None,
                 together: int = 4096) -> None:
        self._lm, self._output, self._write, self._ends_lines = lm, output, write, ends_lines
        self._threads, self._together = threads, together
        self._records: list[Record] = []
        self._bytes = 0
        self.lines, self.faults, self.first_fault = 0, 0, ""

    def add(self, record: Record) -> None:
        """Take the next line; where there are many, write their figures."""
        self._records.append(record)
        self._bytes += len(record.text or b"")
        if len(self._records) >= self._together or self._bytes >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the figures of the lines that were taken."""
        records, self._records, self._bytes = self._records, [], 0
        if records:
            self._write("".join(self._outputs(records)))

    def _outputs(self, records: list[Record]) -> Iterator[str]:
        texts = [self._text(record.text) for record in records if record.text is not None]
        try:
            found: Iterator[fastlm.Score | None] = iter(self._lm.score_batch(texts, self._threads))
        except ValueError:   # a token that the model lacks ends its line alone
            found = map(self._alone, texts)
        for record in records:
            score = next(found) if record.text is not None else None
            self.lines += 1
            if score is None:
                self.faults += 1
                self.first_fault = self.first_fault or record.fault or f"{record.name} has a token that the model lacks"
            yield self._output(record, score)

    def _text(self, text: bytes) -> str | bytes:
        ended = text if text.endswith(b"\n") or not self._ends_lines else text + b"\n"
        return ended if self._lm.vocabulary.unit in RAW_UNITS else ended.decode()

    def _alone(self, text: str | bytes) -> fastlm.Score | None:
        try:
            return self._lm.score(text, self._threads)
        except ValueError:
            return None


def score_lines(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write the figures of every line of files or of standard input, nan for one that is empty or no text, and say at
    the end how many those were.

    Lines are scored many at a time; those of a pipe or a terminal at the latest when there are no more of them yet, so
    that a program that writes a line and waits gets its figure.
    """
    names = figures_of(options)
    lm = fastlm.load(options.model)
    scorer = LineScorer(lm, output_of(lm, names, options), write, not options.jsonl, options.threads)
    source = [io.BufferedReader(StandardInput(scorer.flush)) if item is sys.stdin.buffer and _may_wait() else item
              for item in source_of(names_of(options.files or ["-"]))]
    try:
        for record in records_of(source, lm, options):
            scorer.add(record)
    finally:
        scorer.flush()
    if scorer.faults:
        tell(f"fastlm: {scorer.faults:,} of {scorer.lines:,} lines have nan as their figure; the first of them: "
             f"{scorer.first_fault}")


def records_of(source: list[Any], lm: fastlm.LanguageModel, options: argparse.Namespace) -> Iterator[Record]:
    """Yield the lines of a source that are of this shard, as records."""
    reading = reading_of(options).but(normalize=lm.vocabulary.normalize)
    unit = lm.vocabulary.unit
    if not options.jsonl:
        rows: Iterable[Any] = read_lines(source, unit, reading=reading)
        yield from (of_row(row) for row in _of_shard(rows, options.shard))
        return
    lines = read_lines(source, "word", reading=reading.but(format="text", text_key=None, normalize=None))
    key = options.text_key
    for line in _of_shard(lines, options.shard):
        record, key = of_json(line, key, lm.vocabulary)
        yield record


def _of_shard(rows: Iterable[Any], shard: tuple[int, int] | None) -> Iterator[Any]:
    return islice(iter(rows), shard[0] - 1, None, shard[1]) if shard else iter(rows)


def figures_of(options: argparse.Namespace) -> list[str]:
    """Return the names of the figures that were asked for; raise ValueError for one that there is not."""
    names = options.field.split(",") if options.field else ["nats" if options.closed else "total_nats"]
    for name in names:
        if name not in FIGURES:
            raise ValueError(f"--field {name}: one of {', '.join(FIGURES)} was expected")
    return names


def output_of(lm: fastlm.LanguageModel, names: list[str],
              options: argparse.Namespace) -> Callable[[Record, fastlm.Score | None], str]:
    """Return what turns a record and its score into the text that is written for it."""
    def plain(record: Record, score: fastlm.Score | None) -> str:
        return "\t".join(_figure(score, name) for name in names) + "\n"

    def with_line(record: Record, score: fastlm.Score | None) -> str:
        return plain(record, score)[:-1] + "\t" + record.written + "\n"

    def as_json(record: Record, score: fastlm.Score | None) -> str:
        figures: dict[str, Any] = {name: _for_json(score, name) for name in names}
        if options.per_token and score is not None and record.text:
            figures["token_scores"] = [{"text": token.text, "nats": token.nats, "rank": token.rank,
                                        "unknown": token.unknown}
                                       for token in lm.token_scores(_decoded(lm, record.text))]
        return json.dumps({**record.fields, **figures}, ensure_ascii=False) + "\n"

    def tokens(record: Record, score: fastlm.Score | None) -> str:
        if score is None or not record.text:
            return "nan\n"
        return "\t".join(f"{token.nats:.6f}" for token in lm.token_scores(_decoded(lm, record.text))) + "\n"

    number = 0

    def token_rows(record: Record, score: fastlm.Score | None) -> str:
        nonlocal number
        number += 1
        if score is None or not record.text:
            return f"{number}\t0\tnan\t\n"
        return "".join(f"{number}\t{n}\t{token.nats:.6f}\t{json.dumps(token.text, ensure_ascii=False)[1:-1]}\n"
                       for n, token in enumerate(lm.token_scores(_decoded(lm, record.text)), 1))
    if options.jsonl:
        return as_json
    if options.per_token:
        return token_rows if options.tsv else tokens
    return with_line if options.tsv else plain


def _decoded(lm: fastlm.LanguageModel, text: bytes) -> str | bytes:
    return text if lm.vocabulary.unit in RAW_UNITS else text.decode()


def _figure(score: fastlm.Score | None, name: str) -> str:
    value = math.nan if score is None else getattr(score, name)
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _for_json(score: fastlm.Score | None, name: str) -> float | int | None:
    value = math.nan if score is None else getattr(score, name)
    return value if math.isfinite(value) else None


def _may_wait() -> bool:
    """Return whether standard input is a pipe or a terminal rather than a file."""
    try:
        return not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
