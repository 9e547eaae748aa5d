"""How often the contexts of a text occur again in it: what longer n-grams could know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastlm.models.ngram.streams import stream
from fastlm.text.corpus import Corpus
from fastlm.workers import stop_if_asked

Array = np.ndarray
_FIRST = 8           # tokens by which places are sampled, so that the others like a place are in the sample with it
CHUNK = 1 << 20      # places at a time, for the sake of memory
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)   # odd, its bits well mixed: 2^64 over the golden ratio


def repeats(corpus: Corpus, lengths: Sequence[int], places: int, chunk: int = CHUNK) -> list[float]:
    """Return for each of some lengths the share of the places of a text whose next so many tokens occur elsewhere too.

    To the rest of the text each place is what a place of new text is, so that this is about the share of the tokens of
    new text of which as long a context has been counted. lengths: 8 and more, where not all places are looked at.
    places: about how many are; those with the same next eight tokens are looked at together. chunk: places that
    are sampled at a time, for the sake of memory. Tokens are compared by
    hashes of 64 bits, and not past the end of a document. Cost: n times three operations, and for each place one for
    each token and those of a sort.

    >>> repeats(Corpus.from_ids([[0, 1, 2, 3, 0, 1, 2, 4]]), [1, 3, 4], 8)
    [0.75, 0.25, 0.0]
    """
    ids, starts = stream(corpus)
    sampled = _sample(ids, max(1, len(ids) // max(1, places)), chunk)
    ends = np.append(np.flatnonzero(starts), len(ids))
    left = ends[np.searchsorted(ends, sampled, "right")] - sampled
    looked_at, repeated, hashes = max(1, len(sampled)), [0], np.zeros(len(sampled), np.uint64)
    for length in range(1, max(lengths) + 1):
        stop_if_asked()
        inside = left >= length
        sampled, left, hashes = sampled[inside], left[inside], hashes[inside]
        hashes = _lengthened(hashes, ids[sampled + length - 1])
        repeated.append(_repeated(hashes) if length in lengths else 0)
    return [repeated[length] / looked_at for length in lengths]


def _sample(ids: Array, one_in: int, chunk: int) -> Array:
    """Return about one in so many places of ids (n,), ascending int64: all or none of those with equal first tokens."""
    chosen = []
    for begin in range(0, len(ids), chunk):
        hashes = _lengthened(np.zeros(1, np.uint64), ids[begin: begin + chunk + _FIRST - 1])
        for length in (1, 2, 4):   # of twice as many tokens each time; at the end of the text, of those that there are
            further = np.append(hashes[length:], np.zeros(min(length, len(hashes)), np.uint64))
            hashes = _lengthened(hashes, further)
        chosen.append(np.flatnonzero(hashes[:chunk] % np.uint64(one_in) == 0) + begin)
    return np.concatenate(chosen)


def _lengthened(hashes: Array, tokens: Array) -> Array:
    """Return hashes (n,) uint64 of what was hashed before and a token, or hash, after it."""
    mixed = (hashes ^ (tokens.astype(np.uint64) + np.uint64(1))) * _MULTIPLIER
    return mixed ^ (mixed >> np.uint64(32))


def _repeated(hashes: Array) -> int:
    """Return how many of the hashes (n,) are there more than once."""
    ranked = np.sort(hashes)
    same = ranked[1:] == ranked[:-1]
    return int((np.append(same, False) | np.insert(same, 0, False)).sum()) if len(ranked) else 0
