"""What n-grams say of the text that they have counted, as if they had not: stretch by stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from fastlm.batch import Batch
from fastlm.models import PrefixModel
from fastlm.models.corrected import coded
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import Workers

Array = np.ndarray
_ROWS = 1 << 12


def leave_out(parts: Sequence[PrefixModel], corpus: Corpus, folds: int, done: int | None = None,
              threads: int | None = None) -> tuple[Array, Corpus]:
    """ln p (K, N, V) of every token after every prefix of a text, by models that have counted only the other folds, in
    bytes as `models.corrected.coded`; and the text itself, of N tokens.

    parts: K models with a `fit`, which are made anew and counted `done` times each. done: of how many folds, spread
    evenly, this is found; by default of all, or the text becomes those stretches of it. Cross-fitting, as in stacked
    regressions (Breiman 1996). Raises ValueError for fewer than two folds, or more than there are tokens.
    """
    if not 2 <= folds <= len(corpus.ids):
        raise ValueError(f"folds = {folds}; 2 to {len(corpus.ids)}, the tokens of the text, were expected")
    done = folds if done is None else done
    if not 1 <= done <= folds:
        raise ValueError(f"done = {done}; 1 to {folds} folds were expected")
    cuts = [round(len(corpus.ids) * fold / folds) for fold in range(folds + 1)]
    chosen = [(2 * index + 1) * folds // (2 * done) for index in range(done)]
    stretches = [(cuts[fold], cuts[fold + 1]) for fold in chosen]
    ends = np.cumsum([0, *(last - first for first, last in stretches)]).tolist()
    out = np.empty((len(parts), ends[-1], parts[0].vocab_size), np.uint8)

    def fill(into: Array, part: PrefixModel, first: int, last: int) -> None:
        model = PrefixModel.build(part.config())
        model.fit(_without(corpus, first, last), 1)   # type: ignore[attr-defined]
        inputs, _, starts = read_and_predict(_stretch(corpus, first, last))
        x, _ = model.read(Batch.lanes(inputs[:, None], starts[:, None]))
        for begin in range(0, last - first, _ROWS):
            rows = np.empty((min(_ROWS, last - first - begin), model.vocab_size), np.float32)
            model.predictor.write(rows, x.value[begin: begin + _ROWS])
            into[begin: begin + len(rows)] = coded(rows)
    with Workers(threads) as workers:
        workers.run([lambda into=table[a:b], part=part, stretch=stretch: fill(into, part, *stretch)   # type: ignore[misc]
                     for (a, b), stretch in zip(pairwise(ends), stretches, strict=True)
                     for table, part in zip(out, parts, strict=True)])
    return out, corpus if done == folds else _joined([_stretch(corpus, *stretch) for stretch in stretches])


def _stretch(corpus: Corpus, first: int, last: int) -> Corpus:
    """The tokens from `first` up to `last`; a document that is cut begins anew."""
    inside = corpus.offsets[(corpus.offsets > first) & (corpus.offsets < last)] - first
    offsets = np.concatenate([[0], inside, [last - first]]).astype(np.int64)
    return replace(corpus, ids=corpus.ids[first:last], offsets=offsets, unknown_at=np.zeros(0, np.int64))


def _without(corpus: Corpus, first: int, last: int) -> Corpus:
    """All but the tokens from `first` up to `last`; what they are cut from become documents of their own."""
    return _joined([_stretch(corpus, 0, first), _stretch(corpus, last, len(corpus.ids))])


def _joined(stretches: Sequence[Corpus]) -> Corpus:
    """Texts one after the other."""
    ends = np.cumsum([0, *(len(part.ids) for part in stretches)])
    offsets = [part.offsets + end for part, end in zip(stretches, ends, strict=False)]
    return replace(stretches[0], ids=np.concatenate([part.ids for part in stretches]),
                   offsets=np.unique(np.concatenate(offsets)))
