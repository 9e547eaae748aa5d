"""The loop of a run of training: steps, looks at the held-out text, checkpoints."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm.batch import State
from fastlm.training import checkpoint as checkpoints
from fastlm.training.batches import Shard
from fastlm.training.history import Ended, Plan
from fastlm.training.interrupt import Interrupt
from fastlm.training.run_state import RunState
from fastlm.training.schedule import learning_rate
from fastlm.workers import Workers


class Run(RunState):
    """The loop of `Trainer.fit`, from where it stands to the end."""

    def progress(self) -> float:
        """Share of the run that is over, in [0, 1]."""
        share = 0.0 if self.total is None else min(1.0, self.step / self.total) if self.total else 1.0
        if self.budget is None:
            return share
        # one more step, one more look at the held-out text and the saving must fit in what remains
        after = self.reserve + self.step_seconds + 1.2 * self.evaluation_seconds
        length = self.budget * self.loop.usable_share - after - self.begun
        return 1.0 if length <= 0 else max(share, min(1.0, (self.clock.seconds() - self.begun) / length))

    def go(self, replay: Plan | None, workers: Workers, interrupt: Interrupt,
           report: Callable[[dict[str, Any]], None] | None, checkpoint: str | os.PathLike[str] | None,
           checkpoint_every: float) -> None:
        """Step until the end, and leave the kept weights in the model.

        The checkpoint is written every so many seconds, at the end, and before an error of `report` is passed on.
        """
        interrupt.keep()
        reported = saved = self.clock.seconds()
        reason, ended = Ended.FINISHED, ""
        while self.progress() < 1 or (self.step == 0 and self.total != 0):
            rate = (float(replay.rates[self.step]) if replay
                    else learning_rate(self.optimizer.lr, self.progress(), self.step, self.loop.warm_up_steps,
                                       self.loop.warm_up))
            if fault := self.timed_step(rate, workers):
                self.finish(Ended.DIVERGED, fault)
                warnings.warn(fault, stacklevel=4)
                return
            done = self.progress()
            if int(done * self.loop.evaluations) > self.evaluations or done >= 1:
                self.evaluations = int(done * self.loop.evaluations)
                if self.held_out is not None and replay is None:
                    self.evaluate(workers, interrupt)
                self.record(rate)
                self.keep_after_step = self.held_out is None
            if report and (self.clock.seconds() - reported > self.loop.report_every or done >= 1):
                reported = self.clock.seconds()
                self.report(report, rate, checkpoint)
            if checkpoint is not None and self.clock.seconds() - saved >= checkpoint_every:
                self.save(checkpoint)
                saved = self.clock.seconds()
            if interrupt.asked and self.progress() < 1:
                reason = Ended.INTERRUPTED
                ended = f"interrupted after step {self.step}; the best weights so far were kept"
                break
        if checkpoint is not None:   # first: what goes on from here needs the last weights, not the best
            self.save(checkpoint)
        self.finish(reason, ended)

    def timed_step(self, rate: float, workers: Workers) -> str:
        """Take one step and count it; return what is wrong with it, in a sentence, or nothing."""
        before = self.clock.seconds()
        loss, tokens, norm = self.one_step(rate, workers)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return (f"stopped at step {self.step}: the loss became {loss:g} with a gradient of norm {norm:g}; the "
                    "last good weights were kept (a lower learning rate may help)")
        self.rates.append(rate)
        self.step, self.tokens = self.step + 1, self.tokens + tokens
        self.loss, self.loss_tokens = self.loss + loss, self.loss_tokens + tokens
        seconds = self.clock.seconds() - before
        self.step_seconds = seconds if self.step < 3 else 0.8 * self.step_seconds + 0.2 * seconds
        return ""

    def report(self, report: Callable[[dict[str, Any]], None], rate: float,
               checkpoint: str | os.PathLike[str] | None) -> None:
        """Tell a caller's function the figures; where it raises, the run can still go on from its checkpoint."""
        try:
            report(self.figures(rate))
        except Exception:
            if checkpoint is not None:
                self.save(checkpoint)
            self.finish(Ended.INTERRUPTED, f"ended after step {self.step} by an error of the progress function")
            raise

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint; a failure is a warning, since there is the training to lose and a next time to try."""
        try:
            checkpoints.save(path, self.state_dict())
        except (OSError, ValueError) as error:
            warnings.warn(f"step {self.step} has no checkpoint and training goes on: {error}", stacklevel=5)

    def one_step(self, rate: float, workers: Workers) -> tuple[float, int, float]:
        """One batch: the summed loss, the targets that counted, and the gradient's norm."""
        if self.batches.carries and self.step % self.batches.per_epoch == 0:
            self.states = [None] * len(self.states)
        shards = self.batches[self.step]
        count = sum(int((shard.targets >= 0).sum()) for shard in shards)

        def descend(index: int, shard: Shard) -> float:
            tape = self.update.tapes[index]
            tape.seed = 1 + (self.plan.seed * 1_000_003 + self.step) * 64 + index
            with tape, np.errstate(all="ignore"):   # what overflows shows in the loss, which is checked
                x, state = self.model.forward(shard.batch, self.states[index])
                loss = self.objective(self.model, x, shard, 1.0 / max(1, count))
                tape.backward()
            self.states[index] = state if self.batches.carries else None
            return loss
        loss = sum(workers.run([lambda i=i, shard=shard: descend(i, shard)  # type: ignore[misc]
                                for i, shard in enumerate(shards)]))
        if not np.isfinite(loss):
            self.update.discard()
            return loss, count, float("nan")
        if self.keep_after_step:
            self.keep()
        return loss, count, self.update.apply(rate, workers)

    def keep(self) -> None:
        """Copies the weights, to come back to."""
        self.kept, self.keep_after_step = self.step, False
        self.best = {name: parameter.value.copy() for name, parameter in self.model.parameters.items()}

    def evaluate(self, workers: Workers, interrupt: Interrupt) -> None:
        """Held-out nats a token, and a copy of the weights where it is the lowest so far."""
        assert self.held_out is not None
        begin = self.clock.seconds()
        nats, count = 0.0, 0
        states: list[State | None] = [None] * self.plan.shards
        for index in range(self.held_out.per_epoch):
            def read(which: int, shard: Shard) -> float:
                with self.readers[which], np.errstate(all="ignore"):
                    x, state = self.model.forward(shard.batch, states[which])
                    losses = self.model.head.nats(x, shard.targets)
                states[which] = state if self.held_out.carries else None  # type: ignore[union-attr]
                return float(losses.sum())
            shards = self.held_out[index]
            nats += sum(workers.run([lambda i=i, shard=shard: read(i, shard)  # type: ignore[misc]
                                     for i, shard in enumerate(shards)]))
            count += sum(int((shard.targets >= 0).sum()) for shard in shards)
            if interrupt.asked:
                return   # a figure from part of the text could not be compared with the others
            if self.budget is not None and self.evaluation_batches is None \
                    and self.clock.seconds() - begin > self.loop.evaluation_share * self.budget:
                self.evaluation_batches = index + 1
            if index + 1 == self.evaluation_batches:
                break
        self.evaluation_seconds = self.clock.seconds() - begin
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

    def finish(self, reason: Ended, ended: str) -> None:
        """Put the best weights into the model, or the last good ones, and close the plan and the history."""
        if self.loss_tokens:
            self.record(self.rates[-1] if self.rates else 0.0)
        if self.best is None or (self.best_loss == float("inf") and reason is not Ended.DIVERGED):
            self.kept = self.step
        elif self.kept != self.step:
            for name, parameter in self.model.parameters.items():
                parameter.value[:] = self.best[name]
        self.plan.kept, self.plan.rates = self.kept, np.array(self.rates, np.float64)
        self.history.reason = reason
        self.history.ended = ended or f"ended after step {self.step}; kept the weights of step {self.kept}"
