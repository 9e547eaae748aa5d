"""Building a model from the configuration in a file, which nobody has checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlm.models.base import PrefixModel
from fastlm.models.initial import limited

Array = np.ndarray
DEEPEST = 32       # nested lists and dictionaries of a configuration; models made of models have about ten
SENTENCE = 500     # characters of a file's content that an error shows
# Errors that constructors may raise for values of any type.
DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def rebuild(text: str, weights: Mapping[str, Array], vocab_size: int) -> PrefixModel:
    """Return the model of a configuration, its parameters still to be filled by `restore`.

    text: the configuration as JSON, which nobody has checked. weights: the arrays that the file holds for the model,
    which limit its size, see `initial`. vocab_size: the number of tokens of the file's vocabulary. Raises one of
    `DAMAGE` where the configuration does not describe a model.
    """
    config = json.loads(text)
    if not isinstance(config, dict) or config.get("vocab_size") != vocab_size:
        raise ValueError(f"its configuration is {shortened(config)}; one for {vocab_size} ids was expected")
    if (found := _depth(config)) > DEEPEST:
        raise ValueError(f"its configuration is nested {found} deep; {DEEPEST} at most was expected")
    with limited(weights):
        return PrefixModel.build(config)


def check_rebuilt(text: str, model: PrefixModel, vocab_size: int) -> None:
    """Raise ValueError where `rebuild` cannot build the model from its configuration, or builds another one, since
    whatever is saved must load."""
    try:
        built = rebuild(text, model.tensors(), vocab_size).parameters
        for name in sorted(built.keys() ^ model.parameters.keys()):
            raise ValueError(f"it has {'no ' if name in built else ''}parameter {name}, unlike what its options build")
        for name, parameter in model.parameters.items():
            if parameter.shape != built[name].shape:
                raise ValueError(f"parameter {name} is {parameter.shape}, and its options build one of "
                                 f"{built[name].shape}")
    except DAMAGE as error:
        raise ValueError(f"the model is not saved, since it could not be loaded: {shortened(error)}") from error


def current_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration from a file as `PrefixModel.config` would write it today, and so those of its parts."""
    known = PrefixModel.registry.get(config.get("name", ""))
    if known is None:
        return config
    options = known.options_from_file(config["name"], {name: value for name, value in config.items() if name != "name"})
    current = {name: [current_config(part) for part in value] if name == "parts" else
               current_config(value) if name == "model" else value for name, value in options.items()}
    renamed = {known.FILE_OPTIONS.get(name, name): value for name, value in current.items()}
    return {"name": (vars(known).get("FILE_NAMES") or (known.__name__,))[0], **renamed}


def _depth(config: dict[str, Any]) -> int:
    """Return how deep lists and dictionaries are nested."""
    depth, level = 0, list[Any]([config])
    while level:
        depth += 1
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, dict | list)]
    return depth


def dictionary(text: str, name: str) -> dict[str, Any]:
    """Return the dictionary in a file's JSON; raise ValueError where it is something else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"its {name} is {shortened(found)}; a dictionary was expected")
    return found


def shortened(value: object) -> str:
    """Return the beginning of a value or an error as text, since a file may hold very long ones."""
    text = str(value)
    return text if len(text) <= SENTENCE else f"{text[:SENTENCE]}..."
