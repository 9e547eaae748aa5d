"""n-grams counted and a network trained on one text, and the two mixed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlm.auto.cross_fit import leave_out
from fastlm.auto.evaluate import adapting, judged
from fastlm.auto.size import PASSES, SMALL
from fastlm.models import CacheModel, CrossFittedLoss, KneserNey, Mixture, PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training import History, Plan, Trainer
from fastlm.training.budget import Clock
from fastlm.training.optim import AdamW, Optimizer, from_config

Choose = Callable[[float | None, int, bool], tuple[list[PrefixModel], float]]
_WEIGHED = 1 << 14          # held-out tokens that a mixture's weights are fitted on, but no more than
_WEIGHED_A_SECOND = 2000    # of the budget
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
    recorded: Plan | None     # of the run that is repeated or continued
    seed: int
    threads: int | None
    optimizer: Optimizer | None
    clock: Clock
    held_out: float           # share of the text that was held out of it, if it was
    unit: str
    report: dict[str, Any]    # the arguments of `Trainer.fit` for progress and checkpoints

    def fit(self, network: PrefixModel, text: Text, reserved: float = 0.0,
            passes: float | None = None, lanes: int | None = None,
            chunk: int | None = None, loss: Any = "cross_entropy") -> tuple[History, Plan | None]:
        """Trains a network; `reserved` of the seconds are left to what follows, and `passes` are enough."""
        plan = self.plan
        network.initialise(np.bincount(text.corpus.ids, minlength=network.vocab_size).astype(np.float64))
        trainer = Trainer(network, from_config(plan.optimizer) if plan else self.optimizer or AdamW(lr=1e-2),
                          seed=plan.seed if plan else self.seed, threads=self.threads, lanes=lanes, chunk=chunk,
                          loss=loss)
        history = trainer.fit(text.corpus, text.held_out, epochs=passes if self.seconds else self.epochs,
                              budget=self.seconds, plan=plan, clock=self.clock, reserve=reserved, **self.report)
        return history, trainer.plan


class Mixing:
    """Counts n-grams, trains networks beside them, weighs both by the held-out text, and counts that as well where a
    tenth of the time is enough for it.

    ``counts``: plain n-grams first, then others for which there may be time. ``settled``: the model, of a run that is
    being continued or done again. After `fit`: ``history``, ``plan`` (None without networks), and ``adaptive``, the
    model as it adapts, where there was time to choose by how much.
    """

    def __init__(self, counts: list[Any], text: Text, fitting: Fitting, settled: Mixture | None = None) -> None:
        self.counts: list[Any] = counts
        if settled is not None:
            self.counts = [part for part in settled.parts if not part.parameters]
        self.text, self.fitting, self.settled = text, fitting, settled
        self.unit = fitting.unit
        self.clock, self.seconds, self.threads = fitting.clock, fitting.seconds, fitting.threads
        self.end = 0.985 * self.seconds if self.seconds is not None else float("inf")
        self.weighed = _WEIGHED if self.seconds is None else int(
            min(_WEIGHED, max(1.0, self.seconds) * _WEIGHED_A_SECOND))
        self.history = History()
        self.plan: Plan | None = None
        self.adaptive: CacheModel | None = None

    def fit(self, choose: Choose) -> PrefixModel:
        """The model. choose: `Selection.beside`; where it gives no networks the n-grams are all there is."""
        counted = self._count()
        recounts = self.text.whole if self.text.held_out is not None else None
        if (self.fitting.plan is not None and not self.fitting.plan.recounted) or 10 * counted > self.end:
            recounts = None
        # what is left to do after training, in seconds
        after = _SAVING + sum(table.nbytes for part in self.counts for table in part.tables.values()) / _WRITTEN
        after += counted if recounts is not None else 0.0
        mixture, read, loss = self._settle(choose, after, counted)
        self.history.ended = f"counted {sum(len(part.tables['word']) for part in self.counts):,} n-grams"
        if mixture.networks:
            self._train(mixture, read, after, loss)
        if self.text.held_out is not None:
            self._weigh(mixture, self.text.held_out)
        if recounts is not None:
            for part in self.counts:
                part.fit(recounts, self.threads)
        if isinstance(self.counts[0], KneserNey):
            self.history.ended += self.counts[0].note
        if len(mixture.parts) == 1:
            return self.counts[0]
        weights = ", ".join(f"{weight:.2f}" for weight in mixture.weights)
        self.history.ended += f"; mixed by weights of {weights} and a gate that gains {mixture.gain:.4f} nats"
        self.plan = self.plan and replace(self.plan, recounted=recounts is not None, held_out=self.fitting.held_out)
        return mixture

    def _count(self) -> float:
        """Counts as much as there is time for; how many seconds doing it again would take."""
        begun = self.clock.seconds()
        self.counts[0].fit(self.text.corpus, self.threads)
        if self.settled is None:
            now = self.clock.seconds()
            late = self.seconds is not None and (self.text.held_out is None
                                                 or now + _DEARER * (now - begun) > 0.85 * self.end)
            if late or len(self.text.corpus.ids) > LARGE:
                self.counts = self.counts[:1]
        for part in self.counts[1:]:
            part.fit(self.text.corpus, self.threads)
        return 1.1 * (self.clock.seconds() - begun)

    def _settle(self, choose: Choose, after: float, counted: float) -> tuple[Mixture, Corpus, Any]:
        """The mixture, to be trained, and the text to train it on."""
        corpus = self.text.corpus
        if self.settled is None:
            left = None if self.seconds is None else self.end - self.clock.seconds() - after
            folds, done = _folds(self.counts, corpus, left, counted)
        else:
            assert self.fitting.recorded is not None
            folds, done = self.fitting.recorded.folds, self.fitting.recorded.fitted_folds
        table, read = leave_out(self.counts, corpus, folds, done, self.threads) if folds else (None, corpus)
        if self.settled is None:
            networks, own = choose(None if self.seconds is None else self.end - after, len(read.ids),
                                   self.text.held_out is not None)
            mixture = Mixture(self.counts[0].vocab_size, [*self.counts, *networks], bool(networks) and folds > 0)
        else:
            assert self.fitting.recorded is not None
            mixture, own = self.settled, self.fitting.recorded.network_loss_share
        loss = CrossFittedLoss(table, own, folds, done) if table is not None and mixture.residual else "cross_entropy"
        return mixture, read, loss

    def _train(self, mixture: Mixture, read: Corpus, after: float, loss: Any) -> None:
        """Trains the networks until what is left to do after it must begin."""
        if self.seconds is not None and self.text.held_out is not None:
            begun = self.clock.seconds()
            judged(mixture, self.text.held_out, self.threads, self.weighed // _TIMED)
            after += 1.2 * _TIMED * (self.clock.seconds() - begun) + _GATED * self.weighed
        long = self.seconds is not None and self.seconds >= _LONG
        chunk = _CHUNK if mixture.residual is not None and len(read.ids) >= _CHUNKED else None
        self.history, self.plan = self.fitting.fit(
            mixture, replace(self.text, corpus=read), min(after, (self.seconds or 0.0) / 2), PASSES,
            _LANES if long else None, chunk, loss)

    def _weigh(self, mixture: Mixture, held_out: Corpus) -> None:
        """Fits the weights, the gate and by how much to adapt."""
        loss, read, places = judged(mixture, held_out, self.threads, self.weighed)
        mixture.estimate_weights(list(loss), read)
        if len(mixture.parts) > 1 and (self.seconds is None or self.seconds >= _ADAPTED):
            self.adaptive = adapting(mixture, held_out, loss, read, places, self.unit)


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
