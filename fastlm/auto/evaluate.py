"""What held-out text says of models: how well they predict it, and what a mixture is weighed by."""

from __future__ import annotations

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch
from fastlm.models import CacheModel, KneserNey, Mixture
from fastlm.models.cache import CACHES
from fastlm.models.mixture import gate
from fastlm.models.mixture.heads import MixtureHead
from fastlm.scoring import score_sequences
from fastlm.text.corpus import Corpus
from fastlm.training import History
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import Clock
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray
_PIECES = 64     # in which held-out text is read,
_TOGETHER = 16   # so many of them side by side


def adapting(mixture: Mixture, corpus: Corpus, loss: Array, read: Array | None, places: Array,
             unit: str) -> CacheModel:
    """The model that adapts, its weights chosen on the tokens that were judged."""
    inputs, targets, starts = read_and_predict(corpus)
    weights = np.log(mixture.weights)[None] if read is None else gate.log_weights(mixture.weights, mixture.gate, read)
    nats, known = np.zeros(len(targets)), np.full(len(targets), -1, np.int32)
    nats[places], known[places] = -np.logaddexp.reduce(weights.T - loss, axis=0), targets[places]
    end = int(places.max(initial=-1)) + 1
    cache = CacheModel(mixture.vocab_size, mixture, **CACHES[unit])
    return cache.fit(inputs[:end], known[:end], starts[:end], nats[:end])


def judged(mixture: Mixture, corpus: Corpus, threads: int | None,
           most: int) -> tuple[Array, Array | None, Array]:
    """-log p (K, N) float64 of about `most` tokens, the first of every document, by each model mixed, what the gate
    reads of their contexts (N, 6), and which tokens of the corpus these are (N,).

    They are read side by side in 64 pieces or more, each from an empty prefix.
    """
    inputs, targets, _ = read_and_predict(corpus)
    share, length = min(1.0, most / max(1, len(corpus.ids))), max(1, most // _PIECES)
    parts = []
    for first, last in zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True):
        last = first + int(np.ceil(share * (last - first)))
        parts += [slice(begin, min(last, begin + length)) for begin in range(first, last, length)]
    head = mixture.head
    assert isinstance(head, MixtureHead)

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
        groups = [parts[first: first + _TOGETHER] for first in range(0, len(parts), _TOGETHER)]
        found = workers.run([lambda group=group: read(group) for group in groups])  # type: ignore[misc]
    loss, places = np.concatenate([nats for nats, _, _ in found], axis=1), np.concatenate([at for *_, at in found])
    features = [features for _, features, _ in found if features is not None]
    return loss, np.concatenate(features) if features else None, places


def judge(model: KneserNey, corpus: Corpus, held_out: Corpus | None, threads: int | None, clock: Clock) -> History:
    """The history of a count model that was just fitted: how long it took, and what it makes of the held-out text."""
    seconds = clock.seconds()
    history = History(ended=f"counted {len(model.tables['word']):,} n-grams of up to {model.order} tokens in "
                            f"{seconds:.2f} s{model.note}")
    if held_out is not None:
        losses = []
        for part in (corpus, held_out):
            inputs, targets, _ = read_and_predict(part)
            spans = [slice(a, b) for a, b in zip(part.offsets[:-1].tolist(), part.offsets[1:].tolist(), strict=True)]
            with Workers(threads) as workers:
                nats = score_sequences(model, [inputs[s] for s in spans], [targets[s] for s in spans], workers)
            losses.append(float(np.concatenate(nats).sum()) / max(1, int((targets >= 0).sum())))
        history.records.append({"step": 1, "seconds": round(seconds, 3), "tokens": len(corpus.ids),
                                "loss": losses[0], "valid": losses[1], "rate": 0.0})
    return history
