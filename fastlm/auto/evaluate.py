"""What held-out text says of models: how well they predict it, and by what a mixture is weighed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastlm.auto.policy import Policy, UnitPolicy
from fastlm.autodiff import Tape
from fastlm.batch import Batch
from fastlm.models import CacheModel, KneserNey, Mixture
from fastlm.models.mixture import gate
from fastlm.scoring import score_sequences
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.training.history import Ended, History
from fastlm.training.interrupt import Interrupt
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray


@dataclass(frozen=True)
class Weighed:
    """What each model mixed makes of the same N held-out tokens.

    ``nll`` (K, N) float64: -log p by each model; ``features`` (N, 6): what the gate reads of their contexts, or None;
    ``places`` (N,): which tokens of the corpus these are.
    """

    nll: Array
    features: Array | None
    places: Array


def fit_cache(mixture: Mixture, corpus: Corpus, weighed: Weighed, numbers: UnitPolicy) -> CacheModel:
    """Return the cache model around a mixture, its weights fitted on the tokens that were weighed."""
    loss, read, places = weighed.nll, weighed.features, weighed.places
    inputs, targets, starts = read_and_predict(corpus)
    weights = np.log(mixture.weights)[None] if read is None else gate.log_weights(mixture.weights, mixture.gate, read)
    nats, known = np.zeros(len(targets)), np.full(len(targets), -1, np.int32)
    nats[places], known[places] = -np.logaddexp.reduce(weights.T - loss, axis=0), targets[places]
    end = int(places.max(initial=-1)) + 1
    cache = CacheModel(mixture.vocab_size, mixture, numbers.cache_window, numbers.cache_decay, numbers.cache_lowest,
                       numbers.cache_highest)
    return cache.fit(inputs[:end], known[:end], starts[:end], nats[:end])


def nll_by_part(mixture: Mixture, corpus: Corpus, threads: int | None, most: int, policy: Policy) -> Weighed:
    """Return what each model mixed makes of about `most` tokens, the first of every document.

    They are read side by side in `policy.weighed_stretches` or more, each from an empty prefix.
    """
    inputs, targets, _ = read_and_predict(corpus)
    share, length = min(1.0, most / max(1, len(corpus.ids))), max(1, most // policy.weighed_stretches)
    parts = []
    for document in corpus.spans():
        last = document.start + int(np.ceil(share * (document.stop - document.start)))
        parts += [slice(begin, min(last, begin + length)) for begin in range(document.start, last, length)]
    head = mixture.head

    def read(group: list[slice]) -> tuple[Array, Array | None, Array]:
        with Tape(record=False):
            x, _ = mixture.forward(Batch.of([inputs[part] for part in group]))
            wanted = Batch.of([targets[part] for part in group]).ids
            rows = x.value
            counted = wanted >= 0
            features = head.features(rows)
            places = Batch.of([np.arange(part.start, part.stop) for part in group]).ids
            return (np.array(head.nll_by_part(rows, wanted))[:, counted],
                    None if features is None else features[counted], places[counted])
    with one_thread_products(), Workers(threads) as workers:
        together = policy.stretches_at_once
        groups = [parts[first: first + together] for first in range(0, len(parts), together)]
        found = workers.map(read, groups)
    loss, places = np.concatenate([nats for nats, _, _ in found], axis=1), np.concatenate([at for *_, at in found])
    features = [features for _, features, _ in found if features is not None]
    return Weighed(loss, np.concatenate(features) if features else None, places)


def evaluate_counts(model: KneserNey, corpus: Corpus, held_out: Corpus | None, threads: int | None, seconds: float,
                    interrupt: Interrupt) -> History:
    """Return the history of an n-gram model that was counted in so many seconds, and what it makes of held-out text,
    unless that is interrupted."""
    history = History(ended=f"counted {len(model.tables['word']):,} n-grams of up to {model.order} tokens in "
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
    spans = list(corpus.spans())
    with Workers(threads) as workers:
        nats = score_sequences(model, [inputs[span] for span in spans], [targets[span] for span in spans], workers)
    return float(np.concatenate(nats).sum()) / max(1, int((targets >= 0).sum()))
