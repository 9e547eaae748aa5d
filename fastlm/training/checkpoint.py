"""The file of a run that can go on: a plain dict of arrays and values, as `Run.state_dict` gives it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from fastlm.files import modelfile
from fastlm.training.history import Plan

# What a checkpoint holds beside its arrays, and how it stands in the file, whose metadata are strings.
_STRINGS = ("plan", "history", "corpus")
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "int | None": (int, type(None)), "float | None": (int, float, type(None)),
    "list[Any]": (list,)}


@dataclass
class Counters:
    """Where a run stands, beside its arrays; the names are those of the file.

    ``length``: [steps or None, seconds or None] of the whole run; ``seconds``: on its clock; ``states``: how many
    sequences each shard's carried state is of, None where it carries none; the others: as in `Run`.
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
        """Return what `to_dict` gave; ValueError that begins with `source` where one is missing or no such number."""
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
    """Write {"tensors": {name: array}, "counters": {name: value}, "plan", "history", "corpus": strings} to a file.

    An older file stays until the new one is whole. Raises OSError where it cannot be written and ValueError for arrays
    that a file cannot hold.
    """
    strings = {name: state[name] for name in _STRINGS}
    modelfile.save(path, state["tensors"], strings | {"kind": "checkpoint", "counters": json.dumps(state["counters"])})


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save` wrote; ValueError, one sentence, where the file is no checkpoint or lacks a part."""
    tensors, metadata = modelfile.load(path)
    kind = metadata.get("kind", "foreign")
    if kind != "checkpoint":
        raise ValueError(f"{os.fspath(path)} is no checkpoint but a {kind} file")
    for name in ("counters", *_STRINGS):
        if name not in metadata:
            raise ValueError(f"{os.fspath(path)} is a checkpoint without its {name}; a whole one was expected")
    state: dict[str, Any] = {"tensors": tensors} | {name: metadata[name] for name in _STRINGS}
    state["counters"] = parsed(metadata["counters"], f"{os.fspath(path)}: its counters")
    return state


def plan_of(path: str | os.PathLike[str]) -> Plan:
    """Return the plan of the training that a file holds; ValueError where it is no checkpoint."""
    name = f"{os.fspath(path)}: its plan"
    state = load(path)
    model = parsed(state["plan"], name).get("model")
    if not isinstance(model, dict):
        raise ValueError(f"{name} has the model {model!r}; a configuration was expected")
    return Plan.from_json(state["plan"], state["tensors"].get("rates"))


def parsed(text: str, name: str) -> dict[str, Any]:
    """Return the object in a JSON text; ValueError that begins with `name` where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name} are a {type(found).__name__}; an object was expected")
    return found


def array_of(tensors: dict[str, np.ndarray], name: str, like: np.ndarray, source: str) -> np.ndarray:
    """Return the array of a name; ValueError unless it has the dtype and the shape of `like`, but for extents of 0."""
    if name not in tensors:
        raise ValueError(f"{source} is a checkpoint without {name}; a whole one was expected")
    found = tensors[name]
    fits = found.ndim == like.ndim and all(m in (n, 0) for n, m in zip(found.shape, like.shape, strict=True))
    if not fits or found.dtype != like.dtype:
        raise ValueError(f"{source} is a checkpoint with {name} of shape {found.shape} and {found.dtype}; "
                         f"{like.shape} and {like.dtype} were expected")
    return found
