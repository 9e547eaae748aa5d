"""What n-grams say of the text that they have counted, as if they had not: stretch by stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from fastlm.batch import Batch
from fastlm.models import PrefixModel, gate
from fastlm.models.corrected import log_mixture
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import Workers

Array = np.ndarray
_ROWS = 1 << 14


def leave_out(parts: Sequence[PrefixModel], corpus: Corpus, folds: int,
              threads: int | None = None) -> tuple[Array, Array]:
    """ln p (N, V) float16 of every token after every prefix of a text, by models that have counted only the other
    folds; and the weights (K,) by which they are mixed.

    parts: K models with a `fit`, which are made anew and counted `folds` times each; the weights are those that predict
    the first fold best. Cross-fitting, as in stacked regressions (Breiman 1996). Any number of threads gives the same
    bytes. Raises ValueError for fewer than two folds, or more than there are tokens.
    """
    if not 2 <= folds <= len(corpus.ids):
        raise ValueError(f"folds = {folds}; 2 to {len(corpus.ids)}, the tokens of the text, were expected")
    cuts = [round(len(corpus.ids) * fold / folds) for fold in range(folds + 1)]
    out = np.empty((len(corpus.ids), parts[0].vocab_size), np.float16)

    def predicted(part: PrefixModel, first: int, last: int) -> Array:
        """ln p (last - first, V) float32 of a stretch by one model of the rest."""
        model = PrefixModel.build(part.config())
        model.fit(_without(corpus, first, last), 1)   # type: ignore[attr-defined]
        inputs, _, starts = read_and_predict(_stretch(corpus, first, last))
        x, _ = model.read(Batch.lanes(inputs[:, None], starts[:, None]))
        rows = np.empty((last - first, model.vocab_size), np.float32)
        for begin in range(0, len(rows), _ROWS):
            model.predictor.write(rows[begin: begin + _ROWS], x.value[begin: begin + _ROWS])
        return rows

    with Workers(threads) as workers:
        each = workers.run([lambda part=part: predicted(part, *cuts[:2]) for part in parts])   # type: ignore[misc]
        targets = read_and_predict(_stretch(corpus, *cuts[:2]))[1]
        counted = np.flatnonzero(targets >= 0)
        weights = gate.fit_weights(np.array([-rows[counted, targets[counted]] for rows in each], np.float64))
        out[:cuts[1]] = log_mixture(each, weights)
        del each

        def fill(first: int, last: int) -> None:
            out[first:last] = log_mixture([predicted(part, first, last) for part in parts], weights)
        workers.run([lambda a=a, b=b: fill(a, b) for a, b in pairwise(cuts[1:])])   # type: ignore[misc]
    return out, weights


def _stretch(corpus: Corpus, first: int, last: int) -> Corpus:
    """The tokens from `first` up to `last`; a document that is cut begins anew."""
    inside = corpus.offsets[(corpus.offsets > first) & (corpus.offsets < last)] - first
    offsets = np.concatenate([[0], inside, [last - first]]).astype(np.int64)
    return replace(corpus, ids=corpus.ids[first:last], offsets=offsets, unknown_at=np.zeros(0, np.int64))


def _without(corpus: Corpus, first: int, last: int) -> Corpus:
    """All but the tokens from `first` up to `last`; what they are cut from become documents of their own."""
    before, after = _stretch(corpus, 0, first), _stretch(corpus, last, len(corpus.ids))
    return replace(before, ids=np.concatenate([before.ids, after.ids]),
                   offsets=np.unique(np.concatenate([before.offsets, after.offsets + first])))
