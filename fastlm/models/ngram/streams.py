"""A text as the ids that n-grams are counted of: all of it, a part of it, or one stretch after another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastlm.text.corpus import Corpus
from fastlm.text.stored import parts as of_ids

Array = np.ndarray
# Cut out of a text that is too long to be counted whole: at least, at most, and tokens of each, so that those of a
# large text lie near everything in it: what is new is often like what is near.
_PIECES, _MOST_PIECES, _PIECE_TOKENS = 16, 256, 1 << 17
_STREAMED = 1 << 20    # tokens that are looked at together; more would be no faster


def at_most(corpus: Corpus, tokens: int) -> Corpus:
    """Return a corpus of about `tokens` tokens at most: itself, or evenly spaced pieces of equal length, 16 of them, or
    of many tokens up to 256.

    The pieces have fewer tokens than `tokens` together, by less than one each, and at least one token each.
    """
    return together(pieces(corpus, tokens))


def pieces(corpus: Corpus, tokens: int) -> list[Corpus]:
    """Return what `at_most` does, as the pieces, whose ids are views."""
    if len(corpus.ids) <= tokens:
        return [corpus]
    count = min(max(_PIECES, tokens // _PIECE_TOKENS), _MOST_PIECES)
    length = max(1, tokens // count)
    firsts = [(len(corpus.ids) - length) * index // (count - 1) for index in range(count)]
    return [corpus.slice(first, first + length) for first in firsts]


def together(parts: list[Corpus]) -> Corpus:
    """Return parts as one corpus."""
    return parts[0] if len(parts) == 1 else Corpus.concatenate(parts)


def stream(corpus: Corpus) -> tuple[Array, Array]:
    """Return the ids of all documents (n,) int32, and flags (n,) uint8: 1 at the first token of every document.

    Each document begins with the corpus's boundary token where it has one. First tokens are read and not predicted.
    """
    firsts = corpus.first_tokens()
    if corpus.boundary is None:
        ids = corpus.ids
    else:
        ids = np.insert(corpus.ids, firsts, np.int32(corpus.boundary))
        firsts = firsts + np.arange(len(firsts))
    starts = np.zeros(len(ids), np.uint8)
    starts[firsts] = 1
    return ids, starts


def stream_parts(corpus: Corpus, tokens: int = _STREAMED) -> Iterator[tuple[Array, Array]]:
    """Yield what `stream` returns, so many tokens of the corpus at a time, without a copy of them all."""
    starts, firsts = np.zeros(tokens, np.uint8), corpus.first_tokens()
    for begin, ids in of_ids(corpus.ids, tokens):
        here = firsts[slice(*np.searchsorted(firsts, [begin, begin + len(ids)]))] - begin
        if corpus.boundary is not None:
            ids, here = np.insert(ids, here, np.int32(corpus.boundary)), here + np.arange(len(here))
        if len(starts) < len(ids):
            starts = np.zeros(len(ids), np.uint8)
        starts[here] = 1
        yield ids, starts[:len(ids)]
        starts[here] = 0
