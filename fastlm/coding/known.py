"""Tokens that are never spelt, because a vocabulary knows them: their probability goes to all other spellings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from fastlm.coding.symbols import END, nats_of_spellings, symbols_of
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
_MOST = 1 - 1e-6    # of all spellings are taken to be known ones at most, since their sum has the errors of float32


@dataclass(frozen=True)
class KnownSpellings:
    """The spellings that never follow ``<unk>``: those of the known tokens, and the empty one.

    What is left has p(spelling) / (1 - share), ``share`` being the probability of all of these together. Symbol by
    symbol, as a coder needs it, p(c | prefix) becomes p(c | prefix) (1 - k(prefix c)) / (1 - k(prefix)), where
    k(prefix) is the probability that a spelling which begins so is a known one.

    ``symbols`` (n,) int32: of these spellings, in the order of their bytes; ``starts`` (T,) int64: where each begins;
    ``p`` (T,) float64: its probability.
    """

    symbols: Array
    starts: Array
    p: Array

    @classmethod
    def of(cls, tokens: Iterable[bytes], model: KneserNey) -> Self:
        """Return the spellings of tokens, whose symbols a model predicts."""
        distinct = sorted({b"", *tokens})
        symbols = symbols_of(distinct)
        ends = np.flatnonzero(symbols == END)
        return cls(symbols, np.concatenate([[0], ends[:-1] + 1]), np.exp(-nats_of_spellings(model, symbols)))

    @property
    def share(self) -> float:
        """The probability of all of these spellings together, below 1."""
        return min(_MOST, float(self.p.sum()))


class Unknown:
    """The beginning of a spelling that is none of the known ones, as a coder writes or reads it.

    >>> beginning = Unknown(KnownSpellings.of([b"a"], KneserNey(257, order=2, boundary=256)))
    >>> row = beginning.row(np.full(257, 1 / 257))             # "a" has (1/257)^2, and the empty spelling 1/257
    >>> float(row[END]), bool(row[98] > row[97] > 0.99 * row[98])
    (0.0, True)
    """

    def __init__(self, known: KnownSpellings) -> None:
        self._symbols, self._length = known.symbols, 0              # of the beginning
        self._starts, self._given = known.starts, known.p           # of those that begin so; p of each, given that

    def row(self, p: Array) -> Array:
        """Return the probabilities (257,) float64 of the next symbol, of which a model that knows nothing of the known
        spellings gives p (257,)."""
        p = p.astype(np.float64)
        left = np.maximum(p - np.bincount(self._next(), self._given, END + 1), 0.0)
        total = left.sum()
        return left / total if total > 0 else p

    def advance(self, symbol: int, p: float) -> None:
        """Go on with a symbol, which has the probability p by the model."""
        goes_on = self._next() == symbol
        self._starts, self._given = self._starts[goes_on], self._given[goes_on] / p
        self._length += 1

    def _next(self) -> Array:
        return self._symbols[self._starts + self._length]
