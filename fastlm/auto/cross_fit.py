"""Cross-fitting: n-grams predict each fold of a text as counted on the other folds alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fastlm.auto.policy import Policy
from fastlm.auto.timetable import Timetable
from fastlm.batch import Batch
from fastlm.models import KneserNey, PrefixModel
from fastlm.models.mixture.folded import FoldedNGrams
from fastlm.models.mixture.loss import to_bytes
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray


@dataclass(frozen=True)
class Folds:
    """How many folds a text is cut into, ``count``, and how many of them are cross-fitted and trained on, ``used``;
    ``seconds``: how long each is expected to take."""

    count: int
    used: int
    seconds: float = field(default=0.0, repr=False, compare=False)


def folds_for(models: Sequence[Any], tokens: int, unit: str, counting: float, timetable: Timetable,
              policy: Policy, sampled: bool = False) -> Folds | None:
    """Return the folds by which a text of so many tokens is cross-fitted, so that networks can correct its n-grams;
    None where networks are better trained by themselves.

    models: the n-grams, which took `counting` seconds to count. The number of folds is such that the table of one fold
    fits into `cross_fitted_bytes`; as many are used as fit into these bytes and into the time. None is returned for
    words, for short texts, for a text that was counted in part, whose n-grams cross-fitting would not find again, for
    an alphabet so large that memory leaves too few tokens to learn from, and, where a number of passes was asked for,
    for a text that does not fit as a whole. sampled: whether the networks are trained on drawn tokens; then there is no
    table, and the n-grams of all folds together fit into `folded_bytes`.
    """
    numbers = policy.of(unit)
    if sampled and timetable.limited and timetable.budget < policy.sampled_corrected_from:
        return None
    corrects = numbers.sampled_networks_correct if sampled else numbers.networks_correct
    if not corrects or tokens < policy.least_tokens_cross_fitted or not counted_whole(models):
        return None
    folds = sampled_folds(sum(table.nbytes for table in models[0].tables.values()), timetable.limited, policy) \
        if sampled else folds_in_memory(len(models), models[0].vocab_size, tokens, timetable.limited, policy)
    if folds is None or not timetable.limited:
        return folds
    logits = 0 if sampled else tokens // folds.count * sum(model.vocab_size for model in models)
    each = max(fold_seconds(tokens, logits, counting, policy), 1e-9)
    used = min(folds.used, int(policy.folds_share * max(0.0, timetable.left()) / each))
    return Folds(folds.count, used, each) if used else None


def fold_seconds(tokens: int, logits: int, counting: float, policy: Policy) -> float:
    """Return how long a fold of a text of so many tokens is expected to take, whose n-grams took `counting` seconds.

    logits: that are predicted. The folds of a text up to `counted_at_once` tokens share the threads; of a longer one
    each is counted, and then predicted, by all of them.
    """
    if tokens <= policy.counted_at_once or not logits:
        return policy.fold_seconds * counting
    return counting + policy.fold_logit_seconds * logits


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


def sampled_folds(table_bytes: int, limited: bool, policy: Policy) -> Folds | None:
    """Return the folds of a text whose n-grams have tables of so many bytes, if each fold keeps n-grams of its own;
    None where they do not fit into `folded_bytes`.

    >>> [sampled_folds(size, True, Policy()) for size in (10**8, 4 * 10**8, 10**10)]
    [Folds(count=4, used=4), Folds(count=4, used=3), None]
    """
    used = min(policy.sampled_folds, int(policy.folded_bytes / max(1, table_bytes)))
    return Folds(policy.sampled_folds, used) if used == policy.sampled_folds or (limited and used) else None


def counted_whole(models: Sequence[PrefixModel]) -> bool:
    """Return whether the plain n-grams, which come first, were counted on all of the text."""
    return not (isinstance(models[0], KneserNey) and not models[0].counted_whole)


def cross_fit(parts: Sequence[PrefixModel], corpus: Corpus, folds: int, used: int | None = None,
              threads: int | None = None, policy: Policy | None = None,
              kept: Sequence[float] | None = None) -> tuple[Array, Corpus]:
    """Return ln p (K, N, V) uint8 of every token after every prefix of a text, by models that have counted only the
    other folds, coded as by `models.mixture.loss.to_bytes`; and the N tokens that these are of.

    parts: K models with a `fit`; each is built and counted anew for every fold that is used. used: how many of the
    folds, spread evenly, are predicted. By default all are: then each fold is one stretch of the text, and the text is
    returned whole. Otherwise a fold is made of `policy.stretches_of_a_fold` stretches, or of as many as have
    `policy.shortest_stretch` tokens, and the text returned is that of the used folds. kept: the shares of its bytes
    that each model was pruned to, as those of the folds are then; None where they are not. Cross-fitting, as in stacked
    regressions (Breiman 1996). Raises ValueError for fewer than two folds, or more than there are tokens.
    """
    policy, kept = policy or Policy(), kept or [1.0] * len(parts)
    stretches = cut(len(corpus.ids), folds, used, policy)
    out = np.empty((len(parts), stretches.tokens, parts[0].vocab_size), np.uint8)

    def predict(table: Array, model: PrefixModel, place: int, rows: Array) -> None:
        stop_if_asked()
        logits = np.empty((len(rows), model.vocab_size), np.float32)
        model.head.write(logits, rows)
        table[place: place + len(rows)] = to_bytes(logits)

    def predictions(table: Array, part: PrefixModel, share: float, fold: int) -> Iterator[Callable[[], None]]:
        model = stretches.count_others(part, corpus, fold, threads, policy, share)
        for place, rows in stretches.read(model, corpus, fold):
            for begin in range(0, len(rows), policy.rows_predicted):
                yield partial(predict, table, model, place + begin, rows[begin: begin + policy.rows_predicted])

    def predict_fold(*of_part: Any) -> None:
        for task in predictions(*of_part):
            task()
    folds_of_parts = [(*of_part, fold) for fold in stretches.chosen for of_part in zip(out, parts, kept, strict=True)]
    with Workers(threads) as workers:
        if stretches.together(policy):
            workers.run([partial(predict_fold, *of_part) for of_part in folds_of_parts])
        else:
            for of_part in folds_of_parts:
                workers.run(list(predictions(*of_part)))
    return out, stretches.text(corpus)


def count_folds(parts: Sequence[KneserNey], corpus: Corpus, folds: int, used: int | None = None,
                threads: int | None = None, policy: Policy | None = None,
                kept: Sequence[float] | None = None) -> tuple[FoldedNGrams, Corpus]:
    """Return models that have counted only the other folds, and the text that these predict.

    The arguments and errors are those of `cross_fit`, of which no table is made: the models are asked in training.
    """
    policy, kept = policy or Policy(), kept or [1.0] * len(parts)
    stretches = cut(len(corpus.ids), folds, used, policy)
    rows = np.empty((len(parts), stretches.tokens), np.int32)
    fold_of = np.empty(stretches.tokens, np.int8)
    models: list[list[Any]] = [[part] * len(parts) for part in parts[:1] for _ in stretches.chosen]

    def count_fold(number: int, k: int) -> None:
        models[number][k] = stretches.count_others(parts[k], corpus, stretches.chosen[number], threads, policy,
                                                         kept[k])
        for place, of_piece in stretches.read(models[number][k], corpus, stretches.chosen[number]):
            rows[k, place: place + len(of_piece)] = of_piece
            fold_of[place: place + len(of_piece)] = number
    with Workers(threads if stretches.together(policy) else 1) as workers:
        workers.run([partial(count_fold, number, k) for number in range(len(models)) for k in range(len(parts))])
    return FoldedNGrams(models, fold_of, rows), stretches.text(corpus)


@dataclass(frozen=True)
class Stretches:
    """A text cut into folds. ``cuts``: where its pieces begin and end, of which every ``folds``-th belongs to one fold;
    ``chosen``: the folds that are used; ``kept``: their pieces, which begin at ``begins`` in the text that is used, of
    ``tokens`` tokens."""

    cuts: list[int]
    folds: int
    chosen: list[int]
    kept: list[int]
    begins: list[int]
    tokens: int

    def together(self, policy: Policy) -> bool:
        """Return whether folds are counted side by side; those of longer texts one by one, for the sake of memory."""
        return self.cuts[-1] <= policy.counted_at_once

    def count_others(self, part: PrefixModel, corpus: Corpus, fold: int, threads: int | None, policy: Policy,
                     share: float = 1.0) -> PrefixModel:
        """Return a model like `part` that has counted all folds but one, pruned to a share of its bytes."""
        begins, ends = [0, *self.cuts[fold + 1:: self.folds]], [*self.cuts[fold:-1: self.folds], self.cuts[-1]]
        rest = [corpus.slice(first, last) for first, last in zip(begins, ends, strict=True)]
        model: Any = PrefixModel.build(part.config())
        threads = 1 if self.together(policy) else threads
        model.fit(Corpus.concatenate(rest), threads, budget_bytes=policy.counting_bytes, kept_share=share)
        return model

    def read(self, model: PrefixModel, corpus: Corpus, fold: int) -> Iterator[tuple[int, Array]]:
        """Yield for each piece of a used fold its place in the text that is used, and its rows by a model."""
        for piece in range(fold, len(self.cuts) - 1, self.folds):
            inputs, _, starts = read_and_predict(corpus.slice(self.cuts[piece], self.cuts[piece + 1]))
            x, _ = model.forward(Batch.rectangle(inputs[:, None], starts[:, None]))
            yield self.begins[self.kept.index(piece)], x.value

    def text(self, corpus: Corpus) -> Corpus:
        """Return the text of the folds that are used."""
        if len(self.chosen) == self.folds:
            return corpus
        return Corpus.concatenate([corpus.slice(self.cuts[piece], self.cuts[piece + 1]) for piece in self.kept])


def cut(tokens: int, folds: int, used: int | None, policy: Policy) -> Stretches:
    """Cut a text of so many tokens into folds, of which so many are used, None for all; see `cross_fit`."""
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
    return Stretches(cuts, folds, chosen, kept, ends[:-1], ends[-1])
