"""Held-out text taken from the training text, a little from everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastlm.auto.policy import Policy
from fastlm.text.corpus import Corpus

Array = np.ndarray


def hold_out(corpus: Corpus, fraction: float, policy: Policy | None = None) -> tuple[Corpus, Corpus]:
    """Return the text to train on and the text held out, about `fraction` of the tokens, both in the order of the text.

    The held-out text comes from all over the text. The last part of a text alone would be a poor sample: on
    tiny-shakespeare, holding out the last 5 % takes a play's characters out of the training text, and costs 0.17 nats
    on the play's remainder. Of fewer than `policy.many_documents` documents, `policy.held_out_stretches` stretches are
    held out, evenly spaced; a cut is moved to an end of line that is near, where `corpus.boundary` ends lines. Of more
    documents, whole ones are held out, and stretches from the middle of those that have more than
    `policy.whole_document_share` of the tokens to hold out; tokens and not documents are counted on the way, so that
    the amount is right whatever the sizes are. Each cut begins a new document.

    Of a text of two tokens or more at least one is held out and at least one is left. Where a corpus has no boundary to
    predict first tokens after, the held-out part of many documents has at least two tokens in a row. policy: the usual
    one where None. Raises ValueError where fraction is not in (0, 1/2].

    >>> train, held_out = hold_out(Corpus.from_ids([range(100)]), 0.1)
    >>> held_out.ids.tolist()
    [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction = {fraction} is outside (0, 0.5]")
    policy = policy or Policy()
    if len(corpus.offsets) - 1 < policy.many_documents:
        out = _evenly_spaced(corpus, fraction, policy.held_out_stretches)
    else:
        out = _document_by_document(corpus, fraction, policy)
    return corpus.select(~out), corpus.select(out)


def _evenly_spaced(corpus: Corpus, fraction: float, stretches: int) -> Array:
    """Mark the tokens (N,) bool of some stretches, of fewer where there are fewer tokens to hold out."""
    out = np.zeros(len(corpus), bool)
    if len(corpus) < 2:
        return out
    count = max(1, min(stretches, round(fraction * len(corpus))))
    ends = np.arange(1, count + 1) * len(corpus) // count
    length = max(1, round(fraction * len(corpus) / count))
    lines = _line_ends(corpus)
    for begin, end in zip(_snap(lines, ends - length, length), _snap(lines, ends, length), strict=True):
        out[begin:end] = True
    return out


def _document_by_document(corpus: Corpus, fraction: float, policy: Policy) -> Array:
    """Mark the tokens (N,) bool of whole documents, and of stretches of long ones.

    `owed` is how many of the tokens passed so far are still to be held out; it is below 0 where too many were. A short
    document is held out where at least half of the mean size of short documents is owed. A stretch of a long document
    is held out where at least half the length of a stretch is owed. So the amount at the end is wrong by at most one
    document or stretch.
    """
    out = np.zeros(len(corpus), bool)
    share = fraction * len(corpus)
    least = 2 if corpus.boundary is None else 1   # tokens without which a stretch predicts nothing
    small = max(policy.whole_document_share * share, 2 * least - 1)
    length, owed = max(share / policy.held_out_stretches, least), 0.0
    sizes = np.diff(corpus.offsets)
    short = sizes[(sizes > 0) & (sizes <= small)]
    enough_owed = short.mean() / 2 if len(short) else 0.0
    lines = _line_ends(corpus)
    for document in corpus.spans():
        size = document.stop - document.start
        if size <= small:
            # Whether a document is chosen must not depend on its size, or short ones would be held out too often.
            if owed >= enough_owed and size >= least:
                out[document] = True
                owed -= size
            owed += fraction * size
            continue
        parts = min(-(-size * policy.held_out_stretches // len(corpus)), size // (2 * least))
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
    """Return the middle `wanted` tokens of a part of a document, cut at ends of lines where that changes their number
    by no more than half.

    At most half of the part is wanted, so that ends of lines less than half a stretch away lie within the part.
    """
    begin = (first + last - wanted) // 2
    from_line, to_line = _snap(lines, np.array([begin, begin + wanted]), wanted).tolist()
    if wanted <= 2 * (to_line - from_line) <= 3 * wanted:
        return slice(from_line, to_line)
    return slice(begin, begin + wanted)


def _line_ends(corpus: Corpus) -> Array:
    """Return the positions (L,) int64 behind the ends of lines."""
    return np.flatnonzero(corpus.ids == (-1 if corpus.boundary is None else corpus.boundary)) + 1


def _snap(lines: Array, positions: Array, length: int) -> Array:
    """Move positions to the nearest one behind an end of line, where it is less than half of `length` tokens away."""
    if not len(lines):
        return positions
    after = np.minimum(np.searchsorted(lines, positions), len(lines) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(lines[after] - positions < positions - lines[before], lines[after], lines[before])
    return np.where(2 * np.abs(nearest - positions) < length, nearest, positions)
