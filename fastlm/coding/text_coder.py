"""A text as a sequence of symbols with probabilities: what an arithmetic coder writes, and reads back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from fastlm import _core
from fastlm.coding.known import Unknown
from fastlm.coding.spacing import SPACES, spelt_row
from fastlm.coding.symbols import END
from fastlm.language_model import LanguageModel

Array = np.ndarray
Code = Callable[[Array, int | None], int]   # writes the symbol that is given, or reads one where it is None; returns it
START, BLANK, LINE, WORD = 0, 1, 2, 5       # what stands before a gap, and what follows; see csrc/words.h
TO_LINE, TO_WORD, TO_END = 0, 1, 2
_STOPS, _OPENS = b".!?", b":{(["


class TextCoder:
    """Codes the documents of a text, one symbol after another, by the distributions of a language model.

    lm: the model; code: see `Code`; lines: whether every line is a document; writes: which of the two it is. Tokens,
    spellings and gaps come in the order in which a reader can use them: a token, the gap before it, and its spelling
    where it is unknown. Both sides call the same methods, the writer with what it writes, the reader with None.
    """

    def __init__(self, lm: LanguageModel, code: Code, lines: bool, writes: bool) -> None:
        self._lm, self._code, self._writes, vocabulary = lm, code, writes, lm.vocabulary
        self.unit, self.unknown, self.newline = vocabulary.unit, vocabulary.unknown, vocabulary.end_of_line
        self._end = vocabulary.end_of_document
        self.lines = lines and self.newline is not None
        self._logp = np.empty((2, len(vocabulary)), np.float32)
        self._spelt = np.empty((2, END + 1), np.float32)
        self._escape = lm.spelling.escape
        spacing = lm.spelling.spacing
        self._table = None if spacing is None else spacing.table
        self._listed = [] if spacing is None else spacing.listed
        self._symbols = {gap: symbol for symbol, gap in enumerate(self._listed, 1)}
        self.begin()

    @property
    def ends_line(self) -> bool:
        """Whether the last token of the document was an end of line."""
        return BLANK <= self._previous < WORD

    def begin(self) -> None:
        """Begin a document."""
        self._state = self._lm.start()
        self._previous = START
        self._before = [len(self._listed) + 1] * 6   # no gap yet of any sort

    def end(self, gap: bytes | None = None, most: int = 0) -> bytes:
        """Write or read the end of a document, of words with the gap before it, and begin the next one; return the
        gap. Raises ValueError where something else is read."""
        if self._end is not None and self.token(self._end if self._writes else None) != self._end:
            raise ValueError("a document goes on after its end")
        found = self.gap(TO_END, gap, most if gap is None else len(gap)) if self.unit == "word" else b""
        self.begin()
        return found

    def token(self, id: int | None) -> int:
        """Write or read the id of the next token; return it."""
        logp, p = self._logp[:1], self._logp[1:]
        self._state.log_probabilities(logp[0])
        _core.softmax(p, logp)
        if self._escape:
            p *= np.float32(1 - self._escape)
            p[0, self.unknown] += np.float32(self._escape)
        id = self._code(p[0], id)
        self._state.advance(id)
        return id

    def spelling(self, token: bytes | None, most: int) -> bytes:
        """Write or read the bytes of an unknown token; return them. Raises ValueError for more than `most`, as in a
        damaged text."""
        model, out, unknown = self._lm.spelling.model, bytearray(), Unknown(self._lm.spelling.known)
        stepper = model.stepper(model.start())
        row = stepper.advance(END)
        for n in count():
            logp, p = self._spelt[:1], self._spelt[1:]
            model.head.write(logp, row)
            _core.softmax(p, logp)
            symbol = self._code(unknown.row(p[0]).astype(np.float32),
                                None if token is None else token[n] if n < len(token) else END)
            if symbol == END:
                return bytes(out)
            out.append(symbol)
            _check_length(out, most)
            unknown.advance(symbol, float(p[0, symbol]))
            row = stepper.advance(symbol)
        raise AssertionError("a spelling has an end")

    def gap(self, follows: int, gap: bytes | None, most: int) -> bytes:
        """Write or read the gap before what follows; return it. Raises ValueError for more than `most` bytes."""
        assert self._table is not None
        sort = (3 if self._previous >= WORD else 0) + follows
        row = self._table[3 * self._previous + follows, self._before[sort]]
        symbol = self._code(row, None if gap is None else self._symbols.get(gap, 0))
        self._before[sort] = symbol
        found = self._listed[symbol - 1] if symbol else self._spelt_gap(gap, most)
        _check_length(found, most)
        return found

    def _spelt_gap(self, gap: bytes | None, most: int) -> bytes:
        out, last = bytearray(), None
        for n in count():
            known = None if gap is None else SPACES.index(gap[n]) if n < len(gap) else len(SPACES)
            symbol = self._code(spelt_row(last), known)
            if symbol == len(SPACES):
                return bytes(out)
            last = SPACES[symbol]
            out.append(last)
            _check_length(out, most)
        raise AssertionError("a gap has an end")

    def passed(self, token: bytes) -> None:
        """Remember, for the gap that comes next, the token that was written: a word, or "\\n"."""
        if token == b"\n" and self.newline is not None:
            self._previous = self._previous - WORD + LINE if self._previous >= WORD else BLANK
        else:
            self._previous = WORD + (1 if token[-1] in _STOPS else 2 if token[-1] in _OPENS else 0)


def _check_length(found: bytes | bytearray, most: int) -> None:
    if len(found) > most:
        raise ValueError("the coded text does not fit the number of its bytes")
