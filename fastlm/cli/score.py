"""A figure for each line, whatever the lines are."""

from __future__ import annotations

import argparse
import io
import os
import stat
import sys
from collections.abc import Callable

import fastlm
from fastlm.cli.inputs import StandardInput, names_of, reading_of, source_of
from fastlm.text.sources.columns import Row
from fastlm.text.sources.containers import texts
from fastlm.text.sources.lines import read_lines
from fastlm.text.tokens import RAW_UNITS
from fastlm.training.progress import tell

_BYTES = 1 << 20   # of lines that are scored together


class LineScorer:
    """Scores lines in groups, and writes a figure for each, in their order.

    together: lines of a group, by default enough for the speed of long texts.
    """

    def __init__(self, lm: fastlm.LanguageModel, closed: bool, write: Callable[[str], None],
                 together: int = 4096) -> None:
        self._lm, self._closed, self._write, self._together = lm, closed, write, together
        self._rows: list[Row] = []
        self._bytes = 0
        self.lines, self.faults, self.first_fault = 0, 0, ""

    def add(self, row: Row) -> None:
        """Take the next line; where there are many, write their figures."""
        self._rows.append(row)
        self._bytes += len(row.text or b"")
        if len(self._rows) >= self._together or self._bytes >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the figures of the lines that were taken."""
        rows, self._rows, self._bytes = self._rows, [], 0
        if rows:
            self._write("".join(f"{figure:.6f}\n" for figure in self._figures(rows)))

    def _figures(self, rows: list[Row]) -> list[float]:
        lines = [self._line(row.text) for row in rows if row.text is not None]
        try:
            figures = iter(self._scores(lines))
        except ValueError:   # a token that the model lacks ends its line alone
            figures = iter([figure for line in lines for figure in self._alone(line)])
        found = [next(figures) if row.text is not None else float("nan") for row in rows]
        for row, figure in zip(rows, found, strict=True):
            self.lines += 1
            if figure != figure:
                self.faults += 1
                self.first_fault = self.first_fault or row.fault or f"{row.name} has a token that the model lacks"
        return found

    def _line(self, text: bytes) -> str | bytes:
        ended = text if text.endswith(b"\n") else text + b"\n"
        return ended if self._lm.vocabulary.unit in RAW_UNITS else ended.decode()

    def _scores(self, lines: list[str | bytes]) -> list[float]:
        scores = self._lm.score_each(texts(lines), "file")
        return [score.nats if self._closed else score.total_nats for score in scores]

    def _alone(self, line: str | bytes) -> list[float]:
        try:
            return self._scores([line])
        except ValueError:
            return [float("nan")]


def score_lines(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write a figure for every line of files or of standard input, nan for one that is empty or no text, and say at the
    end how many those were.

    Lines are scored many at a time; those of a pipe or a terminal at the latest when there are no more of them yet, so
    that a program that writes a line and waits gets its figure.
    """
    lm = fastlm.load(options.model)
    scorer = LineScorer(lm, options.closed, write)
    reading = reading_of(options).but(normalize=lm.vocabulary.normalize)
    source = [io.BufferedReader(StandardInput(scorer.flush)) if item is sys.stdin.buffer and _may_wait() else item
              for item in source_of(names_of(options.files or ["-"]))]
    try:
        for row in read_lines(source, lm.vocabulary.unit, reading=reading):
            scorer.add(row)
    finally:
        scorer.flush()
    if scorer.faults:
        tell(f"fastlm: {scorer.faults:,} of {scorer.lines:,} lines have nan as their figure; the first of them: "
             f"{scorer.first_fault}")


def _may_wait() -> bool:
    """Return whether standard input is a pipe or a terminal rather than a file."""
    try:
        return not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
