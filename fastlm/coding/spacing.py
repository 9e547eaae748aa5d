"""The white space between words, counted by what stands on both sides of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from fastlm import _core

Array = np.ndarray
KINDS = 24                # (what stands before, what follows) of a gap: see csrc/words.h
SPACES = b" \t\n\v\f\r"
LISTED = 62               # gaps that are told by one symbol; any other is spelt. Source: an assumption
_DISCOUNT = 0.5           # taken from each count for what was not seen there; source: an assumption
_USUAL = 0.99             # of the gap that English prose has, where nothing was counted; source: an assumption
_AT_ONCE = 1 << 16        # gaps read by one call
# How an unlisted gap is spelt, byte by byte: the same byte again, the end, or one of the others. Long gaps are mostly
# runs, as of blanks before a comment in the margin. Source: an assumption.
_AGAIN, _ENDS = 0.8, 0.1


@dataclass(frozen=True)
class Gaps:
    """Gaps of a text in their order, and where each of them and its token stand in it.

    ``code``, ``before`` (n,) uint64: the gap and the one before it of the same sort; ``kind`` (n,) uint8; ``start``,
    ``begin``, ``end`` (n,) uintp: the gap is text[start:begin] and its token text[begin:end], which is empty after the
    last token of a document. csrc/words.h says what codes and kinds are.
    """

    code: Array
    before: Array
    kind: Array
    start: Array
    begin: Array
    end: Array

    @property
    def ends_document(self) -> Array:
        """Which gaps (n,) bool stand after the last token of a document."""
        return self.kind % 3 == 2

    @classmethod
    def read(cls, text: bytes, ends: Array, newline: bool, reader: _core.GapReader | None = None) -> Iterator[Self]:
        """Yield the gaps of documents that lie one after another in a text, some at a time.

        ends (D,) uintp: where each document ends; newline: whether "\\n" is a token. reader: of this text, where one is
        needed that the next text goes on with.

            >>> [gaps.code.tolist() for gaps in Gaps.read(b"a  b\\n", np.array([5], np.uintp), True)]
            [[0, 8194, 0, 0]]
        """
        reader = reader or _core.GapReader(text, ends, newline)
        room = min(_AT_ONCE, 2 * len(text) + 2 * len(ends) + 1)
        while True:
            code, before, kind = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint8)
            start, begin, end = (np.empty(room, np.uintp) for _ in range(3))
            count = reader.read(code, before, kind, start, begin, end)
            yield cls(code[:count], before[:count], kind[:count], start[:count], begin[:count], end[:count])
            if count < room:
                return


class Spacing:
    """The probability of every gap between two tokens of a text of words, given its neighbours and the gap before.

    p(gap | kind, gap before of the same sort) backs off to p(gap | kind), and that to the spacing of prose, one blank
    between words and none elsewhere. Gaps that are not listed are spelt byte by byte, so that every gap has a
    probability, and all together sum to one.

    codes (G,) uint64: the listed gaps, ascending, at most `LISTED`. keys (n, 3) int32: kind, symbol of the gap before
    and symbol of the gap, where symbol 0 is a gap that is not listed, 1 to G are those listed, and G + 1 stands before
    the first. counts (n,) int64: how often each was seen. Raises ValueError for others.

    >>> spacing = Spacing.count([b"one  two\\n", b"three  four\\n"])
    >>> [bytes(gap) for gap in spacing.listed]
    [b'', b' ', b'  ']
    """

    def __init__(self, codes: Array, keys: Array, counts: Array) -> None:
        size = len(codes)
        if codes.ndim != 1 or not 1 <= size <= LISTED or (codes[1:] <= codes[:-1]).any():
            raise ValueError(f"{codes.shape} gaps are listed; 1 to {LISTED} in ascending order were expected")
        if keys.shape != (len(counts), 3) or counts.ndim != 1 or (counts < 1).any() or (counts > 1 << 40).any():
            raise ValueError(f"keys {keys.shape} and counts {counts.shape} of gaps do not fit")
        most = np.array([KINDS, size + 2, size + 1])
        if ((keys < 0) | (keys >= most)).any():
            raise ValueError(f"a key of a gap is outside {most.tolist()}")
        self.codes, self.keys, self.counts = codes.astype(np.uint64), keys, counts
        self.listed = [gap_of_code(int(code)) for code in self.codes]

    @classmethod
    def usual(cls) -> Self:
        """Return the spacing of prose, before anything is counted."""
        codes = np.array([_core.gap_code(gap) for gap in (b"", b" ")], np.uint64)
        return cls(codes, np.zeros((0, 3), np.int32), np.zeros(0, np.int64))

    @staticmethod
    def count(texts: list[bytes], newline: bool = True) -> Spacing:
        """Return the spacing of texts, each a document; newline: whether "\\n" is a token."""
        counter = GapCounter(newline)
        for text in texts:
            counter.add(text)
        return counter.spacing()

    def symbols(self, codes: Array) -> Array:
        """Return the symbols (n,) int64 of gaps (n,) uint64: 0 for those not listed, G + 1 for none before."""
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(codes == _core.GAP_NONE, len(self.codes) + 1, np.where(self.codes[at] == codes, at + 1, 0))

    @cached_property
    def table(self) -> Array:
        """The probabilities (KINDS, G + 2, G + 1) float32 of symbols after each kind and gap before."""
        size = len(self.codes) + 1
        counts = np.zeros((KINDS, size + 1, size))
        np.add.at(counts, tuple(self.keys.T), self.counts)
        unseen = np.full((KINDS, size), (1 - _USUAL) / size)
        of_kind = _discounted(counts.sum(1), unseen + _USUAL * self._usual_gap())
        return np.ascontiguousarray(_discounted(counts, of_kind[:, None]), np.float32)

    def _usual_gap(self) -> Array:
        """Return 1 at the symbol of the usual gap of every kind, 0 elsewhere: (KINDS, G + 1)."""
        out = np.zeros((KINDS, len(self.codes) + 1))
        empty, blank = self.symbols(np.array([_core.gap_code(b""), _core.gap_code(b" ")], np.uint64)).tolist()
        for kind in range(KINDS):
            out[kind, blank if is_between_words(kind) else empty] = 1
        return out

    def nats(self, gaps: Gaps, text: bytes) -> Array:
        """Return -log p (n,) float64 of each of the gaps of a text."""
        symbols = self.symbols(gaps.code)
        nats = -np.log(self.table[gaps.kind, self.symbols(gaps.before), symbols].astype(np.float64))
        for index in np.flatnonzero(symbols == 0).tolist():
            nats[index] += spelt_nats(text[gaps.start[index]: gaps.begin[index]])
        return nats


def _discounted(counts: Array, shorter: Array) -> Array:
    """Return (c - D [c > 0] + D n shorter) / sum of c over the last axis, n being how many c > 0; shorter where the sum
    is 0. Ney, Essen & Kneser 1994, absolute discounting."""
    total, different = counts.sum(-1, keepdims=True), (counts > 0).sum(-1, keepdims=True)
    kept = counts - _DISCOUNT * (counts > 0) + _DISCOUNT * different * shorter
    return np.where(total > 0, kept / np.maximum(total, 1), shorter)


def is_between_words(kind: int) -> bool:
    """Return whether gaps of a kind stand between two words, where they cannot be empty."""
    return kind // 3 >= 5 and kind % 3 == 1


def gap_of_code(code: int) -> bytes:
    """Return the white space that a code tells. Raises ValueError for a number that is no code of a gap.

    >>> gap_of_code(2 << 13 | 3)
    b'\\t\\t\\t'
    """
    gap = b"".join(SPACES[(run >> 13) - 1: run >> 13] * (run & 8191) for run in (code >> shift & 0xFFFF
                                                                              for shift in (0, 16, 32, 48)))
    if _core.gap_code(gap) != code:
        raise ValueError(f"{code:#x} is no code of a gap")
    return gap


def spelt_rows(gap: bytes) -> Iterator[tuple[Array, int]]:
    """Yield the probabilities (7,) float32 of each byte of a gap that is not listed, and which it is; 6 is the end."""
    last = None
    for byte in [*gap, None]:
        yield spelt_row(last), 6 if byte is None else SPACES.index(byte)
        last = byte


def spelt_row(last: int | None) -> Array:
    """Return the probabilities (7,) float32 of the next byte of a gap after its last one, None at its beginning."""
    if last is None:
        return np.full(7, 1 / 7, np.float32)
    row = np.full(7, (1 - _AGAIN - _ENDS) / 5, np.float32)
    row[SPACES.index(last)], row[6] = _AGAIN, _ENDS
    return row


def spelt_nats(gap: bytes) -> float:
    """Return -log p of the bytes of a gap that is not listed.

    >>> round(spelt_nats(b"  "), 4)   # 1/7, 0.8, 0.1
    4.4716
    """
    if not gap:
        return float(np.log(7))
    bytes_of = np.frombuffer(gap, np.uint8)
    again = int((bytes_of[1:] == bytes_of[:-1]).sum())
    other = len(gap) - 1 - again
    return float(np.log(7) - again * np.log(_AGAIN) - other * np.log((1 - _AGAIN - _ENDS) / 5) - np.log(_ENDS))


class GapCounter:
    """Counts the gaps of texts, for a `Spacing`: of all of a text, or evenly spaced parts of a long one.

    newline: whether "\\n" is a token. first: bytes up to which everything is counted; share: of what comes after them,
    which share is counted, in parts of `part` bytes; most: bytes after which nothing more is counted.
    """

    def __init__(self, newline: bool = True, first: int = 1 << 60, share: float = 1.0, part: int = 1 << 16,
                 most: int = 1 << 60) -> None:
        self.newline, self.first, self.share, self.part, self.most = newline, first, share, part, most
        self._counts: dict[tuple[int, int, int], int] = {}
        self._read, self._counted = 0, 0

    def sample(self, text: bytes, ends: Array | None = None) -> None:
        """Count the gaps of a document, or of several that end at `ends` (D,), or of some parts of it, each from an end
        of line to an end of line."""
        self._read += len(text)
        allowed = min(self.most, int(self.first + self.share * max(0, self._read - self.first)))
        room = min(len(text), allowed - self._counted)
        if room == len(text):
            self.add(text, edges=ends)
            self._counted += len(text)
            return
        parts = max(0, room) // self.part
        for index in range(parts):
            at = (len(text) - self.part) * index // max(1, parts - 1)
            first = text.find(b"\n", at, at + self.part) + 1 if at else 0
            last = text.rfind(b"\n", at, at + self.part) + 1
            if last > first and (first or not at):
                if ends is None:
                    self.add(text[first:last], begins=first == 0, ends=last == len(text))
                else:
                    self.add(text[first:last], edges=ends[slice(*np.searchsorted(ends, [first + 1, last + 1]))] - first)
        self._counted += parts * self.part

    def add(self, text: bytes, begins: bool = True, ends: bool = True, edges: Array | None = None) -> None:
        """Count the gaps of a document, or of a part of one; begins, ends: whether it is its beginning, or its end.

        edges (D,): where each of several documents ends; None for one.
        """
        edges = np.array([len(text)]) if edges is None else edges
        for gaps in Gaps.read(text, edges.astype(np.uintp), self.newline):
            kept = np.ones(len(gaps.code), bool)
            if not begins:
                kept &= gaps.kind // 3 != 0
            if not ends:
                kept &= ~gaps.ends_document
            kind = gaps.kind[kept].astype(np.int64)
            codes, which = np.unique(np.concatenate([gaps.before[kept], gaps.code[kept]]), return_inverse=True)
            before, code = which[: len(which) // 2], which[len(which) // 2:]
            keys, counts = np.unique((kind * len(codes) + before) * len(codes) + code, return_counts=True)
            for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
                rest, last = divmod(key, len(codes))
                found = (rest // len(codes), int(codes[rest % len(codes)]), int(codes[last]))
                self._counts[found] = self._counts.get(found, 0) + count

    def spacing(self) -> Spacing:
        """Return the spacing of what was counted. The gaps seen most often are listed, and the two usual ones."""
        seen: dict[int, int] = {}
        for (_, _, code), count in self._counts.items():
            seen[code] = seen.get(code, 0) + count
        usual = {_core.gap_code(b""), _core.gap_code(b" ")}
        often = sorted((code for code, count in seen.items() if count > 1 and code not in usual and is_code(code)),
                       key=lambda code: (-seen[code], code))
        codes = np.array(sorted([*usual, *often[: LISTED - 2]]), np.uint64)
        out = Spacing(codes, np.zeros((0, 3), np.int32), np.zeros(0, np.int64))
        if not self._counts:
            return out
        keys = np.array(list(self._counts), np.uint64)
        symbols = np.stack([keys[:, 0].astype(np.int64), out.symbols(keys[:, 1]), out.symbols(keys[:, 2])], axis=1)
        distinct, which = np.unique(symbols, axis=0, return_inverse=True)
        counts = np.bincount(which.reshape(-1), weights=list(self._counts.values())).astype(np.int64)
        return Spacing(codes, distinct.astype(np.int32), counts)


def is_code(code: int) -> bool:
    """Return whether a number is the code of one gap, and not of all irregular ones."""
    try:
        return gap_of_code(code) is not None
    except ValueError:
        return False
