"""A run on disk: everything that a stopped run needs to end with the bytes of one that was never stopped."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlm.batch import State
from fastlm.files import modelfile
from fastlm.training.history import History, Plan

if TYPE_CHECKING:
    from fastlm.training.run import Run

Array = np.ndarray
_COUNTERS = ("step", "tokens", "looks", "best_loss", "kept", "loss", "loss_tokens", "valid", "begun", "look_batches",
             "reserve", "step_seconds", "look_seconds")


def save(path: str | os.PathLike[str], run: Run) -> None:
    """Writes weights, the optimizer's memory, carried states, counters and history; the old file stays until then."""
    tensors: dict[str, Array] = {"rates": np.array(run.rates, np.float64)}
    for name, parameter in run.model.parameters.items():
        tensors[f"parameter/{name}"] = parameter.value
        for index, array in enumerate(run.update.memory[name]):
            tensors[f"memory/{name}/{index}"] = array
    for index, state in enumerate(run.states):
        for name, array in (state.arrays.items() if state is not None else ()):
            tensors[f"state/{index}/{name}"] = array
    for name, array in (run.best or {}).items():
        tensors[f"best/{name}"] = array
    counters = {name: getattr(run, name) for name in _COUNTERS}
    counters |= {"seconds": run.clock.seconds(), "optimizer_steps": run.update.steps, "length": [run.total, run.budget],
                 "states": [None if state is None else len(state) for state in run.states]}
    modelfile.save(path, tensors, {"kind": "checkpoint", "counters": json.dumps(counters), "plan": run.plan.to_json(),
                                   "history": run.history.to_json(), "corpus": run.fingerprint})


def restore(path: str | os.PathLike[str], run: Run) -> None:
    """Puts a run where the file says it stood.

    Raises ValueError where the file is no checkpoint, or one of another text, model or setting.
    """
    tensors, metadata = modelfile.load(path)
    if metadata.get("kind") != "checkpoint":
        raise ValueError(f"{path} is no checkpoint but a {metadata.get('kind', 'foreign')} file")
    if metadata["corpus"] != run.fingerprint:
        raise ValueError(f"{path} is a checkpoint of a run on another text")
    counters: dict[str, Any] = json.loads(metadata["counters"])
    wanted = json.loads(run.plan.to_json())
    found = json.loads(Plan.from_json(metadata["plan"], tensors["rates"]).to_json())
    for name in wanted:
        if name != "kept" and wanted[name] != found.get(name):
            raise ValueError(f"{path} is a checkpoint of a run with {name} = {found.get(name)}; this one has "
                             f"{wanted[name]}")
    if counters["length"] != [run.total, run.budget]:
        raise ValueError(f"{path} is a checkpoint of a run of (steps, seconds) = {counters['length']}; this one has "
                         f"{[run.total, run.budget]}")
    for name, parameter in run.model.parameters.items():
        parameter.value[:] = tensors[f"parameter/{name}"]
        for index, array in enumerate(run.update.memory[name]):
            array[:] = tensors[f"memory/{name}/{index}"]
    run.states = [_state(tensors, index, count) for index, count in enumerate(counters["states"])]
    run.best = {name: tensors[f"best/{name}"] for name in run.model.parameters} \
        if counters["best_loss"] < float("inf") else None
    run.keep_next = run.best is None
    for name in _COUNTERS:
        setattr(run, name, counters[name])
    run.rates = tensors["rates"].tolist()
    run.update.steps = counters["optimizer_steps"]
    run.clock.spent(counters["seconds"])
    run.history.records[:] = History.from_json(metadata["history"]).records
    run.plan = Plan.from_json(run.plan.to_json(), tensors["rates"])


def plan_of(path: str | os.PathLike[str]) -> Plan:
    """Return the plan of the training that a file holds; ValueError where it is no checkpoint."""
    tensors, metadata = modelfile.load(path)
    if metadata.get("kind") != "checkpoint":
        raise ValueError(f"{path} is no checkpoint but a {metadata.get('kind', 'foreign')} file")
    return Plan.from_json(metadata["plan"], tensors["rates"])


def _state(tensors: dict[str, Array], index: int, sequences: int | None) -> State | None:
    prefix = f"state/{index}/"
    arrays = {name.removeprefix(prefix): array.copy() for name, array in tensors.items() if name.startswith(prefix)}
    return None if sequences is None else State(sequences, **arrays)
