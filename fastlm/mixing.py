"""n-grams counted and a network trained on one text, and the two mixed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch
from fastlm.models import Adaptive, Corrected, Ensemble, KneserNey, Mixture, PrefixModel, gate
from fastlm.models.mixture import Mixed
from fastlm.planner import PASSES, SMALL
from fastlm.scoring import score_sequences
from fastlm.text.corpus import Corpus
from fastlm.training import History, Plan, Trainer
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import Clock
from fastlm.training.left_out import leave_out
from fastlm.training.optim import AdamW, Optimizer, from_config
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray
_WEIGHED = 1 << 14          # held-out tokens that a mixture's weights are fitted on, but no more than
_WEIGHED_A_SECOND = 2000    # of the budget
_PIECES = 64                # in which they are read,
_TOGETHER = 16              # so many of them side by side
_LONG = 45.0                # seconds from which on steps of more lanes than the trainer's own are better
_LANES = 32
_CHUNK = 64                 # characters of a lane a step
_CHUNKED = 200_000          # in texts of so many, whose steps are many all the same
_GATED = 4e-5               # seconds a token that fitting the gate, and how much to adapt, takes
_ADAPTED = 10.0             # seconds from which on it is chosen how much to adapt
_TIMED = 4                  # one in so many is scored before training, to know how long all will take
LARGE = 8_000_000           # tokens up to which n-grams of factors are counted too, and all n-grams a second time
_DEARER = 3.0               # times as long as plain ones
_FOLDS = 8                  # at least, in which a text is left out of what is counted, for a network that corrects it,
_FOLDS_SHARE = 0.5          # as many of them as take no more than so much of the time that is left,
_FOLD = 0.7                 # each so much of counting,
_FOLDS_BYTES = 6e8          # and no more memory;
_LEAST_FOLDED = 2000        # of shorter texts, what is counted would be too little
_SAVING = 0.06              # seconds that writing the model and leaving may take, and
_WRITTEN = 4e8              # bytes of it a second


@dataclass(frozen=True)
class Text:
    """What to train on, what to judge by (or None), and ``whole``: all of it, where both came from one source."""

    corpus: Corpus
    held_out: Corpus | None
    whole: Corpus | None


@dataclass
class Fitting:
    """How a network is to be trained, and for how long."""

    seconds: float | None
    epochs: float | None
    plan: Plan | None
    seed: int
    threads: int | None
    optimizer: Optimizer | None
    clock: Clock
    held_out: float           # share of the text that was held out of it, if it was
    report: dict[str, Any]    # the arguments of `Trainer.fit` for progress and checkpoints

    def fit(self, network: PrefixModel, text: Text, reserved: float = 0.0,
            passes: float | None = None, lanes: int | None = None,
            chunk: int | None = None) -> tuple[History, Plan | None]:
        """Trains a network; `reserved` of the seconds are left to what follows, and `passes` are enough."""
        plan = self.plan
        network.initialise(np.bincount(text.corpus.ids, minlength=network.vocab_size).astype(np.float64))
        trainer = Trainer(network, from_config(plan.optimizer) if plan else self.optimizer or AdamW(lr=1e-2),
                          seed=plan.seed if plan else self.seed, threads=self.threads, lanes=lanes, chunk=chunk)
        history = trainer.fit(text.corpus, text.held_out, epochs=passes if self.seconds else self.epochs,
                              budget=self.seconds, plan=plan, clock=self.clock, reserve=reserved, **self.report)
        return history, trainer.plan


def fit_mixture(counts: list[Any], choose: Callable[[float | None, int], tuple[list[PrefixModel], float]],
                text: Text, fitting: Fitting, settled: Ensemble | None = None
                ) -> tuple[PrefixModel, History, Plan | None, Adaptive | None]:
    """Counts, trains, weighs by the held-out text, and counts that as well where a tenth of the time is enough for it.

    counts: plain n-grams first, then others for which there may be time. choose: gives the networks for the time until
    so many seconds and a text of so many tokens, none where that is too short for one; then the n-grams are all there
    is; and the share of the loss that is their own, see `Corrected`. settled: the model, of a run that is being
    continued or done again. Last comes the model as it adapts, where there was time to choose by how much.
    """
    clock, seconds, held_out, threads = fitting.clock, fitting.seconds, text.held_out, fitting.threads
    end = 0.985 * seconds if seconds is not None else float("inf")
    weighed = _WEIGHED if seconds is None else int(min(_WEIGHED, max(1.0, seconds) * _WEIGHED_A_SECOND))
    begun = clock.seconds()
    if settled is not None:
        counts = [part for part in settled.parts if not part.parameters]
    counts[0].fit(text.corpus, threads)
    now = clock.seconds()
    late = settled is None and seconds is not None and (held_out is None or now + _DEARER * (now - begun) > 0.85 * end)
    if late or (len(text.corpus.ids) > LARGE and settled is None):
        counts = counts[:1]
    for part in counts[1:]:
        part.fit(text.corpus, threads)
    counted = 1.1 * (clock.seconds() - begun)
    recounts = text.whole if held_out is not None else None
    if (fitting.plan is not None and not fitting.plan.recounted) or 10 * counted > end:
        recounts = None
    reserved = _SAVING + sum(table.nbytes for part in counts for table in part.tables.values()) / _WRITTEN
    reserved += counted if recounts is not None else 0.0
    left = None if seconds is None else end - clock.seconds() - reserved
    folds, done = _folds(counts, text.corpus, left, counted) if settled is None else (
        settled.options.get("folds", 0), settled.options.get("done", 0))
    left_out, read = leave_out(counts, text.corpus, folds, done, threads) if folds else (None, text.corpus)
    mixture: Mixture
    if settled is None:
        networks, own = choose(None if seconds is None else end - reserved, len(read.ids))
        mixture = _mixture(counts, networks, folds, done, own)
    else:
        mixture = settled
    if isinstance(mixture, Corrected):
        mixture.left_out = left_out
    history, plan = History(ended=f"counted {sum(len(part.tables['word']) for part in counts):,} n-grams"), None
    adaptive = None
    if isinstance(mixture, Ensemble):
        if seconds is not None and held_out is not None:
            begun = clock.seconds()
            judged(mixture, held_out, threads, weighed // _TIMED)
            reserved += 1.2 * _TIMED * (clock.seconds() - begun) + _GATED * weighed
        long = seconds is not None and seconds >= _LONG
        history, plan = fitting.fit(mixture, replace(text, corpus=read), min(reserved, (seconds or 0.0) / 2), PASSES,
                                    _LANES if long else None, _CHUNK if folds and len(read.ids) >= _CHUNKED else None)
        if isinstance(mixture, Corrected):
            mixture.left_out = left_out = None
    if held_out is not None:
        loss, gated, places = judged(mixture, held_out, threads, weighed)
        mixture.fit(list(loss), gated)
        if len(mixture.parts) > 1 and (seconds is None or seconds >= _ADAPTED):
            adaptive = _adaptive(mixture, held_out, loss, gated, places)
    if recounts is not None:
        for part in counts:
            part.fit(recounts, threads)
    if isinstance(counts[0], KneserNey):
        history.ended += counts[0].note
    if len(mixture.parts) == 1:
        return counts[0], history, None, None
    weights = ", ".join(f"{weight:.2f}" for weight in mixture.weights)
    history.ended += f"; mixed by weights of {weights} and a gate that gains {mixture.gain:.4f} nats"
    plan = plan and replace(plan, recounted=recounts is not None, held_out=fitting.held_out)
    return mixture, history, plan, adaptive


def _folds(counts: list[Any], corpus: Corpus, left: float | None, counted: float) -> tuple[int, int]:
    """Into how many folds to cut a text for a network that corrects its n-grams, and for how many of them there is time
    and memory to find what these say with the fold left out: none where that does not pay.

    left: seconds; counted: those that counting took.
    """
    model, tokens = counts[0], len(corpus.ids)
    if model.vocab_size > SMALL or tokens < _LEAST_FOLDED or (isinstance(model, KneserNey) and model.note):
        return 0, 0   # a text that was counted in part would meet n-grams that leave_out does not know
    size = len(counts) * model.vocab_size * tokens
    folds = max(_FOLDS, math.ceil(size / _FOLDS_BYTES))
    done = min(folds, int(folds * _FOLDS_BYTES / size))
    if left is not None:
        done = min(done, int(_FOLDS_SHARE * max(0.0, left) / (_FOLD * counted)))
    elif done < folds:   # so many passes are asked for, over all of the text
        return 0, 0
    return (folds, done) if done else (0, 0)


def _mixture(counts: list[Any], networks: list[PrefixModel], folds: int, done: int, own: float) -> Mixture:
    size, parts = counts[0].vocab_size, [*counts, *networks]
    if not networks:
        return Mixture(size, parts)
    return Corrected(size, parts, folds, done, own) if folds else Ensemble(size, parts)


def _adaptive(mixture: Mixture, corpus: Corpus, loss: Array, read: Array | None, places: Array) -> Adaptive:
    """The model that adapts, its weights chosen on the tokens that were judged."""
    inputs, targets, starts = read_and_predict(corpus)
    weights = np.log(mixture.weights)[None] if read is None else gate.log_weights(mixture.weights, mixture.gate, read)
    nats, known = np.zeros(len(targets)), np.full(len(targets), -1, np.int32)
    nats[places], known[places] = -np.logaddexp.reduce(weights.T - loss, axis=0), targets[places]
    end = int(places.max(initial=-1)) + 1
    return Adaptive(mixture.vocab_size, mixture).fit(inputs[:end], known[:end], starts[:end], nats[:end])


def judged(mixture: Mixture, corpus: Corpus, threads: int | None,
           most: int = _WEIGHED) -> tuple[Array, Array | None, Array]:
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
    layer = mixture.output_layer
    assert isinstance(layer, Mixed)

    def read(group: list[slice]) -> tuple[Array, Array | None, Array]:
        with Tape(record=False):
            x, _ = mixture.read(Batch.of([inputs[part] for part in group]))
            wanted = Batch.of([targets[part] for part in group]).ids
            rows = layer.rows(x)
            counted = wanted >= 0
            features = layer.read(rows)
            places = Batch.of([np.arange(part.start, part.stop) for part in group]).ids
            return (np.array(layer.each_nats(rows, wanted))[:, counted],
                    None if features is None else features[counted], places[counted])
    with one_thread_products(), Workers(threads) as workers:
        groups = [parts[first: first + _TOGETHER] for first in range(0, len(parts), _TOGETHER)]
        found = workers.run([lambda group=group: read(group) for group in groups])  # type: ignore[misc]
    loss, places = np.concatenate([nats for nats, _, _ in found], axis=1), np.concatenate([at for *_, at in found])
    features = [features for _, features, _ in found if features is not None]
    return loss, np.concatenate(features) if features else None, places


def judge(model: KneserNey, text: Text, threads: int | None, clock: Clock) -> History:
    """The history of a count model that was just fitted: how long it took, and what it makes of the held-out text."""
    seconds = clock.seconds()
    history = History(ended=f"counted {len(model.tables['word']):,} n-grams of up to {model.order} tokens in "
                            f"{seconds:.2f} s{model.note}")
    if text.held_out is not None:
        losses = []
        for part in (text.corpus, text.held_out):
            inputs, targets, _ = read_and_predict(part)
            spans = [slice(a, b) for a, b in zip(part.offsets[:-1].tolist(), part.offsets[1:].tolist(), strict=True)]
            with Workers(threads) as workers:
                nats = score_sequences(model, [inputs[s] for s in spans], [targets[s] for s in spans], workers)
            losses.append(float(np.concatenate(nats).sum()) / max(1, int((targets >= 0).sum())))
        history.records.append({"step": 1, "seconds": round(seconds, 3), "tokens": len(text.corpus.ids),
                                "loss": losses[0], "valid": losses[1], "rate": 0.0})
    return history
