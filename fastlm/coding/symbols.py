"""Spellings as symbols: the 256 bytes, and the end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
END = 256              # the symbol that ends a spelling, after the 256 bytes


def symbols_of(tokens: Iterable[bytes]) -> Array:
    """Return the bytes of tokens as symbols (n,) int32, `END` after each.

    >>> symbols_of([b"ab", b"c"]).tolist()
    [97, 98, 256, 99, 256]
    """
    listed = list(tokens)
    ends = np.array([*accumulate(len(token) for token in listed)], np.int64)
    out = np.frombuffer(b"".join(listed), np.uint8).astype(np.int32)
    return np.insert(out, ends, END).astype(np.int32)


def symbols_at(text: bytes, begin: Array, end: Array) -> Array:
    """Return the bytes of text[begin:end] of each token (n,) as symbols int32, the end of a spelling after each.

    >>> symbols_at(b"ab c", np.array([0, 3]), np.array([2, 4])).tolist()
    [97, 98, 256, 99, 256]
    """
    begin, lengths = begin.astype(np.int64), (end - begin).astype(np.int64)
    stops = np.cumsum(lengths)
    at = np.repeat(begin - (stops - lengths), lengths) + np.arange(int(stops[-1]) if len(stops) else 0)
    out = np.frombuffer(text, np.uint8)[at].astype(np.int32)
    return np.insert(out, stops, END).astype(np.int32)


def nats_of_symbols(model: KneserNey, symbols: Array) -> Array:
    """Return -log p (n,) float64 of each of the symbols (n,) int32 of spellings, the last of which is `END`."""
    if not len(symbols):
        return np.zeros(0)
    return model.score(np.concatenate([np.array([END], np.int32), symbols[:-1]]), symbols)


def nats_of_spellings(model: KneserNey, symbols: Array) -> Array:
    """Return -log p (T,) float64 of each of T spellings, whose symbols (n,) int32 lie one after another."""
    ends = np.flatnonzero(symbols == END)
    if not len(ends):
        return np.zeros(0)
    return np.add.reduceat(nats_of_symbols(model, symbols), np.concatenate([[0], ends[:-1] + 1]))
