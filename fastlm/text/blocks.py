"""Text as blocks of ids, read one after another, in memory that does not grow with the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastlm.text.corpus import Corpus, known
from fastlm.text.filling import Filler, parts_of
from fastlm.text.sources.reading import Reading
from fastlm.text.sources.token_lists import IdLists
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
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

    >>> [block.ids.tolist() for block in read_blocks(["I\\nam", "am"], Vocabulary(["I", "am"]), tokens=1)]
    [[0, 1], [1]]
    """
    if isinstance(source := known(source), Corpus | IdLists):
        yield _of_ids(Corpus.read(source, vocabulary), meter)
        return
    options = Reading.of({"normalize": vocabulary.normalize or "none", **reading})
    blocks = _Blocks(vocabulary, documents, meter)
    for part in parts_of(source, documents, vocabulary.unit, options):
        blocks.filler.add(part)
        if blocks.filler.buffer.size >= tokens:
            yield blocks.take()
    if blocks.filler.sizes:
        yield blocks.take()


def _of_ids(corpus: Corpus, meter: Meter | None) -> Block:
    """Return a corpus as one block, of whose documents no bytes are known."""
    sizes = np.zeros(len(corpus.offsets) - 1, np.int64)
    figures = np.zeros((0 if meter is None else len(meter.take()), len(sizes)))
    return Block(corpus.ids, corpus.offsets, False, False, corpus.unknown_at, sizes, figures)


class _Blocks:
    """Makes blocks of what a `Filler` has scanned."""

    def __init__(self, vocabulary: Vocabulary, documents: str, meter: Meter | None) -> None:
        self._vocabulary, self._meter = vocabulary, meter
        self.filler = Filler(vocabulary.unit, documents, vocabulary.scan, vocabulary.end_of_line,
                             vocabulary.end_of_document, self._settle)
        self._goes_on = False            # whether the first document of the next block had begun before
        self._unknown: list[Array] = []

    def _settle(self, name: str, text: bytes, ids: Array, ends: Array | None, ended: bool) -> None:
        if self._meter is not None:
            self._meter.add(text, ids, ends, ended)
        missing = self._vocabulary.settle(ids, name, text)
        if missing.size:
            self._unknown.append(missing + self.filler.buffer.size - len(ids))

    def take(self) -> Block:
        """Return what was scanned since the last block."""
        filler = self.filler
        sizes, unknown = np.array(filler.sizes, np.int64), np.concatenate([np.zeros(0, np.int64), *self._unknown])
        figures = np.zeros((0, len(sizes))) if self._meter is None else self._meter.take()
        out = Block(filler.buffer.finish(), np.array(filler.ends, np.int64), self._goes_on, filler.open, unknown, sizes,
                    figures)
        filler.clear()
        self._goes_on, self._unknown = filler.open, []
        return out
