"""How well models predict held-out text, and what the weights of a mixture are estimated from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastlm.auto.policy import Policy, UnitPolicy
from fastlm.autodiff import Tape
from fastlm.batch import Batch
from fastlm.models import CacheModel, KneserNey, Mixture
from fastlm.models.mixture import gate
from fastlm.scoring.documents import score_documents
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.training.history import Ended, History
from fastlm.training.interrupt import Interrupt
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray


@dataclass(frozen=True)
class Weighed:
    """What the weights of a mixture of K distributions are estimated from: the figures of N held-out tokens.

    ``nll`` (K, N) float64: -log p by each distribution; ``features`` (N, 6): those of the tokens' contexts that the
    gate reads, or None; ``positions`` (N,): which tokens of the corpus these are.
    """

    nll: Array
    features: Array | None
    positions: Array


def fit_cache(mixture: Mixture, corpus: Corpus, weighed: Weighed, numbers: UnitPolicy) -> CacheModel:
    """Return the cache model around a mixture, its weights fitted on the tokens that the mixture was weighed by."""
    features, positions = weighed.features, weighed.positions
    inputs, targets, starts = read_and_predict(corpus)
    log_weights = np.log(mixture.weights)[None] if features is None else gate.log_weights(
        mixture.weights, mixture.gate, features)
    nll, known = np.zeros(len(targets)), np.full(len(targets), -1, np.int32)
    nll[positions] = -np.logaddexp.reduce(log_weights.T - weighed.nll, axis=0)
    known[positions] = targets[positions]
    end = int(positions.max(initial=-1)) + 1
    cache = CacheModel(mixture.vocab_size, mixture, numbers.cache_window, numbers.cache_decay, numbers.cache_lowest,
                       numbers.cache_highest)
    return cache.fit(inputs[:end], known[:end], starts[:end], nll[:end])


def nll_by_part(mixture: Mixture, corpus: Corpus, threads: int | None, most: int, policy: Policy,
                is_over: Callable[[], bool] = lambda: False) -> Weighed:
    """Return the -log p of about `most` tokens from all over a text by each distribution of a mixture.

    The tokens are read side by side in about `policy.weighed_stretches` stretches, each from an empty prefix. The
    time of large vocabularies may be too short: once is_over() is true, no more stretches are begun but the first, and
    those read until then are returned; they come from all over the text too.
    """
    inputs, targets, _ = read_and_predict(corpus)
    length = max(policy.shortest_weighed, most // policy.weighed_stretches)
    stretches = stretches_of(corpus, most, length)
    together = min(policy.stretches_at_once, max(1, policy.weighed_logits // (length * mixture.vocab_size)))
    groups = [stretches[first: first + together] for first in range(0, len(stretches), together)]
    head = mixture.head

    def evaluate(index: int) -> Weighed | None:
        if index and is_over():
            return None
        group = groups[index]
        with Tape(record=False):
            x, _ = mixture.forward(Batch.of([inputs[stretch] for stretch in group]))
            following = Batch.of([targets[stretch] for stretch in group]).ids
            rows, predicted = x.value, following >= 0
            features = head.features(rows)
            positions = Batch.of([np.arange(stretch.start, stretch.stop) for stretch in group]).ids
            return Weighed(np.array(head.nll_by_part(rows, following))[:, predicted],
                           None if features is None else features[predicted], positions[predicted])
    order = spread(len(groups))
    with one_thread_products(), Workers(threads) as workers:
        evaluated = dict(zip(order, workers.map(evaluate, order), strict=True))
    found = [one for index in range(len(groups)) if (one := evaluated[index]) is not None]
    features = [one.features for one in found if one.features is not None]
    return Weighed(np.concatenate([one.nll for one in found], axis=1), np.concatenate(features) if features else None,
                   np.concatenate([one.positions for one in found]))


def stretches_of(corpus: Corpus, most: int, length: int) -> list[slice]:
    """Return stretches of at most `length` tokens each and about `most` in all, which do not cross documents.

    They are the first tokens of every document that has enough of them; of shorter documents there is one stretch each,
    of some of them, evenly spaced, where there are more tokens than `most`.

    >>> stretches_of(Corpus.from_ids([[1, 2], [3, 4], [5, 6], [7, 8], [1] * 8]), 8, 3)
    [slice(0, 2, None), slice(4, 6, None), slice(8, 11, None), slice(11, 12, None)]
    """
    share, owed, stretches = min(1.0, most / max(1, len(corpus.ids))), 0.0, list[slice]()
    for document in corpus.spans():
        size = document.stop - document.start
        wanted = int(np.ceil(share * size))
        if share < 1 and wanted < length:
            owed += share * size
            wanted = min(size, length)
            if not 0 < wanted <= 2 * owed:
                continue
            owed -= wanted
        last = document.start + wanted
        stretches += [slice(begin, min(last, begin + length)) for begin in range(document.start, last, length)]
    return stretches


def spread(count: int) -> list[int]:
    """Return the numbers below `count` in an order in which the first ones of any number lie far apart.

    >>> spread(6)
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(1, (count - 1).bit_length())
    return [number for number in (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits)) if number < count]


def evaluate_counts(model: KneserNey, corpus: Corpus, held_out: Corpus | None, threads: int | None, seconds: float,
                    interrupt: Interrupt) -> History:
    """Return the history of an n-gram model that was counted in so many seconds, with its loss on held-out text unless
    evaluating is interrupted."""
    history = History(ended=f"counted {model.ngrams.nodes:,} n-grams of up to {model.order} tokens in "
                            f"{seconds:.2f} s{model.note}", reason=Ended.COUNTED)
    if held_out is not None:
        losses = interrupt.attempt(lambda: [mean_nll(model, part, threads) for part in (corpus, held_out)])
        if losses is not None:
            history.records.append({"step": 1, "seconds": round(seconds, 3), "tokens": len(corpus.ids),
                                    "loss": losses[0], "valid": losses[1], "rate": 0.0})
    return history


def mean_nll(model: KneserNey, corpus: Corpus, threads: int | None) -> float:
    """Return the mean -log p of a corpus's targets, in nats."""
    inputs, targets, _ = read_and_predict(corpus)
    with Workers(threads) as workers:
        nll = score_documents(model, inputs, targets, corpus.offsets, workers)
    return float(nll.sum()) / max(1, int((targets >= 0).sum()))
