"""What n-grams say of the text that they have counted, as if they had not: stretch by stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastlm.batch import Batch
from fastlm.models import PrefixModel
from fastlm.models.mixture.loss import to_bytes
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import Workers

Array = np.ndarray
_ROWS = 1 << 12           # predicted at a time
_TOGETHER = 2_000_000     # tokens up to which every thread counts a model of its own
_PIECES = 8               # stretches of a fold
_SHORTEST = 2000          # tokens of one


def leave_out(parts: Sequence[PrefixModel], corpus: Corpus, folds: int, done: int | None = None,
              threads: int | None = None, shortest: int = _SHORTEST) -> tuple[Array, Corpus]:
    """ln p (K, N, V) of every token after every prefix of a text, by models that have counted only the other folds, in
    bytes as `models.mixture.loss.to_bytes`; and the text itself, of N tokens.

    parts: K models with a `fit`, which are made anew and counted `done` times each. done: for how many of the folds,
    spread evenly, this is found; by default for all, each one stretch of the text; otherwise a fold is eight stretches
    of it, or as many as have `shortest` tokens, and the text becomes those of the folds that are done. Cross-fitting,
    as in stacked regressions (Breiman 1996). Raises ValueError for fewer than two folds, or more than there are tokens.
    """
    tokens = len(corpus.ids)
    if not 2 <= folds <= tokens:
        raise ValueError(f"folds = {folds}; 2 to {tokens}, the tokens of the text, were expected")
    done = folds if done is None else done
    if not 1 <= done <= folds:
        raise ValueError(f"done = {done}; 1 to {folds} folds were expected")
    pieces = folds if done == folds else folds * max(1, min(_PIECES, tokens // (folds * shortest)))
    cuts = [round(tokens * piece / pieces) for piece in range(pieces + 1)]
    chosen = [(2 * index + 1) * folds // (2 * done) for index in range(done)]
    kept = [piece for piece in range(pieces) if piece % folds in chosen]
    ends = np.cumsum([0, *(cuts[piece + 1] - cuts[piece] for piece in kept)]).tolist()
    out = np.empty((len(parts), ends[-1], parts[0].vocab_size), np.uint8)
    together = tokens <= _TOGETHER   # models of longer texts one by one, for the sake of memory

    def fill(into: Array, part: PrefixModel, fold: int) -> None:
        begins = [0, *cuts[fold + 1:: folds]]
        rest = [_stretch(corpus, *span) for span in zip(begins, [*cuts[fold:-1:folds], tokens], strict=True)]
        model = PrefixModel.build(part.config())
        model.fit(_joined(rest), 1 if together else threads)   # type: ignore[attr-defined]
        for piece in range(fold, pieces, folds):
            inputs, _, starts = read_and_predict(_stretch(corpus, cuts[piece], cuts[piece + 1]))
            x, _ = model.forward(Batch.lanes(inputs[:, None], starts[:, None]))
            own = into[ends[kept.index(piece)]:]
            for begin in range(0, len(inputs), _ROWS):
                rows = np.empty((min(_ROWS, len(inputs) - begin), model.vocab_size), np.float32)
                model.head.write(rows, x.value[begin: begin + _ROWS])
                own[begin: begin + len(rows)] = to_bytes(rows)
    with Workers(threads if together else 1) as workers:
        workers.run([lambda into=table, part=part, fold=fold: fill(into, part, fold)   # type: ignore[misc]
                     for fold in chosen for table, part in zip(out, parts, strict=True)])
    return out, corpus if done == folds else _joined([_stretch(corpus, cuts[k], cuts[k + 1]) for k in kept])


def _stretch(corpus: Corpus, first: int, last: int) -> Corpus:
    """The tokens from `first` up to `last`; a document that is cut begins anew."""
    inside = corpus.offsets[(corpus.offsets > first) & (corpus.offsets < last)] - first
    offsets = np.concatenate([[0], inside, [last - first]]).astype(np.int64)
    return replace(corpus, ids=corpus.ids[first:last], offsets=offsets, unknown_at=np.zeros(0, np.int64))


def _joined(stretches: Sequence[Corpus]) -> Corpus:
    """Texts one after the other."""
    ends = np.cumsum([0, *(len(part.ids) for part in stretches)])
    offsets = [part.offsets + end for part, end in zip(stretches, ends, strict=False)]
    return replace(stretches[0], ids=np.concatenate([part.ids for part in stretches]),
                   offsets=np.unique(np.concatenate(offsets)))
