"""A language model as ARPA text."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from fastlm import _core
from fastlm.arpa.names import BEGIN, END, Options, spelt
from fastlm.models import KneserNey
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_NEVER = "-99"          # the usual entry for the logarithm of zero
_BUFFER = 1 << 20       # bytes written at once
_LN10 = float(np.log(10))


def write(file: BinaryIO, vocabulary: Vocabulary, model: KneserNey) -> None:
    """Write a model of n-grams and its vocabulary, which has an end of line, to an open file."""
    line_end = vocabulary.boundary
    names, escapes = spelt(vocabulary)
    runs_on = model.boundary is None
    lines = _Lines(model.unpacked(), [*names, BEGIN], line_end)
    closed = vocabulary.unknown is None and vocabulary.unit != "byte"
    file.write(Options(vocabulary.unit, escapes, runs_on and len(lines.ends) > 2, closed,
                       vocabulary.end_of_document is not None).line().encode())
    file.write(b"\\data\\\n")
    for k in range(1, len(lines.ends)):
        first, last = lines.beginning(k) if runs_on and k > 1 else (0, 0)
        count = lines.ends[k] - lines.ends[k - 1] + (last - first) + (k == 1)
        file.write(f"ngram {k}={count}\n".encode())
    file.write(b"\n\\1-grams:\n")
    lines.write_words(file, runs_on)
    for k in range(2, len(lines.ends)):
        file.write(f"\n\\{k}-grams:\n".encode())
        lines.write(file, (lines.ends[k - 1], lines.ends[k]), k, as_begin=not runs_on)
        if runs_on:
            lines.write(file, lines.beginning(k), k, as_begin=True)
    file.write(b"\n\\end\\\n")


class _Lines:
    """Writes the n-grams of plain tables. names: the spelling of every word, and last that of the beginning of a line.

    Attribute ends: level k is the nodes ends[k - 1] to ends[k].
    """

    def __init__(self, tables: dict[str, Array], names: list[str], line_end: int) -> None:
        self._tables, self._line_end, self._begin = tables, line_end, len(names) - 1
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._blob = np.frombuffer(b"".join(encoded), np.uint8)
        self._offsets = np.concatenate([[0], np.cumsum([len(name) for name in encoded])]).astype(np.uintp)
        child, nodes = tables["child"], len(tables["word"])
        self.ends = [0, self._begin]
        while self.ends[-1] < nodes:
            at = self.ends[-1]
            self.ends.append(int(child[at]) if at < len(child) else nodes)
        self._buffer = np.empty(_BUFFER, np.uint8)

    def beginning(self, k: int) -> tuple[int, int]:
        """Return the nodes, from and to, of the n-grams of k words that begin with the end of a line."""
        first, last = self._line_end, self._line_end + 1
        for _ in range(k - 1):
            first, last = (int(self._tables["child"][h]) for h in (first, last))
        return first, last

    def write(self, file: BinaryIO, nodes: tuple[int, int], k: int, as_begin: bool) -> None:
        """Write nodes, from and to, of k words; as_begin: whether a first word that is the end of a line is <s>."""
        tables, (node, last) = self._tables, nodes
        while node < last:
            written, node = _core.write_arpa(
                self._buffer, node, last, tables["word"], tables["child"], tables["logp"], tables["backoff"],
                self._blob, self._offsets, self._line_end, self._begin if as_begin else self._line_end, k)
            if not written:
                self._buffer = np.empty(2 * len(self._buffer), np.uint8)
            file.write(self._buffer[:written].data)

    def write_words(self, file: BinaryIO, runs_on: bool) -> None:
        """Write the single words, and <s>, which no word predicts and whose backoff is that of </s>."""
        end, inner = self._line_end, len(self._tables["backoff"]) > 0
        self.write(file, (0, end), 1, False)
        logp = float(self._tables["logp"][end]) / _LN10
        backoff = float(self._tables["backoff"][end]) / _LN10 if inner else 0.0
        file.write(f"{logp:.9g}\t{END}\t{backoff if runs_on else 0:.9g}\n".encode())
        self.write(file, (end + 1, self._begin), 1, False)
        file.write(f"{_NEVER}\t{BEGIN}\t{backoff:.9g}\n".encode())
