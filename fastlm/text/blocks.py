"""Text as blocks of ids, read one after another, in memory that does not grow with the text."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastlm.text.corpus import Corpus, known
from fastlm.text.scan import IdBuffer
from fastlm.text.sources.documents import Part, read_parts
from fastlm.text.sources.reading import Reading
from fastlm.text.sources.token_lists import IdLists
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_NEWLINE = ord("\n")
TOKENS = 1 << 19   # of a block, about: its ids and their losses take 8 MB


@dataclass(frozen=True, eq=False)
class Block:
    """Ids of documents that follow one another. ``ids`` (N,) int32; ``offsets`` (D+1,) int64: document d is
    ids[offsets[d]:offsets[d+1]]. ``goes_on``: whether the first one goes on with the last one of the block before, and
    ``unended`` whether the last one goes on in the block after. ``unknown_at`` (n,) int64, ascending: where the
    vocabulary lacks a token. ``bytes`` (D,) int64: the UTF-8 bytes of each document. ``figures`` (k, D): those of the
    meter that watched, none where there was none."""

    ids: Array
    offsets: Array
    goes_on: bool
    unended: bool
    unknown_at: Array
    bytes: Array
    figures: Array


class Meter(Protocol):
    """What looks at a text while it is read, such as `coding.meter.TextMeter`."""

    def add(self, text: bytes, ids: Array, ends: Array | None = None, ended: bool = True) -> None:
        """Look at documents that end at `ends` in a text, or at one document or a part of it, and their ids, -1 where
        unknown."""

    def take(self) -> Array:
        """Return the figures (k, D) of each document since the last call."""


def read_blocks(source: Any, vocabulary: Vocabulary, documents: str = "file", meter: Meter | None = None,
                tokens: int = TOKENS, **reading: Any) -> Iterator[Block]:
    """Yield the ids of a source in blocks of about `tokens` tokens; the arguments and errors are those of
    `Corpus.read`, of which all blocks together have the ids.

    meter: what looks at the text on the way; its figures are those of the blocks.

    >>> [block.ids.tolist() for block in read_blocks(["I am", "am"], Vocabulary(["I", "am"]), tokens=1)]
    [[0, 1], [1]]
    """
    if isinstance(source := known(source), Corpus | IdLists):
        yield _of_ids(Corpus.read(source, vocabulary), meter)
        return
    options = Reading.of({"normalize": vocabulary.normalize or "none", **reading})
    filler = _Filler(vocabulary, documents, meter)
    for part in read_parts(source, documents, vocabulary.unit, reading=options):
        filler.add(part)
        if filler.buffer.size >= tokens:
            yield filler.block()
    if filler.sizes:
        yield filler.block()


def _of_ids(corpus: Corpus, meter: Meter | None) -> Block:
    """Return a corpus as one block, of whose documents no bytes are known."""
    sizes = np.zeros(len(corpus.offsets) - 1, np.int64)
    figures = np.zeros((0 if meter is None else len(meter.take()), len(sizes)))
    return Block(corpus.ids, corpus.offsets, False, False, corpus.unknown_at, sizes, figures)


class _Filler:
    """Scans parts of a text into a buffer, and makes a block of it."""

    def __init__(self, vocabulary: Vocabulary, documents: str, meter: Meter | None) -> None:
        self._vocabulary, self._of_files, self._meter = vocabulary, documents == "file", meter
        self.buffer = IdBuffer()
        self._ends, self.sizes = array("q", [0]), array("q")   # of the documents in the buffer
        self._open = self._goes_on = False   # whether the last document has not ended, and whether the first had begun
        self._ends_line = False              # whether what was scanned of it ends a line
        self._some = False                   # whether it has any text
        self._unknown: list[Array] = []

    def add(self, part: Part) -> None:
        """Scan one part."""
        newline = self._vocabulary.end_of_line
        if not part.lines:
            self._add_document(part.name, part.text, part.ends)
        elif newline is None or self._vocabulary.unit == "piece" or self._vocabulary.end_of_document is not None:
            for line in io.BytesIO(part.text):
                self._add_document(part.name, line, True)
        elif part.text:
            begin = self.buffer.size
            ends = np.flatnonzero(np.frombuffer(part.text, np.uint8) == _NEWLINE) + 1
            if not part.text.endswith(b"\n"):
                ends = np.append(ends, len(part.text))
            self._scan(part.name, part.text, ends, ends_line=True)
            self._ends.extend((np.flatnonzero(self.buffer.ids[begin:] == newline) + begin + 1).tolist())
            self.sizes.extend(np.diff(ends, prepend=0).tolist())

    def _add_document(self, name: str, text: bytes, ends: bool) -> None:
        unit, newline, begin = self._vocabulary.unit, self._vocabulary.end_of_line, self.buffer.size
        if not self._open:
            self._some = self._ends_line = False
            self.sizes.append(0)
            self._ends.append(begin)
        self.sizes[-1] += len(text)
        self._some = self._some or bool(text)
        unended = not text.endswith(b"\n")
        self._scan(name, text, None, ends, ends and unended and unit != "word" and not self._of_files)
        if self.buffer.size > begin:
            self._ends_line = self.buffer.ids[-1] == newline
        if ends and unit == "word" and newline is not None and unended and self._some and not self._ends_line:
            self.buffer.append(np.array([newline]))
        if ends and self._some and self._vocabulary.end_of_document is not None:
            self.buffer.append(np.array([self._vocabulary.end_of_document]))
        self._open = not ends
        self._ends[-1] = self.buffer.size

    def _scan(self, name: str, text: bytes, ends: Array | None, ended: bool = True, ends_line: bool = False) -> None:
        begin = self.buffer.size
        self._vocabulary.scan(text + b"\n" if ends_line and not text.endswith(b"\n") else text, self.buffer)
        if self._meter is not None:
            self._meter.add(text, self.buffer.ids[begin:], ends, ended)
        missing = self._vocabulary.settle(self.buffer.ids[begin:], name, text)
        if missing.size:
            self._unknown.append(missing + begin)

    def block(self) -> Block:
        """Return what was scanned since the last block."""
        offsets = np.array(self._ends, np.int64)
        unknown = np.concatenate([np.zeros(0, np.int64), *self._unknown])
        sizes = np.array(self.sizes, np.int64)
        figures = np.zeros((0, len(sizes))) if self._meter is None else self._meter.take()
        out = Block(self.buffer.finish(), offsets, self._goes_on, self._open, unknown, sizes, figures)
        self.buffer.size, self._unknown = 0, []
        self._ends, self.sizes, self._goes_on = array("q", [0]), array("q"), self._open
        if self._open:
            self._ends.append(0)
            self.sizes.append(0)
        return out
