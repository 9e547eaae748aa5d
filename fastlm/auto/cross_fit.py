"""Cross-fitting: n-grams predict each fold of a text as counted on the other folds alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fastlm.auto.policy import Policy
from fastlm.auto.timetable import Timetable
from fastlm.batch import Batch
from fastlm.models import KneserNey, PrefixModel
from fastlm.models.mixture.loss import to_bytes
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray


@dataclass(frozen=True)
class Folds:
    """How many folds a text is cut into, ``count``, and how many of them are cross-fitted and trained on, ``used``."""

    count: int
    used: int


def folds_for(models: Sequence[PrefixModel], tokens: int, unit: str, counting: float, timetable: Timetable,
              policy: Policy) -> Folds | None:
    """Return the folds by which a text of so many tokens is cross-fitted, so that networks can correct its n-grams;
    None where networks are better trained by themselves.

    models: the n-grams, which took `counting` seconds to count. The number of folds is such that the table of one fold
    fits into `cross_fitted_bytes`; as many are used as fit into these bytes and into the time. None is returned for
    words, for short texts, for a text that was counted in part, whose n-grams cross-fitting would not find again, for
    an alphabet so large that memory leaves too few tokens to learn from, and, where a number of passes was asked for,
    for a text that does not fit as a whole.
    """
    if not policy.of(unit).networks_correct or tokens < policy.least_tokens_cross_fitted or not counted_whole(models):
        return None
    folds = folds_in_memory(len(models), models[0].vocab_size, tokens, timetable.limited, policy)
    if folds is None or not timetable.limited:
        return folds
    each = max(policy.fold_seconds * counting, 1e-9)
    used = min(folds.used, int(policy.folds_share * max(0.0, timetable.left()) / each))
    return Folds(folds.count, used) if used else None


def folds_in_memory(models: int, vocab_size: int, tokens: int, limited: bool, policy: Policy) -> Folds | None:
    """Return the folds of a text of so many tokens whose table for so many n-gram models fits into
    `cross_fitted_bytes`; None where they are too few to learn from.

    limited: whether there is a time limit; without one all folds are needed, since a number of passes was asked for.

    >>> folds_in_memory(3, 65, 1_000_000, True, Policy()), folds_in_memory(3, 2600, 6_000_000, True, Policy())
    (Folds(count=8, used=8), None)
    """
    size = models * vocab_size * tokens
    count = max(policy.least_folds, math.ceil(size / policy.cross_fitted_bytes))
    used = min(count, int(count * policy.cross_fitted_bytes / size))
    if used < count and (not limited or used * tokens < policy.least_tokens_corrected * count):
        return None
    return Folds(count, used)


def counted_whole(models: Sequence[PrefixModel]) -> bool:
    """Return whether the plain n-grams, which come first, were counted on all of the text."""
    return not (isinstance(models[0], KneserNey) and not models[0].counted_whole)


def cross_fit(parts: Sequence[PrefixModel], corpus: Corpus, folds: int, used: int | None = None,
              threads: int | None = None, policy: Policy | None = None) -> tuple[Array, Corpus]:
    """Return ln p (K, N, V) uint8 of every token after every prefix of a text, by models that have counted only the
    other folds, coded as by `models.mixture.loss.to_bytes`; and the N tokens that these are of.

    parts: K models with a `fit`; each is built and counted anew for every fold that is used. used: how many of the
    folds, spread evenly, are predicted. By default all are: then each fold is one stretch of the text, and the text is
    returned whole. Otherwise a fold is made of `policy.stretches_of_a_fold` stretches, or of as many as have
    `policy.shortest_stretch` tokens, and the text returned is that of the used folds. Cross-fitting, as in stacked
    regressions (Breiman 1996). Raises ValueError for fewer than two folds, or more than there are tokens.
    """
    policy = policy or Policy()
    tokens = len(corpus.ids)
    if not 2 <= folds <= tokens:
        raise ValueError(f"folds = {folds}; 2 to {tokens}, the tokens of the text, were expected")
    used = folds if used is None else used
    if not 1 <= used <= folds:
        raise ValueError(f"used = {used}; 1 to {folds} folds were expected")
    stretches = max(1, min(policy.stretches_of_a_fold, tokens // (folds * policy.shortest_stretch)))
    pieces = folds if used == folds else folds * stretches
    cuts = [round(tokens * piece / pieces) for piece in range(pieces + 1)]
    chosen = [(2 * index + 1) * folds // (2 * used) for index in range(used)]
    kept = [piece for piece in range(pieces) if piece % folds in chosen]
    ends = np.cumsum([0, *(cuts[piece + 1] - cuts[piece] for piece in kept)]).tolist()
    out = np.empty((len(parts), ends[-1], parts[0].vocab_size), np.uint8)
    together = tokens <= policy.counted_at_once   # the models of longer texts one by one, for the sake of memory

    def predict_fold(table: Array, part: PrefixModel, fold: int) -> None:
        begins = [0, *cuts[fold + 1:: folds]]
        rest = [corpus.slice(first, last) for first, last in zip(begins, [*cuts[fold:-1:folds], tokens], strict=True)]
        model = PrefixModel.build(part.config())
        model.fit(Corpus.concatenate(rest), 1 if together else threads,   # type: ignore[attr-defined]
                  budget_bytes=policy.counting_bytes)
        for piece in range(fold, pieces, folds):
            inputs, _, starts = read_and_predict(corpus.slice(cuts[piece], cuts[piece + 1]))
            x, _ = model.forward(Batch.rectangle(inputs[:, None], starts[:, None]))
            of_piece = table[ends[kept.index(piece)]:]
            for begin in range(0, len(inputs), policy.rows_predicted):
                stop_if_asked()
                rows = np.empty((min(policy.rows_predicted, len(inputs) - begin), model.vocab_size), np.float32)
                model.head.write(rows, x.value[begin: begin + policy.rows_predicted])
                of_piece[begin: begin + len(rows)] = to_bytes(rows)
    with Workers(threads if together else 1) as workers:
        workers.run([partial(predict_fold, table, part, fold)
                     for fold in chosen for table, part in zip(out, parts, strict=True)])
    return out, corpus if used == folds else Corpus.concatenate([corpus.slice(cuts[k], cuts[k + 1]) for k in kept])
