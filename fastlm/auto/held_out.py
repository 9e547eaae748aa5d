"""Held-out text taken from the training text, a little from everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastlm.text.corpus import Corpus

Array = np.ndarray
_PLACES = 10             # stretches that are held out where no document is small enough to be held out whole
_MANY_DOCUMENTS = 20     # from so many on, documents are looked at one by one; below, stretches are cut as if of one
_SMALL = 0.4             # of the tokens to hold out: a document of at most so many is held out whole or not at all
_SHARE = 0.05
_ENOUGH = 25_000         # tokens, or a two-hundredth of the text where that is more,
_MOST = 500_000          # up to this


def enough(tokens: int) -> float:
    """The share of a text of so many tokens that is enough to judge and weigh models by: what is held out is not
    learnt from.

    >>> enough(100_000), enough(1_000_000), enough(10_000_000), enough(200_000_000)
    (0.05, 0.025, 0.005, 0.0025)
    """
    return min(_SHARE, min(max(_ENOUGH, 0.005 * tokens), _MOST) / max(1, tokens))


def hold_out(corpus: Corpus, fraction: float) -> tuple[Corpus, Corpus]:
    """Return what to train on, and about `fraction` of the tokens to hold out, both in the order of the text.

    What is held out comes from the whole of the text. Its last part alone would be a poor sample: on tiny-shakespeare,
    holding out the last 5 % takes a play's characters out of the training text, and costs 0.17 nats on the play's
    remainder. Of fewer than 20 documents it is ten stretches, evenly spaced, cut at ends of lines where
    `corpus.boundary` is one and near. Of 20 or more it is whole documents, as long as each has at most two fifths of
    the tokens to hold out, and stretches out of the middle of longer ones; tokens, not documents, are counted on the
    way, so that the amount is right whatever the sizes are. A cut begins a new document. Of a text of two tokens or
    more at least one is held out and at least one is left. Where a corpus has no boundary for first tokens to be
    predicted after, what is held out of 20 documents or more has two tokens in a row. Raises ValueError where fraction
    is not in (0, 1/2].

    >>> train, held_out = hold_out(Corpus.from_ids([range(100)]), 0.1)
    >>> held_out.ids.tolist()
    [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction = {fraction} is outside (0, 0.5]")
    if len(corpus.offsets) - 1 < _MANY_DOCUMENTS:
        out = _evenly_spaced(corpus, fraction)
    else:
        out = _document_by_document(corpus, fraction)
    return corpus.select(~out), corpus.select(out)


def _evenly_spaced(corpus: Corpus, fraction: float) -> Array:
    """Mark the tokens (N,) bool of ten stretches, or of fewer where there are fewer tokens to hold out."""
    out = np.zeros(len(corpus), bool)
    if len(corpus) < 2:
        return out
    places = max(1, min(_PLACES, round(fraction * len(corpus))))
    ends = np.arange(1, places + 1) * len(corpus) // places
    length = max(1, round(fraction * len(corpus) / places))
    lines = _line_ends(corpus)
    for begin, end in zip(_snap(lines, ends - length, length), _snap(lines, ends, length), strict=True):
        out[begin:end] = True
    return out


def _document_by_document(corpus: Corpus, fraction: float) -> Array:
    """Mark the tokens (N,) bool of whole documents, and of stretches of long ones.

    `owed` is how many of the tokens passed so far are still to be held out, below 0 where too many were. A short
    document is held out where half of the mean of such is owed, and a stretch of a part of a long one where half of a
    tenth of all is, so that what is wrong at the end is no more than one of them.
    """
    out = np.zeros(len(corpus), bool)
    share = fraction * len(corpus)
    least = 2 if corpus.boundary is None else 1   # tokens without which a stretch predicts nothing
    small, length, owed = max(_SMALL * share, 2 * least - 1), max(share / _PLACES, least), 0.0
    sizes = np.diff(corpus.offsets)
    short = sizes[(sizes > 0) & (sizes <= small)]
    enough_owed = short.mean() / 2 if len(short) else 0.0
    lines = _line_ends(corpus)
    for document in corpus.spans():
        size = document.stop - document.start
        if size <= small:
            # The size of a document has no say in whether it is chosen: short ones would be held out too often.
            if owed >= enough_owed and size >= least:
                out[document] = True
                owed -= size
            owed += fraction * size
            continue
        parts = min(-(-size * _PLACES // len(corpus)), size // (2 * least))
        edges = [document.start + size * part // parts for part in range(parts + 1)]
        for first, last in pairwise(edges):
            owed += fraction * (last - first)
            wanted = min(round(owed), (last - first) // 2)
            if 2 * owed >= length and wanted >= least:
                stretch = _in_the_middle(first, last, wanted, lines)
                out[stretch] = True
                owed -= stretch.stop - stretch.start
    if not out.any() and len(corpus) > 1:
        longest = int(np.argmax(sizes))
        last = int(corpus.offsets[longest + 1])
        out[last - min(least, int(sizes[longest]), len(corpus) - 1): last] = True
    return out


def _in_the_middle(first: int, last: int, wanted: int, lines: Array) -> slice:
    """Return the middle of a part of a document, cut at ends of lines where that changes no more than half of it.

    At most half of the part is wanted, so that ends of lines less than half a stretch away lie within the part.
    """
    begin = (first + last - wanted) // 2
    from_line, to_line = _snap(lines, np.array([begin, begin + wanted]), wanted).tolist()
    if wanted <= 2 * (to_line - from_line) <= 3 * wanted:
        return slice(from_line, to_line)
    return slice(begin, begin + wanted)


def _line_ends(corpus: Corpus) -> Array:
    """Find the places (L,) int64 behind the ends of lines."""
    return np.flatnonzero(corpus.ids == (-1 if corpus.boundary is None else corpus.boundary)) + 1


def _snap(lines: Array, places: Array, length: int) -> Array:
    """Move places to the nearest one behind an end of line, where it is less than half of `length` tokens away."""
    if not len(lines):
        return places
    after = np.minimum(np.searchsorted(lines, places), len(lines) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(lines[after] - places < places - lines[before], lines[after], lines[before])
    return np.where(2 * np.abs(nearest - places) < length, nearest, places)
