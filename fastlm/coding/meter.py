"""What a text costs beyond its token ids: counted while it is read."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from fastlm import _core
from fastlm.coding.spacing import Gaps
from fastlm.coding.spelling import Spelling, symbols_of
from fastlm.text.tokens import NEWLINE
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_TOGETHER = 1 << 16    # bytes of documents that are looked at by one call, since most documents are short


class TextMeter:
    """Adds up, document by document, what the ids of a text do not say.

    ``spelling_nats``: -log p of the spellings of all unknown tokens; ``spacing_nats``: of all white space between
    words; ``words``: how many blank-separated words and ends of lines there are, the last one counted where it lacks.
    They are complete after `finish`.

    >>> meter = TextMeter(Vocabulary(["a", "<unk>", "\\n"]), Spelling.learn({"b": 9}))
    >>> meter.add(b"a b\\n", np.array([0, -1, 2])); meter.finish().words
    3
    """

    def __init__(self, vocabulary: Vocabulary, spelling: Spelling | None) -> None:
        self.vocabulary, self.spelling = vocabulary, spelling
        self.spelling_nats, self.spacing_nats, self.words = 0.0, 0.0, 0
        self._texts: list[bytes] = []
        self._unknown: list[Array] = []
        self._bytes, self._tokens = 0, 0

    def add(self, text: bytes, ids: Array) -> None:
        """Read on: one document as bytes, and the ids (n,) of its tokens as `Vocabulary.scan` gives them, -1 where
        unknown."""
        self.words += _core.count_words(text)[0] + (bool(text) and not text.endswith(b"\n"))
        if self.spelling is None or self.vocabulary.unit not in ("word", "char"):
            return
        missing = ids < 0
        if self.vocabulary.unknown is not None:
            missing |= ids == self.vocabulary.unknown
        unknown = np.flatnonzero(missing)
        if self.vocabulary.unit == "char":
            if len(unknown):
                characters = text.decode() + NEWLINE
                spelt = symbols_of(characters[index].encode() for index in unknown.tolist())
                self.spelling_nats += float(self.spelling.nats_of_symbols(spelt).sum())
            return
        self._unknown.append(unknown + self._tokens)
        self._tokens += len(ids)
        self._texts.append(text)
        self._bytes += len(text)
        if self._bytes >= _TOGETHER:
            self._read()

    def finish(self) -> TextMeter:
        """Count what was added last; return the meter itself."""
        if self._texts:
            self._read()
        return self

    def _read(self) -> None:
        assert self.spelling is not None and self.spelling.spacing is not None
        text, unknown = b"".join(self._texts), np.concatenate(self._unknown)
        ends = np.array([*accumulate(map(len, self._texts))], np.uintp)
        self._texts, self._unknown, self._bytes, self._tokens = [], [], 0, 0
        tokens, seen = 0, 0
        for gaps in Gaps.read(text, ends, self.vocabulary.end_of_line is not None):
            self.spacing_nats += self.spelling.spacing.nats(gaps, text)
            where = np.flatnonzero(~gaps.ends_document)
            upto = int(np.searchsorted(unknown, tokens + len(where)))
            here = where[unknown[seen:upto] - tokens]
            spelt = symbols_at(text, gaps.begin[here], gaps.end[here])
            self.spelling_nats += float(self.spelling.nats_of_symbols(spelt).sum())
            tokens, seen = tokens + len(where), upto


def symbols_at(text: bytes, begin: Array, end: Array) -> Array:
    """Return the bytes of text[begin:end] of each token (n,) as symbols int32, the end of a spelling after each.

    >>> symbols_at(b"ab c", np.array([0, 3]), np.array([2, 4])).tolist()
    [97, 98, 256, 99, 256]
    """
    begin, lengths = begin.astype(np.int64), (end - begin).astype(np.int64)
    stops = np.cumsum(lengths)
    at = np.repeat(begin - (stops - lengths), lengths) + np.arange(int(stops[-1]) if len(stops) else 0)
    out = np.frombuffer(text, np.uint8)[at].astype(np.int32)
    return np.insert(out, stops, 256).astype(np.int32)
