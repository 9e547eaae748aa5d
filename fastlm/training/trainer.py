"""Trainer: trains one prefix model by a stochastic gradient method."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from fastlm.files import atomic
from fastlm.models.base import PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.text.stored import parts
from fastlm.training import checkpoint as checkpoints
from fastlm.training.batches import DocumentBatches, StreamBatches, has_short_documents
from fastlm.training.budget import Clock, parse_budget
from fastlm.training.history import History, Plan
from fastlm.training.interrupt import Interrupt
from fastlm.training.loop_settings import LoopSettings
from fastlm.training.losses import HeadLoss, Loss
from fastlm.training.optim import AdamW, Optimizer
from fastlm.training.run import Run
from fastlm.workers import Workers, check_threads, one_thread_products

_SEQUENCE_LENGTH = 32     # tokens that a gradient goes back through
_FEW_IDS = 512            # largest vocabulary whose output rows are cheap, so that batches may be larger
_BATCH_SIZE = 16          # stretches side by side: on a CPU many small steps learn more than few large ones
_BATCH_SIZE_OF_FEW_IDS = 32
_LEAST_STEPS = 4          # of an epoch: a short corpus has smaller batches, so that an epoch has at least these


def batch_size_for(tokens: int, largest: int, sequence_length: int = _SEQUENCE_LENGTH) -> int:
    """Return the batch size for a corpus of `tokens` tokens: `largest`, or less for a short corpus.

    >>> batch_size_for(100_000, 32), batch_size_for(1_000, 32), batch_size_for(3, 32)
    (32, 7, 1)
    """
    return max(1, min(largest, tokens // (_LEAST_STEPS * sequence_length)))


class Trainer:
    """Trains one prefix model by a stochastic gradient method.

    Parameters
    ----------
    model : PrefixModel
        The model whose parameters are trained, in place. Its matrices have to be float32: models in int8 are for
        prediction alone.
    optimizer : Optimizer, default None
        One of `fastlm.optim`. None: ``AdamW()``, whose peak learning rate is 0.003 and whose ``beta2`` is 0.99, where
        the paper and other libraries have 0.999.
    loss : "cross_entropy", "squared" or a `losses.Loss`, default "cross_entropy"
        What is minimised: the mean over targets of -log p, or of the squared distance between the probabilities and
        the one-hot vector of the target (Brier 1950).
    clip : float, default 1.0
        Largest global norm of a step's gradient; longer gradients are scaled down to it. None for no limit.
    batch_size : int, default None
        How many stretches of a long text are read side by side. None: 32 for vocabularies of up to 512 ids, 16 for
        larger ones, and less for a short corpus.
    sequence_length : int, default None
        How many tokens of each stretch make a step; gradients go back through them and no further. None: 32. A corpus
        whose documents all have at most four times as many tokens is read in whole documents, `batch_size` x
        `sequence_length` tokens a step.
    shards : int, default 2
        Into how many parts a batch is cut, whose gradients are computed side by side and added in a fixed order. More
        threads than shards do not help; the weights depend on the number of shards and not on the number of threads.
    seed : int, default 0
        Decides the order of documents and what dropout and sampling draw. The model has a seed of its own for its
        first weights.
    threads : int, default None
        How many threads work; None for as many as this process may use.
    loop : LoopSettings, default None
        How often a run evaluates and reports, and how its learning rate climbs; None for the usual numbers.

    Raises
    ------
    ValueError
        For a size or a number of threads below 1, an unknown loss or one that the model does not have, and a model
        with matrices in int8.

    Example
    -------
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
        """Train the model for a number of epochs, for a time, or as a recorded plan says.

        Give `epochs`, `budget`, or both, or a `plan` alone. The learning rate climbs at first and falls to zero by the
        end of the run. The first Ctrl-C, SIGTERM or SIGHUP ends the run after its step, with the best weights so far in
        the model; a second one has its usual effect. A loss that is not finite ends the run with a warning, and the
        last good weights are in the model.

        Parameters
        ----------
        corpus : Corpus, or iterable of id sequences
            The text to train on; each sequence is one document.
        valid : Corpus, or iterable of id sequences, default None
            Held-out text, on which the model is evaluated about ten times. The weights with the lowest loss are in the
            model at the end. None: the last weights are.
        epochs : float, default None
            Passes over the corpus.
        budget : seconds, or "90s", "10m", "1h", default None
            Wall-clock time, counted from `clock`. With `epochs` too, the run ends with whichever is over first.
        plan : Plan, default None
            The plan of an earlier run, ``trainer.plan``, which is repeated step by step.
        progress : function, default None
            Is called about twice a second with a dict of figures: "step", "seconds", "tokens", "progress",
            "tokens_per_second", "seconds_left", "loss", "valid" and "rate". An error that it raises ends the run: the
            checkpoint is written, the best weights so far are put into the model, and the error is raised.
        checkpoint : path, default None
            A file that is written every `checkpoint_every` seconds and at the end. Where it exists, the run goes on
            from it, and ends with the bytes of a run that was never stopped. Where it cannot be written later on, a
            warning says so and training goes on.
        checkpoint_every : float, default 60.0
            Seconds between two checkpoints.
        clock : Clock, default None
            The clock by which the budget is counted; None for one that starts with this call.
        reserve : float, default 0.0
            Seconds of the budget that are left to what the caller does next.
        interrupt : Interrupt, default None
            What answers the signals, where the caller has entered one already; None for one of this call.

        Returns
        -------
        History
            Its ``records`` hold the figures of every evaluation, and its ``reason`` says why the run ended.
            ``trainer.plan`` is the plan that repeats the run.

        Raises
        ------
        ValueError
            For a corpus that is empty or shorter than a batch, a checkpoint or a plan of another run, a budget or
            epochs not above 0; or where nothing, or a plan and something else, says how long to train.
        IndexError
            For ids outside the vocabulary.
        OSError
            Where the checkpoint cannot be written or read, before training.

        Example
        -------
        >>> history = trainer.fit(corpus, valid=held_out, budget="10m")       # doctest: +SKIP
        >>> print(history)                                                    # doctest: +SKIP
        """
        clock = clock or Clock()
        if (epochs is None and budget is None) == (plan is None):
            raise ValueError("epochs, a budget or both, or a plan alone, must say how long to train")
        if epochs is not None and not 0 < epochs < float("inf"):
            raise ValueError(f"epochs = {epochs}; a number above 0 was expected")
        seconds = None if budget is None else parse_budget(budget)
        text = self._check_corpus(corpus, "corpus")
        held_out = None if valid is None else self._check_corpus(valid, "valid")
        batches, self.plan = self._prepare(text, plan)
        total = plan.kept if plan else None if epochs is None else max(1, round(epochs * batches.per_epoch))
        run = Run(self.model, self.optimizer, self.loss, self.plan, batches, held_out, clock, total, seconds, reserve,
                  self.loop)
        self.history = run.history
        if checkpoint is not None:
            atomic.check_writable(checkpoint)
            import hashlib  # here, since it costs `import fastlm` 4 ms
            fingerprint = hashlib.sha256()
            for _, part in parts(text.ids):
                fingerprint.update(part.data)
            fingerprint.update(text.offsets.data)
            run.fingerprint = fingerprint.hexdigest()
            if os.path.exists(checkpoint):
                run.load_state_dict(checkpoints.load(checkpoint), os.fspath(checkpoint))
        with one_thread_products(), Workers(self.threads) as workers, (
                nullcontext(interrupt) if interrupt else Interrupt()) as signals:
            run.go(plan, workers, signals, progress, checkpoint, checkpoint_every)
        self.plan = run.plan
        return self.history

    def _check_corpus(self, corpus: Corpus | Iterable[Any], name: str) -> Corpus:
        if not isinstance(corpus, Corpus):
            corpus = Corpus.from_ids(list(corpus))
        self.model.check(corpus.ids)
        least = 1 if corpus.boundary is not None else 2
        if int(np.diff(corpus.offsets).max(initial=0)) < least:
            raise ValueError(f"{name} has {len(corpus.ids)} tokens and no (prefix, target) pair; a document of at "
                             f"least {least} was expected")
        return corpus

    def _prepare(self, corpus: Corpus, plan: Plan | None) -> tuple[StreamBatches | DocumentBatches, Plan]:
        """Return the batches of a corpus, as in `plan` where one is given, and the plan of the run that is to come."""
        tokens = len(corpus.ids)
        sequence_length = plan.sequence_length if plan else self.sequence_length or _SEQUENCE_LENGTH
        batch_size = plan.batch_size if plan else self.batch_size or batch_size_for(
            tokens, _BATCH_SIZE_OF_FEW_IDS if self.model.vocab_size <= _FEW_IDS else _BATCH_SIZE, sequence_length)
        if self.batch_size is not None and self.batch_size > 1 and tokens < 2 * batch_size:
            raise ValueError(f"the corpus has {tokens} tokens; batches of {batch_size} need at least {2 * batch_size}")
        short = has_short_documents(corpus, sequence_length)
        batching = plan.batching if plan else "documents" if short else "stream"
        shards, seed = (plan.shards, plan.seed) if plan else (self.shards, self.seed)
        batches: StreamBatches | DocumentBatches
        if batching == "documents":
            batches = DocumentBatches(corpus, batch_size * sequence_length, shards, seed)
        else:
            batches = StreamBatches(corpus, batch_size, sequence_length, shards, seed)
        new = Plan(self.model.config(), self.optimizer.config(), self.loss.name, self.clip or 0.0, batching,
                   batch_size, sequence_length, shards, seed, **self.loss.record())
        for name in ("model", "optimizer", "loss", "clip", "network_loss_share"):
            if plan is not None and getattr(plan, name) != getattr(new, name):
                raise ValueError(f"the plan has {name} = {getattr(plan, name)} and the trainer {getattr(new, name)}; "
                                 "the same was expected")
        return batches, new
