"""One pass over a source: provisional ids and their counts, then the choice of the tokens that are kept."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastlm._core import WordTable
from fastlm.text.pieces import (
    LearntPieces,
    PieceSettings,
    cut_segments,
    encoder,
    expand_segments,
    learn,
    segment_scanner,
)
from fastlm.text.scan import Scanner, char_scanner, scan_bytes, word_scanner
from fastlm.text.sources.reading import Reading, check_choice
from fastlm.text.stored import parts
from fastlm.text.tokenizers.given import GivenTally, given_unit
from fastlm.text.tokens import BYTES, NEWLINE, UNITS, UNKNOWN, insert_end

_CODE_POINTS = 0x110000
_NAMED = 320   # bytes of memory of a token of a vocabulary while it is made: two million words took 374 with the table
FOLDED = 0.1   # of the text, at most, are words seen once that are read as unknown ones, so that these are predicted
MOST_LEFT_OUT = 1 << 17   # tokens that are remembered with their counts, so that their spelling can be learnt


def tally_of(unit: Any, min_count: int, max_size: int | None, pieces: PieceSettings | None,
             reading: dict[str, Any]) -> tuple["Tally | GivenTally", Reading]:
    """Return the tally of a unit or of a tokenizer that stands in its place, and how texts are read for it.

    Raises TypeError or ValueError for what is neither, for limits that do not fit it, and for options of reading.
    """
    options, given = Reading.of(reading), given_unit(unit)
    if given is None:
        return Tally(unit, min_count, max_size, pieces), options
    if options.normalize == "auto":
        options = options.but(normalize=given.normalize or "none")
    return GivenTally(given, min_count, max_size), options


class Tally:
    """Counts of tokens under provisional ids: of words, and of the segments that pieces are cut from, in the order of
    their first use, of code points and bytes as their own values."""

    def __init__(self, unit: str, min_count: int = 1, max_size: int | None = None,
                 pieces: PieceSettings | None = None) -> None:
        check_choice("unit", unit, UNITS)
        if unit == "byte" and (min_count != 1 or max_size is not None):
            raise ValueError(f"min_count = {min_count}, max_size = {max_size}; bytes always have 256 tokens")
        if min_count < 1:
            raise ValueError(f"min_count = {min_count}; expected at least 1")
        if max_size is not None and max_size < 2:
            raise ValueError(f"max_size = {max_size}; expected at least 2, for {UNKNOWN} and the end of line")
        if unit == "piece" and (min_count != 1 or (max_size is not None and max_size < 256)):
            raise ValueError(f"min_count = {min_count}, max_size = {max_size}; of pieces none is left out, and there "
                             "are at least 256")
        self.unit, self._min_count, self._max_size = unit, min_count, max_size
        self._settings = pieces or PieceSettings()
        known = b"" if unit == "piece" else b"<unk>\n"
        self._table = WordTable(np.frombuffer(known, np.uint8), np.array([0, 5, 6] if known else [0]))
        self.scan: Scanner
        self.unknown: int  # none in bytes
        if unit == "word":
            self.scan, self.unknown, self.newline = word_scanner(self._table.learn, 1), 0, 1
        elif unit == "char":
            self.scan, self.unknown, self.newline = char_scanner(), _CODE_POINTS, ord(NEWLINE)
        elif unit == "piece":
            self.scan, self.unknown, self.newline = segment_scanner(self._table), -1, ord(NEWLINE)
        else:
            self.scan, self.unknown, self.newline = scan_bytes, -1, ord(NEWLINE)
        self._counts = np.zeros(2, np.int64)
        self._left_out: dict[str, int] = {}

    def count(self, ids: np.ndarray) -> None:
        """Add the occurrences of provisional ids (n,)."""
        for _, part in parts(ids):
            counts = np.bincount(part, minlength=len(self._counts))
            counts[: len(self._counts)] += self._counts
            self._counts = counts

    def learn(self) -> tuple[LearntPieces, tuple[np.ndarray, np.ndarray]]:
        """Return the pieces that the counted segments are best made of, and every segment cut into them, as
        `pieces.cut_segments` returns it."""
        blob, offsets = self._table.arrays()
        times = np.zeros(len(offsets) - 1, np.int64)
        times[: len(self._counts)] = self._counts[: len(times)]
        size = self._settings.size(int(np.diff(offsets) @ times)) if self._max_size is None else self._max_size
        learnt = learn(blob, offsets, times, size, self._settings)
        return learnt, cut_segments(encoder(learnt.names, learnt.merges), blob, offsets)

    def arguments(self, ended: int) -> tuple[dict[str, Any], Any]:
        """Return the arguments of the `Vocabulary` of learnt pieces, and a function of (segments, offsets) that returns
        their ids and offsets. ended: how many documents a token of their own ends, 0 for none."""
        learnt, cut = self.learn()
        names = [name.decode("utf-8", "surrogateescape") for name in learnt.names]
        counts, merges, end = learnt.counts, learnt.merges, None
        if ended:
            names, counts, end = insert_end(names, counts, ended)
            merges, cut = merges + (merges >= end), (cut[0] + (cut[0] >= end), cut[1])
        return {"tokens_by_id": names, "unit": "piece", "counts": counts, "merges": merges.astype(np.int32),
                "end_of_document": end}, partial(expand_segments, cut[0].astype(np.int32), cut[1])

    def choose(self, fold: bool = False) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return (tokens, counts int64 (V,), the id of every provisional id, int32).

        The most frequent token comes first, ties in the order of their bytes. Tokens that are left out are counted
        and mapped as the unknown token. fold: whether words seen once are left out, too, where that leaves at least
        nine tenths of the text as it is and the text holds no ``<unk>`` itself.
        """
        if self.unit == "byte":
            counts = np.zeros(256, np.int64)
            counts[: len(self._counts)] = self._counts
            return list(BYTES), counts, np.arange(256, dtype=np.int32)
        provisional, name = self._names()
        counts = np.zeros(len(provisional), np.int64)
        counted = provisional < len(self._counts)
        counts[counted] = self._counts[provisional[counted]]
        unknown = int(np.searchsorted(provisional, self.unknown))
        newline = int(np.searchsorted(provisional, self.newline))
        others = np.ones(len(counts), bool)
        others[[unknown, newline]] = False
        once = int(np.count_nonzero(others & (counts == 1)))
        folded = fold and self.unit == "word" and counts[unknown] == 0 and 0 < once <= FOLDED * counts.sum()

        # Only what is kept is named: of a large vocabulary most words occur once.
        found = np.flatnonzero(others & (counts >= max(self._min_count, 2 if folded else 1)))
        named = {n: name(n) for n in [unknown, newline, *found.tolist()]}
        by_bytes = np.array(sorted(named, key=named.__getitem__))
        ranked = by_bytes[np.argsort(-counts[by_bytes], kind="stable")]
        ranked = ranked[(ranked != unknown) & (ranked != newline)]
        if self._max_size is not None:
            ranked = ranked[: self._max_size - 2]
        kept = np.concatenate([[unknown, newline], ranked])
        self._leave_out(name, counts, kept, unknown)
        counts[unknown] += counts.sum() - counts[kept].sum()
        rank = np.full(len(counts), len(counts))
        rank[by_bytes] = np.arange(len(by_bytes))
        if folded:
            rank[unknown] = len(counts)
        kept = kept[np.lexsort((rank[kept], -counts[kept]))]

        mapping = np.full(provisional[-1] + 1, np.flatnonzero(kept == unknown)[0], np.int32)
        mapping[provisional[kept]] = np.arange(len(kept), dtype=np.int32)
        return [named[n].decode() for n in kept.tolist()], counts[kept], mapping

    @property
    def different(self) -> int:
        """How many different words or segments have been met."""
        return len(self._table)

    @property
    def memory(self) -> int:
        """How many bytes of memory the words or segments take, and will take once they are tokens."""
        named = self.unit == "word" and self._min_count == 1 and self._max_size is None
        return self._table.nbytes + (_NAMED * self.different if named else 0)

    def left_out(self) -> dict[str, int]:
        """Return the tokens that `choose` left out, and `<unk>` where the text has it, with their counts.

        Of more than `MOST_LEFT_OUT` they are some, evenly spaced in the order of their first use.
        """
        return self._left_out

    def _leave_out(self, name: Callable[[int], bytes], counts: np.ndarray, kept: np.ndarray, unknown: int) -> None:
        out = counts > 0
        out[kept] = False
        out[unknown] = counts[unknown] > 0
        found = np.flatnonzero(out)
        step = -(-len(found) // MOST_LEFT_OUT) or 1
        self._left_out = {name(n).decode(): int(counts[n]) for n in found[::step].tolist()}

    def _names(self) -> tuple[np.ndarray, Callable[[int], bytes]]:
        """Return the provisional ids in use, ascending, and a function that gives the UTF-8 of the n-th token."""
        if self.unit == "word":
            blob, offsets = self._table.arrays()
            text = blob.tobytes()
            return np.arange(len(offsets) - 1), lambda n: text[offsets[n]: offsets[n + 1]]
        codes = np.union1d(np.flatnonzero(self._counts), [ord(NEWLINE)])
        return np.append(codes, _CODE_POINTS), lambda n: (chr(codes[n]) if n < len(codes) else UNKNOWN).encode()
