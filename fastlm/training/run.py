"""One run of training: where it stands, and the best weights it has seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import State
from fastlm.models.base import PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training import checkpoint as checkpoints
from fastlm.training.batches import DocumentBatches, LaneBatches, Shard, longest_document
from fastlm.training.budget import Clock
from fastlm.training.history import History, Plan
from fastlm.training.interrupt import Interrupt
from fastlm.training.loop_settings import LoopSettings
from fastlm.training.optim import Optimizer
from fastlm.training.schedule import learning_rate
from fastlm.training.update import Update
from fastlm.workers import Workers

Array = np.ndarray
Batches = LaneBatches | DocumentBatches


class Run:
    """The loop of `Trainer.fit`. ``total``: steps to take, ``budget``: seconds, ``reserve`` of them for what follows;
    the first two may be None, one at a time."""

    def __init__(self, model: PrefixModel, optimizer: Optimizer, plan: Plan, batches: Batches, held_out: Corpus | None,
                 clock: Clock, total: int | None, budget: float | None, reserve: float = 0.0,
                 loop: LoopSettings | None = None) -> None:
        self.model, self.optimizer, self.plan, self.batches, self.clock = model, optimizer, plan, batches, clock
        self.total, self.budget, self.reserve, self.loop = total, budget, reserve, loop or LoopSettings()
        self.update = Update(model, optimizer, plan.shards, plan.clip or None)
        self.held_out = None if held_out is None else _held_out_batches(held_out, plan, self.loop.evaluation_tokens)
        self.states: list[State | None] = [None] * plan.shards
        self.history = History()
        self.begun, self.step, self.tokens, self.looks = clock.seconds(), 0, 0, 0
        self.rates: list[float] = []
        self.best: dict[str, Array] | None = None
        self.best_loss, self.kept = float("inf"), 0
        self.keep_next = True                    # the weights, once the next batch has shown that they are good
        self.look_seconds = self.step_seconds = 0.0
        self.loss, self.loss_tokens = 0.0, 0     # since the last record
        self.valid: float | None = None
        self.readers = [Tape(record=False) for _ in range(plan.shards)]
        self.look_batches: int | None = None     # how much of the held-out text a look may afford
        self.fingerprint = ""

    def progress(self) -> float:
        """Share of the run that is over, in [0, 1]."""
        share = 0.0 if self.total is None else min(1.0, self.step / self.total) if self.total else 1.0
        if self.budget is None:
            return share
        # one more step, one more look at the held-out text and the saving must fit in what remains
        after = self.reserve + self.step_seconds + 1.2 * self.look_seconds
        length = self.budget * self.loop.usable_share - after - self.begun
        return 1.0 if length <= 0 else max(share, min(1.0, (self.clock.seconds() - self.begun) / length))

    def go(self, replay: Plan | None, workers: Workers, interrupt: Interrupt,
           report: Callable[[dict[str, Any]], None] | None, checkpoint: Any, checkpoint_every: float) -> None:
        """Steps until the end, and leaves the kept weights in the model."""
        reported = saved = self.clock.seconds()
        ended, broken = "", False
        while self.progress() < 1 or (self.step == 0 and self.total != 0):
            before = self.clock.seconds()
            rate = (float(replay.rates[self.step]) if replay
                    else learning_rate(self.optimizer.lr, self.progress(), self.step, self.loop.warm_up_steps,
                                       self.loop.warm_up))
            loss, tokens, norm = self.one_step(rate, workers)
            if not (np.isfinite(loss) and np.isfinite(norm)):
                ended = (f"stopped at step {self.step}: the loss became {loss:g} with a gradient of norm {norm:g}; the "
                         "last good weights were kept (a lower learning rate may help)")
                warnings.warn(ended, stacklevel=4)
                broken = True
                break
            self.rates.append(rate)
            self.step, self.tokens = self.step + 1, self.tokens + tokens
            self.loss, self.loss_tokens = self.loss + loss, self.loss_tokens + tokens
            now = self.clock.seconds()
            self.step_seconds = now - before if self.step < 3 else 0.8 * self.step_seconds + 0.2 * (now - before)
            done = self.progress()
            if int(done * self.loop.evaluations) > self.looks or done >= 1:
                self.looks = int(done * self.loop.evaluations)
                if self.held_out is not None and replay is None:
                    self.look(workers, interrupt)
                self.record(rate)
                self.keep_next = self.held_out is None
            if report and (now - reported > self.loop.report_every or done >= 1):
                reported = now
                report(self.figures(rate))
            if checkpoint is not None and self.clock.seconds() - saved >= checkpoint_every:
                checkpoints.save(checkpoint, self)
                saved = self.clock.seconds()
            if interrupt.asked and self.progress() < 1:
                ended = f"interrupted after step {self.step}; the best weights so far were kept"
                break
        if checkpoint is not None and not broken:   # first: what goes on from here needs the last weights, not the best
            checkpoints.save(checkpoint, self)
        self.finish(ended, broken)

    def one_step(self, rate: float, workers: Workers) -> tuple[float, int, float]:
        """One batch: the summed loss, the targets that counted, and the gradient's norm."""
        if self.batches.carries and self.step % self.batches.per_epoch == 0:
            self.states = [None] * len(self.states)
        shards = self.batches[self.step]
        count = sum(int((shard.targets >= 0).sum()) for shard in shards)
        predictor = self.model.predictor

        def descend(index: int, shard: Shard) -> float:
            tape = self.update.tapes[index]
            tape.seed = 1 + (self.plan.seed * 1_000_003 + self.step) * 64 + index
            with tape, np.errstate(all="ignore"):   # what overflows shows in the loss, which is checked
                x, state = self.model.read(shard.batch, self.states[index])
                loss = predictor.loss(x, shard.targets, 1.0 / max(1, count), self.plan.loss)
                tape.backward()
            self.states[index] = state if self.batches.carries else None
            return loss
        loss = sum(workers.run([lambda i=i, shard=shard: descend(i, shard)  # type: ignore[misc]
                                for i, shard in enumerate(shards)]))
        if not np.isfinite(loss):
            self.update.discard()
            return loss, count, float("nan")
        if self.keep_next:
            self.keep()
        return loss, count, self.update.apply(rate, workers)

    def keep(self) -> None:
        """Copies the weights, to come back to."""
        self.kept, self.keep_next = self.step, False
        self.best = {name: parameter.value.copy() for name, parameter in self.model.parameters.items()}

    def look(self, workers: Workers, interrupt: Interrupt) -> None:
        """Held-out nats a token, and a copy of the weights where it is the lowest so far."""
        assert self.held_out is not None
        begin = self.clock.seconds()
        nats, count = 0.0, 0
        states: list[State | None] = [None] * self.plan.shards
        for index in range(self.held_out.per_epoch):
            def read(which: int, shard: Shard) -> float:
                with self.readers[which], np.errstate(all="ignore"):
                    x, state = self.model.read(shard.batch, states[which])
                    losses = self.model.predictor.nats(x, shard.targets)
                states[which] = state if self.held_out.carries else None  # type: ignore[union-attr]
                return float(losses.sum())
            shards = self.held_out[index]
            nats += sum(workers.run([lambda i=i, shard=shard: read(i, shard)  # type: ignore[misc]
                                     for i, shard in enumerate(shards)]))
            count += sum(int((shard.targets >= 0).sum()) for shard in shards)
            if interrupt.asked:
                return   # a figure from part of the text could not be compared with the others
            if self.budget is not None and self.look_batches is None \
                    and self.clock.seconds() - begin > self.loop.evaluation_share * self.budget:
                self.look_batches = index + 1
            if index + 1 == self.look_batches:
                break
        self.look_seconds = self.clock.seconds() - begin
        self.valid = nats / max(1, count)
        if self.valid < self.best_loss:
            self.best_loss = self.valid
            self.keep()

    def record(self, rate: float) -> None:
        """Adds a line to the history."""
        self.history.records.append({
            "step": self.step, "seconds": round(self.clock.seconds(), 3), "tokens": self.tokens,
            "loss": self.loss / max(1, self.loss_tokens), "valid": self.valid, "rate": rate})
        self.loss, self.loss_tokens = 0.0, 0

    def figures(self, rate: float) -> dict[str, Any]:
        """What a progress line shows; seconds_left is None where nobody can know yet."""
        seconds = self.clock.seconds()
        done = self.progress()
        spent = seconds - self.begun
        left = spent / done - spent if done else None
        last = self.history.records[-1]["loss"] if self.history.records else float("nan")
        return {"step": self.step, "seconds": seconds, "tokens": self.tokens, "progress": done,
                "tokens_per_second": self.tokens / spent if spent else 0.0, "seconds_left": left,
                "loss": self.loss / self.loss_tokens if self.loss_tokens else last, "valid": self.valid, "rate": rate}

    def finish(self, ended: str, broken: bool) -> None:
        """Puts the best weights into the model, or the last good ones, and closes the plan and the history."""
        if self.loss_tokens:
            self.record(self.rates[-1] if self.rates else 0.0)
        if self.best is None or (self.best_loss == float("inf") and not broken):
            self.kept = self.step
        elif self.kept != self.step:
            for name, parameter in self.model.parameters.items():
                parameter.value[:] = self.best[name]
        self.plan.kept, self.plan.rates = self.kept, np.array(self.rates, np.float64)
        self.history.ended = ended or f"ended after step {self.step}; kept the weights of step {self.kept}"


def _held_out_batches(corpus: Corpus, plan: Plan, tokens: int) -> Batches:
    """Return the held-out text in batches of about so many tokens."""
    if longest_document(corpus) <= 4 * plan.chunk:
        return DocumentBatches(corpus, tokens, plan.shards, 0)
    lanes = max(1, min(32, len(corpus.ids) // 256))
    return LaneBatches(corpus, lanes, max(1, tokens // lanes), plan.shards, 0)
