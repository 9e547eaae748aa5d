"""The loop of a run of training: steps, evaluations on held-out text, checkpoints."""

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

_EVALUATION_MARGIN = 1.2   # times the seconds of the last evaluation are kept free for the next one
_FIRST_STEPS = 2           # take longer than others, since memory is new and caches are cold
_NEW_STEP = 0.2            # weight of the newest step in the running mean of the seconds of a step

class Run(RunState):
    """The loop of `Trainer.fit`, from where the run stands to its end."""

    def progress(self) -> float:
        """Return the share of the run that is over, in [0, 1]."""
        share = 0.0 if self.total is None else min(1.0, self.step / self.total) if self.total else 1.0
        if self.budget is None:
            return share
        # one more step, one more evaluation and the saving of the model must fit in what remains
        after = self.reserve + self.step_seconds + _EVALUATION_MARGIN * self.evaluation_seconds
        length = self.budget * self.loop.usable_share - after - self.began_at
        return 1.0 if length <= 0 else max(share, min(1.0, (self.clock.seconds() - self.began_at) / length))

    def go(self, replay: Plan | None, workers: Workers, interrupt: Interrupt,
           report: Callable[[dict[str, Any]], None] | None, checkpoint: str | os.PathLike[str] | None,
           checkpoint_every: float) -> None:
        """Take steps until the run is over, and leave the best weights in the model.

        replay: the plan whose learning rates are used, None for those of the schedule. report: the progress function.
        The checkpoint is written every `checkpoint_every` seconds, at the end, and before an error of `report` is
        raised.
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
            progress = self.progress()
            if int(progress * self.loop.evaluations) > self.evaluations or progress >= 1:
                self.evaluations = int(progress * self.loop.evaluations)
                if progress >= 1 or self.may_evaluate():
                    if self.held_out is not None and replay is None:
                        self.evaluate(workers, interrupt)
                    self.record(rate)
                    self.keep_after_step = self.held_out is None
            if report and (self.clock.seconds() - reported > self.loop.report_every or progress >= 1):
                reported = self.clock.seconds()
                self.report(report, rate, checkpoint)
            if checkpoint is not None and self.clock.seconds() - saved >= checkpoint_every:
                self.save(checkpoint)
                saved = self.clock.seconds()
            if interrupt.asked and self.progress() < 1:
                reason = Ended.INTERRUPTED
                ended = f"interrupted after step {self.step}; the best weights so far were kept"
                break
        if checkpoint is not None:   # before `finish`: a run that goes on needs the last weights, not the best
            self.save(checkpoint)
        self.finish(reason, ended)

    def may_evaluate(self) -> bool:
        """Return whether another evaluation like the last one keeps all of them within twice their share of the time.

        One batch can take longer than that where the vocabulary is large.
        """
        share = 2 * self.loop.evaluations * self.loop.evaluation_share
        return self.budget is None or self.evaluated_seconds + self.evaluation_seconds <= share * self.budget

    def timed_step(self, rate: float, workers: Workers) -> str:
        """Take one step and count it. Return an empty string, or a sentence where its loss is not finite."""
        before = self.clock.seconds()
        loss, tokens, norm = self.one_step(rate, workers)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return (f"stopped at step {self.step}: the loss became {loss:g} with a gradient of norm {norm:g}; the "
                    "last good weights were kept (a lower learning rate may help)")
        self.rates.append(rate)
        self.step, self.tokens = self.step + 1, self.tokens + tokens
        self.loss, self.loss_tokens = self.loss + loss, self.loss_tokens + tokens
        seconds = self.clock.seconds() - before
        self.step_seconds = seconds if self.step <= _FIRST_STEPS else (
            (1 - _NEW_STEP) * self.step_seconds + _NEW_STEP * seconds)
        return ""

    def report(self, report: Callable[[dict[str, Any]], None], rate: float,
               checkpoint: str | os.PathLike[str] | None) -> None:
        """Call the progress function with the figures. Where it raises, write the checkpoint and end the run first."""
        try:
            report(self.figures(rate))
        except Exception:
            if checkpoint is not None:
                self.save(checkpoint)
            self.finish(Ended.INTERRUPTED, f"ended after step {self.step} by an error of the progress function")
            raise

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint. A failure is a warning, since an error would end the training that is to be saved."""
        try:
            checkpoints.save(path, self.state_dict())
        except (OSError, ValueError) as error:
            warnings.warn(f"step {self.step} has no checkpoint and training goes on: {error}", stacklevel=5)

    def one_step(self, rate: float, workers: Workers) -> tuple[float, int, float]:
        """Read one batch and update the weights; return the summed loss, the number of targets, and the norm of the
        gradient, nan where the loss is not finite."""
        if self.batches.carries and self.step % self.batches.per_epoch == 0:
            self.states = [None] * len(self.states)
        shards = self.batches[self.step]
        count = sum(int((shard.targets >= 0).sum()) for shard in shards)

        def descend(index: int, shard: Shard) -> float:
            tape = self.update.tapes[index]
            tape.seed = 1 + (self.plan.seed * 1_000_003 + self.step) * 64 + index
            with tape, np.errstate(all="ignore"):   # an overflow shows in the loss, which is checked below
                rows, state = self.model.forward(shard.batch, self.states[index])
                loss = self.objective(self.model, rows, shard, 1.0 / max(1, count))
                tape.backward()
            self.states[index] = state if self.batches.carries else None
            return loss
        loss = sum(workers.map(descend, range(len(shards)), shards))
        if not np.isfinite(loss):
            self.update.discard()
            return loss, count, float("nan")
        if self.keep_after_step:
            self.keep()
        return loss, count, self.update.apply(rate, workers)

    def keep(self) -> None:
        """Copy the weights, so that `finish` can put them back into the model."""
        self.kept, self.keep_after_step = self.step, False
        self.best = {name: parameter.value.copy() for name, parameter in self.model.parameters.items()}

    def evaluate(self, workers: Workers, interrupt: Interrupt) -> None:
        """Set `valid` to the held-out nats per token, and keep the weights where it is the lowest so far."""
        assert self.held_out is not None
        begin, carries = self.clock.seconds(), self.held_out.carries
        nll, count = 0.0, 0
        states: list[State | None] = [None] * self.plan.shards

        def sum_nll(index: int, shard: Shard) -> float:
            with self.tapes[index], np.errstate(all="ignore"):
                rows, state = self.model.forward(shard.batch, states[index])
                losses = self.model.head.nats(rows, shard.targets)
            states[index] = state if carries else None
            return float(losses.sum())
        for index in range(self.held_out.per_epoch):
            shards = self.held_out[index]
            nll += sum(workers.map(sum_nll, range(len(shards)), shards))
            count += sum(int((shard.targets >= 0).sum()) for shard in shards)
            if interrupt.asked:
                return   # the loss on part of the text could not be compared with those of other evaluations
            if self.budget is not None and self.evaluation_batches is None \
                    and self.clock.seconds() - begin > self.loop.evaluation_share * self.budget:
                self.evaluation_batches = index + 1
            if index + 1 == self.evaluation_batches:
                break
        self.evaluation_seconds = self.clock.seconds() - begin
        self.evaluated_seconds += self.evaluation_seconds
        self.valid = nll / max(1, count)
        if self.valid < self.best_loss:
            self.best_loss = self.valid
            self.keep()

    def record(self, rate: float) -> None:
        """Add a record to the history."""
        self.history.records.append({
            "step": self.step, "seconds": round(self.clock.seconds(), 3), "tokens": self.tokens,
            "loss": self.loss / max(1, self.loss_tokens), "valid": self.valid, "rate": rate})
        self.loss, self.loss_tokens = 0.0, 0

    def figures(self, rate: float) -> dict[str, Any]:
        """Return the figures for the progress function; "seconds_left" is None before the first step is over."""
        seconds = self.clock.seconds()
        progress = self.progress()
        spent = seconds - self.began_at
        left = spent / progress - spent if progress else None
        last = self.history.records[-1]["loss"] if self.history.records else float("nan")
        return {"step": self.step, "seconds": seconds, "tokens": self.tokens, "progress": progress,
                "tokens_per_second": self.tokens / spent if spent else 0.0, "seconds_left": left,
                "loss": self.loss / self.loss_tokens if self.loss_tokens else last, "valid": self.valid, "rate": rate}

    def finish(self, reason: Ended, ended: str) -> None:
        """Put the best weights into the model, and complete the plan and the history.

        These are the weights with the lowest held-out loss; without held-out text they are the last ones, and after a
        loss that was not finite the last ones that were kept.
        """
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
