"""The state of a run of training, and its form in a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import State
from fastlm.models.base import PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training import checkpoint as checkpoints
from fastlm.training.batches import DocumentBatches, StreamBatches, has_short_documents
from fastlm.training.budget import Clock
from fastlm.training.history import History, Plan
from fastlm.training.loop_settings import LoopSettings
from fastlm.training.losses import Loss
from fastlm.training.optim import Optimizer
from fastlm.training.update import Update

Array = np.ndarray
Batches = StreamBatches | DocumentBatches
_MOST_STRETCHES = 32     # of a long held-out text that are read side by side, as in training
_FEWEST_EVALUATED = 32   # tokens of one batch of held-out text, however large the vocabulary
_SHORTEST_STRETCH = 256  # tokens: each begins without a context, so that short ones would look hard to predict

class RunState:
    """Everything that changes during a run: its step, weights, optimizer, carried states and records.

    ``total``: how many steps the run has, None for no limit; ``budget``: how many seconds, None for no limit, of which
    ``reserve`` are left to the work that follows. ``objective``: the loss that is minimised; ``loss``: its sum over
    ``loss_tokens`` targets since the last record; ``valid``: the held-out loss of the last evaluation. ``best``: the
    weights of step ``kept``, with the held-out loss ``best_loss``.
    """

    def __init__(self, model: PrefixModel, optimizer: Optimizer, loss: Loss, plan: Plan, batches: Batches,
                 held_out: Corpus | None, clock: Clock, total: int | None, budget: float | None,
                 reserve: float = 0.0, loop: LoopSettings | None = None) -> None:
        self.model, self.optimizer, self.plan, self.batches, self.clock = model, optimizer, plan, batches, clock
        self.total, self.budget, self.reserve, self.objective = total, budget, reserve, loss
        self.loop = loop or LoopSettings()
        self.update = Update(model, optimizer, plan.shards, plan.clip or None)
        self.held_out = None if held_out is None else _held_out_batches(
            held_out, plan, min(self.loop.evaluation_tokens,
                                max(_FEWEST_EVALUATED, self.loop.evaluation_logits // model.vocab_size)))
        self.states: list[State | None] = [None] * plan.shards
        self.history = History()
        self.began_at, self.step, self.tokens, self.evaluations = clock.seconds(), 0, 0, 0
        self.rates: list[float] = []
        self.best: dict[str, Array] | None = None
        self.best_loss, self.kept = float("inf"), 0
        self.keep_after_step = True                    # whether to keep the weights once the next loss is finite
        self.evaluation_seconds = self.step_seconds = self.evaluated_seconds = 0.0
        self.loss, self.loss_tokens = 0.0, 0     # since the last record
        self.valid: float | None = None
        self.tapes = [Tape(record=False) for _ in range(plan.shards)]   # one of each shard, for evaluations
        self.evaluation_batches: int | None = None     # how many batches an evaluation has time for; None for all
        self.fingerprint = ""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a run needs to end with the bytes of a run that was never stopped.

        {"tensors": {name: array}, "counters": {name: value}, "plan": JSON, "history": JSON, "corpus": digest}. The
        arrays of weights, of the optimizer's state and of the carried states are not copied.
        """
        tensors: dict[str, Array] = {"rates": np.array(self.rates, np.float64)}
        for name, parameter in self.model.parameters.items():
            tensors[f"parameter/{name}"] = parameter.value
            tensors |= {f"memory/{name}/{index}": array for index, array in enumerate(self.update.state[name])}
        for index, state in enumerate(self.states):
            if state is not None:
                tensors |= {f"state/{index}/{name}": array for name, array in state.arrays.items()}
        tensors |= {f"best/{name}": array for name, array in (self.best or {}).items()}
        counters = checkpoints.Counters(
            step=self.step, tokens=self.tokens, looks=self.evaluations, best_loss=self.best_loss, kept=self.kept,
            loss=self.loss, loss_tokens=self.loss_tokens, valid=self.valid, begun=self.began_at,
            look_batches=self.evaluation_batches, reserve=self.reserve, step_seconds=self.step_seconds,
            look_seconds=self.evaluation_seconds, seconds=self.clock.seconds(), optimizer_steps=self.update.steps,
            length=[self.total, self.budget],
            states=[None if state is None else len(state) for state in self.states])
        return {"tensors": tensors, "counters": counters.to_dict(), "plan": self.plan.to_json(),
                "history": self.history.to_json(), "corpus": self.fingerprint}

    def load_state_dict(self, state: dict[str, Any], source: str = "it") -> None:
        """Continue the run whose `state_dict` is given.

        source: the name of the state in error sentences. Raises ValueError where the state is of another text, model or
        setting, or is not whole; then nothing in this run has changed.
        """
        self._check_same(state, source)
        tensors, counters = state["tensors"], checkpoints.Counters.from_dict(state["counters"], source)
        parameters, optimizer_state = self.model.parameters, self.update.state

        def find(name: str, like: Array) -> Array:
            return checkpoints.array_of(tensors, name, like, source)
        rates = find("rates", np.zeros(counters.step, np.float64))
        states = self._find_states(counters.states, tensors, source)
        best = None if counters.best_loss == float("inf") else {
            name: find(f"best/{name}", parameter.value) for name, parameter in parameters.items()}
        copies = [(parameter.value, find(f"parameter/{name}", parameter.value))
                  for name, parameter in parameters.items()]
        copies += [(array, find(f"memory/{name}/{index}", array)) for name in parameters
                   for index, array in enumerate(optimizer_state[name])]
        records = _parse_records(state["history"], source)
        for array, found in copies:
            array[:] = found
        self.states, self.best, self.keep_after_step = states, best, best is None
        self._set_counters(counters)
        self.rates = rates.tolist()
        self.history.records[:] = records
        self.plan = Plan.from_json(self.plan.to_json(), rates)

    def _set_counters(self, counters: checkpoints.Counters) -> None:
        self.step, self.tokens, self.kept = counters.step, counters.tokens, counters.kept
        self.best_loss, self.loss, self.loss_tokens = counters.best_loss, counters.loss, counters.loss_tokens
        self.valid, self.evaluations, self.evaluation_batches = counters.valid, counters.looks, counters.look_batches
        self.began_at, self.reserve = counters.begun, counters.reserve
        self.step_seconds, self.evaluation_seconds = counters.step_seconds, counters.look_seconds
        self.update.steps = counters.optimizer_steps
        self.clock.resume_at(counters.seconds)

    def _check_same(self, state: dict[str, Any], source: str) -> None:
        """Raise ValueError where a state is that of another run."""
        if state["corpus"] != self.fingerprint:
            raise ValueError(f"{source} is a checkpoint of a run on another text")
        checkpoints.parse_object(state["plan"], f"{source}: its plan")
        wanted, found = (vars(plan) for plan in (self.plan, Plan.from_json(state["plan"])))
        for name in wanted:
            if name not in ("kept", "rates") and wanted[name] != found[name]:
                raise ValueError(f"{source} is a checkpoint of a run with {name} = {found[name]}; this one has "
                                 f"{wanted[name]}")
        if state["counters"].get("length") != [self.total, self.budget]:
            raise ValueError(f"{source} is a checkpoint of a run of (steps, seconds) = "
                             f"{state['counters'].get('length')}; this one has {[self.total, self.budget]}")

    def _find_states(self, sequences: list[Any], tensors: dict[str, Array], source: str) -> list[State | None]:
        """Return the carried state of each shard, from the tensors of a checkpoint; None where it carries none."""
        if len(sequences) != len(self.states) or not all(count is None or (type(count) is int and count > 0)
                                                         for count in sequences):
            raise ValueError(f"{source} is a checkpoint with states of {sequences} sequences; numbers above 0 or None "
                             f"of {len(self.states)} shards were expected")
        return [None if count is None else State(count, **{
            name: checkpoints.array_of(tensors, f"state/{index}/{name}", array, source).copy()
            for name, array in self.model.start(count).arrays.items()}) for index, count in enumerate(sequences)]


def _parse_records(text: str, source: str) -> list[dict[str, Any]]:
    try:
        return History.from_json(text).records
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{source} is a checkpoint with a history that cannot be read: {error}") from None


def _held_out_batches(corpus: Corpus, plan: Plan, tokens: int) -> Batches:
    """Return the held-out text in batches of about `tokens` tokens."""
    if has_short_documents(corpus, plan.sequence_length):
        return DocumentBatches(corpus, tokens, plan.shards, 0)
    batch_size = max(1, min(_MOST_STRETCHES, len(corpus.ids) // _SHORTEST_STRETCH))
    return StreamBatches(corpus, batch_size, max(1, tokens // batch_size), plan.shards, 0)
