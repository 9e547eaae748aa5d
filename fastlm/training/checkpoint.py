"""Checkpoints: files from which a run of training goes on. They hold what `Run.state_dict` returns."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from fastlm.files import modelfile
from fastlm.training.history import Plan

# Entries of the state that are strings, and are kept in the file's metadata under their own names.
_STRINGS = ("plan", "history", "corpus")
# Which Python types a counter of each annotation may have when it comes from a file.
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "int | None": (int, type(None)), "float | None": (int, float, type(None)),
    "list[Any]": (list,)}


@dataclass
class Counters:
    """Where a run stands: everything but its arrays. The names are those in the file.

    ``length``: [steps or None, seconds or None] of the whole run. ``seconds``: what its clock shows; ``begun``: what it
    showed when the run began. ``states``: for each shard, how many sequences its carried state is of, None where none
    is carried. ``looks``, ``look_batches`` and ``look_seconds`` are of evaluations on held-out text. The others have
    the same names in `Run`.
    """

    step: int
    tokens: int
    looks: int
    best_loss: float
    kept: int
    loss: float
    loss_tokens: int
    valid: float | None
    begun: float
    look_batches: int | None
    reserve: float
    step_seconds: float
    look_seconds: float
    seconds: float
    optimizer_steps: int
    length: list[Any]
    states: list[Any]

    def to_dict(self) -> dict[str, Any]:
        """Return {name: value}."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any], source: str) -> Counters:
        """Return the counters that `to_dict` gave.

        Raises ValueError, in a sentence that begins with `source`, where one is missing or not of its type.
        """
        for field in fields(cls):
            if field.name not in found:
                raise ValueError(f"{source} is a checkpoint without {field.name}; a whole one was expected")
            value = found[field.name]
            if isinstance(value, bool) or not isinstance(value, _TYPES[str(field.type)]) or (
                    isinstance(value, int | float) and not value >= 0):
                raise ValueError(f"{source} is a checkpoint with {field.name} = {value!r}; {field.type} of at least 0 "
                                 "was expected")
        return cls(**{field.name: found[field.name] for field in fields(cls)})


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write the state of a run to a file: {"tensors": {name: array}, "counters": {name: value}, "plan": string,
    "history": string, "corpus": string}.

    An older file stays until the new one is whole. Raises OSError where the file cannot be written, and ValueError for
    arrays that a file cannot hold.
    """
    strings = {name: state[name] for name in _STRINGS}
    modelfile.save(path, state["tensors"], strings | {"kind": "checkpoint", "counters": json.dumps(state["counters"])})


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state that `save` wrote. Raises ValueError where the file is no checkpoint or lacks a part."""
    tensors, metadata = modelfile.load(path)
    kind = metadata.get("kind", "foreign")
    if kind != "checkpoint":
        raise ValueError(f"{os.fspath(path)} is no checkpoint but a {kind} file")
    for name in ("counters", *_STRINGS):
        if name not in metadata:
            raise ValueError(f"{os.fspath(path)} is a checkpoint without its {name}; a whole one was expected")
    state: dict[str, Any] = {"tensors": tensors} | {name: metadata[name] for name in _STRINGS}
    state["counters"] = parse_object(metadata["counters"], f"{os.fspath(path)}: its counters")
    return state


def plan_of(path: str | os.PathLike[str]) -> Plan:
    """Return the plan in a checkpoint file. Raises ValueError where the file is no checkpoint."""
    name = f"{os.fspath(path)}: its plan"
    state = load(path)
    model = parse_object(state["plan"], name).get("model")
    if not isinstance(model, dict):
        raise ValueError(f"{name} has the model {model!r}; a configuration was expected")
    return Plan.from_json(state["plan"], state["tensors"].get("rates"))


def parse_object(text: str, name: str) -> dict[str, Any]:
    """Return the object in a JSON text. Raises ValueError, in a sentence that begins with `name`, for other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name} are a {type(found).__name__}; an object was expected")
    return found


def array_of(tensors: dict[str, np.ndarray], name: str, like: np.ndarray, source: str) -> np.ndarray:
    """Return the tensor called `name`, checked to have the dtype and the shape of `like`; extents may be 0 instead.

    Raises ValueError, in a sentence that begins with `source`, where it is missing or different.
    """
    if name not in tensors:
        raise ValueError(f"{source} is a checkpoint without {name}; a whole one was expected")
    found = tensors[name]
    fits = found.ndim == like.ndim and all(m in (n, 0) for n, m in zip(found.shape, like.shape, strict=True))
    if not fits or found.dtype != like.dtype:
        raise ValueError(f"{source} is a checkpoint with {name} of shape {found.shape} and {found.dtype}; "
                         f"{like.shape} and {like.dtype} were expected")
    return found
