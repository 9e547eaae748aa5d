"""What a text costs beyond its token ids: counted while it is read."""

from __future__ import annotations

from math import nan

import numpy as np

from fastlm import _core
from fastlm.coding.spacing import SPACES, Gaps
from fastlm.coding.spelling import Spelling
from fastlm.coding.symbols import symbols_at, symbols_of
from fastlm.text.tokens import NEWLINE, TOKENIZER
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
TOGETHER = 1 << 16     # bytes of documents that are looked at by one call, since most documents are short
_IS_SPACE = np.zeros(256, bool)
_IS_SPACE[list(SPACES)] = True
_TABS_AS_LETTERS = bytes.maketrans(b"\v\f", b"\x1e\x1f")   # where words hold them, see `Vocabulary.tabs_inside`


class TextMeter:
    """Adds up, document by document, what the ids of a text do not say.

    ``spelling_nats``: -log p of the spellings of all unknown tokens; ``spacing_nats``: of all white space between
    words; ``words``: how many blank-separated words and ends of lines there are, the last one counted where it lacks.
    Where a user's tokenizer does not turn the ids of a text into exactly this text again, the spelling is nan: nothing
    says how likely what is lost is.
    They are complete after `finish`. `take` gives them for each document. together: bytes of words whose white space is
    looked at by one call.

    >>> from fastlm.coding.spacing import Spacing
    >>> meter = TextMeter(Vocabulary(["a", "<unk>", "\\n"]), Spelling.learn({"b": 9}, spacing=Spacing.usual()))
    >>> meter.add(b"a b\\n", np.array([0, -1, 2])); meter.finish().words
    3
    """

    def __init__(self, vocabulary: Vocabulary, spelling: Spelling | None, together: int = TOGETHER) -> None:
        self.vocabulary, self.spelling, self._together = vocabulary, spelling, together
        self.spelling_nats, self.spacing_nats, self.words = 0.0, 0.0, 0
        self._figures = np.zeros((3, 0))   # of documents since the last `take`: nats of spelling, of spacing; words
        self._open = False                 # whether the last document goes on
        self._some = self._inside = self._ends_line = False   # what the open document has, and how it ends so far
        # What is still to be read of words: texts, where documents end in them, and which tokens are unknown.
        self._texts: list[bytes] = []
        self._ends: list[Array] = []
        self._unknown: list[Array] = []
        self._bytes, self._tokens, self._read_to = 0, 0, 0
        self._reader: _core.GapReader | None = None

    def add(self, text: bytes, ids: Array, ends: Array | None = None, ended: bool = True) -> None:
        """Read on: documents as bytes, and the ids (n,) of their tokens as `Vocabulary.scan` gives them, -1 where
        unknown.

        ends (D,): where each document ends in the text; None for one, or the part of one that goes on from the last
        part. ended: whether the last document ends with the text; where it does not, the text ends with a word.
        """
        if self.vocabulary.tabs_inside:
            text = text.translate(_TABS_AS_LETTERS)
        first = self._figures.shape[1] - self._open
        edges = np.array([len(text)]) if ends is None else ends
        self._figures = np.concatenate([self._figures, np.zeros((3, len(edges) - self._open))], axis=1)
        words = self._count_words(text, ended) if ends is None else _words_of(text, edges)
        self._figures[2, first:] += words
        self.words += int(np.sum(words))
        if self._open and self._ends:
            self._ends[-1] = self._ends[-1][:-1]   # there the document has not ended
        self._open = not ended
        if self.vocabulary.unit == TOKENIZER and not self._gives_back(text, ids):
            self.spelling_nats = self._figures[0, first] = nan
        if self.spelling is None or self.vocabulary.unit not in ("word", "char"):
            return
        missing = ids < 0
        if self.vocabulary.unknown is not None:
            missing |= ids == self.vocabulary.unknown
        unknown = np.flatnonzero(missing)
        if self.vocabulary.unit == "char":
            if len(unknown):
                self._spell_characters(text, unknown, edges, first)
            return
        self._unknown.append(unknown + self._tokens)
        self._ends.append(edges + self._bytes)
        self._tokens += len(ids)
        self._texts.append(text)
        self._bytes += len(text)
        if self._bytes >= self._together:
            self._read()

    def _gives_back(self, text: bytes, ids: Array) -> bool:
        """Return whether the tokenizer turns the ids of a document, or a part of it, into exactly its text again, but
        for the end of a line, with which every document that is a line is read."""
        return bool((ids >= 0).all()) and self.vocabulary.decode(ids) in (text.decode(), text.decode() + NEWLINE)

    def finish(self) -> TextMeter:
        """Count what was added last; return the meter itself."""
        if self._texts:
            self._read()
        return self

    def take(self) -> Array:
        """Return the figures (3, D) of the documents added since the last call, one that goes on included: nats of
        spelling, nats of spacing, words. Of a document that goes on, the next call returns the rest."""
        self.finish()
        figures, self._figures = self._figures, np.zeros((3, int(self._open)))
        self._read_to = 0
        return figures

    def _count_words(self, text: bytes, ended: bool) -> int:
        """Return the words and ends of lines of a document, or of a part of one."""
        words, inside = _core.count_words(text, self._inside)
        if text:
            self._some, self._ends_line = True, text.endswith(b"\n")
        if not ended:
            self._inside = inside
            return words
        words += self._some and not self._ends_line
        self._some = self._inside = self._ends_line = False
        return words

    def _spell_characters(self, text: bytes, unknown: Array, edges: Array, first: int) -> None:
        """Add the spelling of unknown characters, by their places, of documents from the number `first` on."""
        assert self.spelling is not None
        characters = text.decode() + NEWLINE
        nats = self.spelling.nats_of(symbols_of(characters[index].encode() for index in unknown.tolist()))
        codes = np.frombuffer(text, np.uint8) & 0xC0 != 0x80
        at = np.concatenate([np.flatnonzero(codes), [len(text)]])[np.minimum(unknown, int(codes.sum()))]
        document = first + np.minimum(np.searchsorted(edges, at, side="right"), len(edges) - 1)
        np.add.at(self._figures[0], document, nats)
        self.spelling_nats += float(nats.sum())

    def _read(self) -> None:
        """Read the gaps of the words that were added."""
        assert self.spelling is not None and self.spelling.spacing is not None
        text, unknown = b"".join(self._texts), np.concatenate(self._unknown)
        ends = np.concatenate(self._ends).astype(np.uintp)
        self._texts, self._unknown, self._ends, self._bytes, self._tokens = [], [], [], 0, 0
        tokens, seen, document = 0, 0, self._read_to
        newline = self.vocabulary.end_of_line is not None
        reader = _core.GapReader(text, ends, newline, not self._open, self._reader)
        for gaps in Gaps.read(text, ends, newline, reader):
            of_gap = document + np.cumsum(gaps.ends_document) - gaps.ends_document
            spacing = self.spelling.spacing.nats(gaps, text)
            where = np.flatnonzero(~gaps.ends_document)
            upto = int(np.searchsorted(unknown, tokens + len(where)))
            here = where[unknown[seen:upto] - tokens]
            spelling = self.spelling.nats_of(symbols_at(text, gaps.begin[here], gaps.end[here]))
            np.add.at(self._figures[1], of_gap, spacing)
            np.add.at(self._figures[0], of_gap[here], spelling)
            self.spacing_nats += float(spacing.sum())
            self.spelling_nats += float(spelling.sum())
            tokens, seen, document = tokens + len(where), upto, document + int(gaps.ends_document.sum())
        self._read_to, self._reader = document, reader if self._open else None


def _words_of(text: bytes, ends: Array) -> Array:
    """Return the words and ends of lines (D,) of documents that end at some places of a text."""
    codes, edges = np.frombuffer(text, np.uint8), np.concatenate([[0], ends])
    begins = ~_IS_SPACE[codes]
    begins[1:] &= _IS_SPACE[codes[:-1]]
    firsts = edges[:-1][edges[:-1] < len(codes)]
    begins[firsts] = ~_IS_SPACE[codes[firsts]]   # also where the document before ends without a blank
    counts = np.concatenate([[0], np.cumsum(begins + (codes == ord(NEWLINE)))])
    unended = np.zeros(len(ends), bool)
    some = np.diff(edges) > 0
    unended[some] = codes[ends[some] - 1] != ord(NEWLINE)
    return np.diff(counts[edges]) + unended
