"""Held-out text taken from the training text, a little from everywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from fastlm.text.corpus import Corpus

Array = np.ndarray
_PLACES = 10             # of a text of few documents
_WHOLE_DOCUMENTS = 20    # from so many documents on, whole ones are held out
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
    """What to train on, and about `fraction` of the tokens to hold out, both in the order of the text.

    Of 20 documents or more every so-manieth is held out whole; of fewer, ten stretches spread over the text, cut at
    ends of lines where `corpus.boundary` is one and near. A text's last part alone would be a poor sample: on
    tiny-shakespeare, holding out the last 5 % takes a play's characters out of the training text, and costs 0.17 nats
    on the play's remainder. Cuts begin new documents. Raises ValueError where fraction is not in (0, 1/2].

    >>> train, held_out = hold_out(Corpus.from_ids([range(100)]), 0.1)
    >>> held_out.ids.tolist()
    [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction = {fraction} is outside (0, 0.5]")
    out = np.zeros(len(corpus), bool)
    documents = len(corpus.offsets) - 1
    if documents >= _WHOLE_DOCUMENTS:
        every = round(1 / fraction)
        for document in range(every - 1, documents, every):
            out[corpus.offsets[document]: corpus.offsets[document + 1]] = True
    else:
        ends = np.arange(1, _PLACES + 1) * len(corpus) // _PLACES
        length = max(1, round(fraction * len(corpus) / _PLACES))
        begins = ends - length
        for begin, end in zip(_snap(corpus, begins, length), _snap(corpus, ends, length), strict=True):
            out[begin:end] = True
    return _keep(corpus, ~out), _keep(corpus, out)


def _snap(corpus: Corpus, places: Array, length: int) -> Array:
    """The nearest places behind an end of line, where they are less than half a stretch's length away."""
    if corpus.boundary is None:
        return places
    lines = np.flatnonzero(corpus.ids == corpus.boundary) + 1
    if not len(lines):
        return places
    after = np.minimum(np.searchsorted(lines, places), len(lines) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(lines[after] - places < places - lines[before], lines[after], lines[before])
    return np.where(2 * np.abs(nearest - places) < length, nearest, places)


def _keep(corpus: Corpus, kept: Array) -> Corpus:
    """The corpus of the tokens marked (N,) bool; every gap ends a document."""
    cuts = np.flatnonzero(kept[1:] != kept[:-1]) + 1
    edges = np.unique(np.concatenate([corpus.offsets, cuts]))
    # a sum a piece, not one a token: of 100 million tokens that would be 800 MB
    offsets = np.unique(np.cumsum([0, *(np.count_nonzero(kept[a:b]) for a, b in pairwise(edges.tolist()))]))
    unknown = np.zeros(len(corpus), bool)
    unknown[corpus.unknown_at] = True
    size = corpus.bytes * int(kept.sum()) // len(corpus)
    return replace(corpus, ids=corpus.ids[kept], offsets=offsets.astype(np.int64),
                   unknown_at=np.flatnonzero(unknown[kept]), bytes=size)
