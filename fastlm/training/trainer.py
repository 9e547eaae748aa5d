"""The training loop: batches in, steps down the gradient, the best weights out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from fastlm.files import atomic
from fastlm.models.base import PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training import checkpoint as checkpoints
from fastlm.training.batches import DocumentBatches, StreamBatches, longest_document
from fastlm.training.budget import Clock, parse_budget
from fastlm.training.history import History, Plan
from fastlm.training.interrupt import Interrupt
from fastlm.training.loop_settings import LoopSettings
from fastlm.training.losses import HeadLoss, Loss
from fastlm.training.optim import AdamW, Optimizer
from fastlm.training.run import Run
from fastlm.workers import Workers, check_threads, one_thread_products

_SEQUENCE_LENGTH = 32     # tokens of a lane that a gradient goes back through
_FEW_IDS = 512            # of a vocabulary of at most so many ids a row is cheap, so that batches may be wider:
_LARGEST = {True: 32, False: 16}   # sequences side by side, there and elsewhere; on a CPU many small steps learn more
_LEAST_STEPS = 4          # of an epoch: batches of a short corpus are narrower, so that there still are some steps


def batch_size_for(tokens: int, largest: int, sequence_length: int = _SEQUENCE_LENGTH) -> int:
    """Return how many stretches of a corpus of so many tokens are read side by side: `largest`, or fewer of a short
    corpus.

    >>> batch_size_for(100_000, 32), batch_size_for(1_000, 32), batch_size_for(3, 32)
    (32, 7, 1)
    """
    return max(1, min(largest, tokens // (_LEAST_STEPS * sequence_length)))


class Trainer:
    """Trains a prefix model by a stochastic gradient method.

    ``loss``: "cross_entropy", "squared" or a `losses.Loss`; ``clip``: largest global norm of a step's gradient, None
    for no limit; ``batch_size``: how many stretches of a long text are read side by side; ``sequence_length``: how many
    tokens of each make a step, through which its gradient goes back (None: both by the size of the corpus);
    ``shards``: parts of a batch whose gradients are computed apart and then added, so that up to as many threads help
    and every number of them gives the same bytes; ``threads``: None for all there are; ``loop``: how often the run
    evaluates and reports, see `LoopSettings`.

    >>> trainer = Trainer(PositionalOneHot(9, 4), optimizer=AdamW(lr=0.1))    # doctest: +SKIP
    >>> history = trainer.fit([[3, 1, 4, 1, 5]], epochs=100)                  # doctest: +SKIP
    """

    def __init__(self, model: PrefixModel, optimizer: Optimizer | None = None, loss: str | Loss = "cross_entropy",
                 clip: float | None = 1.0, batch_size: int | None = None, sequence_length: int | None = None,
                 shards: int = 2, seed: int = 0, threads: int | None = None, *,
                 loop: LoopSettings | None = None) -> None:
        for name, value in (("batch_size", batch_size), ("sequence_length", sequence_length), ("shards", shards)):
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value}; at least 1 was expected")
        if fixed := [name for name, parameter in model.parameters.items() if not parameter.trainable]:
            raise ValueError(f"{', '.join(fixed)} are int8, for prediction; training expects a float32 model")
        self.loss: Loss = HeadLoss(loss) if isinstance(loss, str) else loss
        self.loss.check(model)
        self.model, self.optimizer = model, optimizer or AdamW()
        self.clip, self.seed = clip, seed
        self.batch_size, self.sequence_length, self.shards = batch_size, sequence_length, shards
        self.threads, self.loop = check_threads(threads), loop or LoopSettings()
        self.history = History()
        self.plan: Plan | None = None

    def fit(self, corpus: Corpus | Iterable[Any], valid: Corpus | Iterable[Any] | None = None,
            epochs: float | None = None, budget: float | str | None = None, plan: Plan | None = None,
            progress: Callable[[dict[str, Any]], None] | None = None, checkpoint: str | os.PathLike[str] | None = None,
            checkpoint_every: float = 60.0, clock: Clock | None = None, reserve: float = 0.0,
            interrupt: Interrupt | None = None) -> History:
        """Trains for a number of epochs, for a time, or as a recorded plan says; returns the history.

        Of epochs and a budget both, what is over first ends the run.

        corpus, valid: a Corpus, or id sequences, one a document. budget: seconds, counted from `clock` where one is
        given; `reserve` of them are left to what the caller does next. The learning rate falls to zero by the end
        of whichever it is. Where valid is given, the weights with the lowest held-out loss of those looked at are
        kept. progress: called about twice a second with the figures; what it raises is raised here, after the
        checkpoint was written and the best weights so far were put into the model. checkpoint: a file written every
        `checkpoint_every` seconds and at the end; where it exists the run goes on from it and ends with the bytes of
        one that was never stopped. One that cannot be written is a warning, and is tried again in as many seconds.
        Ctrl-C, SIGTERM and SIGHUP end the run after its step with the best weights so far: `History.reason` tells.
        interrupt: the `Interrupt` that waits for them, where the caller has entered one. Raises ValueError for an empty
        corpus, one shorter than a batch, or when nothing, or a plan and something else, says how long; IndexError for
        ids outside the vocabulary.
        """
        clock = clock or Clock()
        if (epochs is None and budget is None) == (plan is None):
            raise ValueError("epochs, a budget or both, or a plan alone, must say how long to train")
        if epochs is not None and not 0 < epochs < float("inf"):
            raise ValueError(f"epochs = {epochs}; a number above 0 was expected")
        seconds = None if budget is None else parse_budget(budget)
        text = self._checked(corpus, "corpus")
        held_out = None if valid is None else self._checked(valid, "valid")
        batches, self.plan = self._prepare(text, plan)
        total = plan.kept if plan else None if epochs is None else max(1, round(epochs * batches.per_epoch))
        run = Run(self.model, self.optimizer, self.loss, self.plan, batches, held_out, clock, total, seconds, reserve,
                  self.loop)
        self.history = run.history
        if checkpoint is not None:
            atomic.check_writable(checkpoint)
            import hashlib  # here, since it costs `import fastlm` 4 ms
            run.fingerprint = hashlib.sha256(text.ids.tobytes() + text.offsets.tobytes()).hexdigest()
            if os.path.exists(checkpoint):
                run.load_state_dict(checkpoints.load(checkpoint), os.fspath(checkpoint))
        with one_thread_products(), Workers(self.threads) as workers, (
                nullcontext(interrupt) if interrupt else Interrupt()) as signals:
            run.go(plan, workers, signals, progress, checkpoint, checkpoint_every)
        self.plan = run.plan
        return self.history

    def _checked(self, corpus: Corpus | Iterable[Any], name: str) -> Corpus:
        if not isinstance(corpus, Corpus):
            corpus = Corpus.from_ids(list(corpus))
        self.model.check(corpus.ids)
        least = 1 if corpus.boundary is not None else 2
        if int(np.diff(corpus.offsets).max(initial=0)) < least:
            raise ValueError(f"{name} has {len(corpus.ids)} tokens and no (prefix, target) pair; a document of at "
                             f"least {least} was expected")
        return corpus

    def _prepare(self, corpus: Corpus, plan: Plan | None) -> tuple[StreamBatches | DocumentBatches, Plan]:
        tokens = len(corpus.ids)
        sequence_length = plan.sequence_length if plan else self.sequence_length or _SEQUENCE_LENGTH
        batch_size = plan.batch_size if plan else self.batch_size or batch_size_for(
            tokens, _LARGEST[self.model.vocab_size <= _FEW_IDS], sequence_length)
        if self.batch_size is not None and self.batch_size > 1 and tokens < 2 * batch_size:
            raise ValueError(f"the corpus has {tokens} tokens; batches of {batch_size} need at least {2 * batch_size}")
        whole = longest_document(corpus) <= _LEAST_STEPS * sequence_length
        batching = plan.batching if plan else "documents" if whole else "stream"
        shards, seed = (plan.shards, plan.seed) if plan else (self.shards, self.seed)
        batches: StreamBatches | DocumentBatches
        if batching == "documents":
            batches = DocumentBatches(corpus, batch_size * sequence_length, shards, seed)
        else:
            batches = StreamBatches(corpus, batch_size, sequence_length, shards, seed)
        made = Plan(self.model.config(), self.optimizer.config(), self.loss.name, self.clip or 0.0, batching,
                    batch_size, sequence_length, shards, seed, **self.loss.record())
        for name in ("model", "optimizer", "loss", "clip", "network_loss_share"):
            if plan is not None and getattr(plan, name) != getattr(made, name):
                raise ValueError(f"the plan has {name} = {getattr(plan, name)} and the trainer {getattr(made, name)}; "
                                 "the same was expected")
        return batches, made
