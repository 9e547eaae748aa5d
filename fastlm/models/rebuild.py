"""Making a model again from what a file says of it, which nobody has checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlm.models.base import PrefixModel
from fastlm.models.initial import limited

Array = np.ndarray
DEEPEST = 32       # lists and dictionaries of a configuration, in one another; models of models have about ten
SENTENCE = 500     # characters of what is wrong with a file
# What constructors raise where they are given values of any type.
DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def rebuild(text: str, weights: Mapping[str, Array], vocab_size: int) -> PrefixModel:
    """Return the model of a configuration, its parameters still to be filled by `restore`.

    text: the configuration as JSON, which nobody has checked. weights: what the file holds for the model, by which its
    size is limited, see `initial`. vocab_size: that of the file's vocabulary. Raises one of `DAMAGE` where the
    configuration does not give a model.
    """
    config = json.loads(text)
    if not isinstance(config, dict) or config.get("vocab_size") != vocab_size:
        raise ValueError(f"its configuration is {shortened(config)}; one for {vocab_size} ids was expected")
    if (found := _depth(config)) > DEEPEST:
        raise ValueError(f"its configuration is nested {found} deep; {DEEPEST} at most was expected")
    with limited(weights):
        return PrefixModel.build(config)


def check_rebuilt(text: str, weights: Mapping[str, Array], vocab_size: int) -> None:
    """Raise ValueError where `rebuild` gives no model: what is saved must load."""
    try:
        rebuild(text, weights, vocab_size)
    except DAMAGE as error:
        raise ValueError(f"the model is not saved, since it could not be loaded: {shortened(error)}") from error


def _depth(config: dict[str, Any]) -> int:
    """Return how many lists and dictionaries stand in one another."""
    depth, level = 0, list[Any]([config])
    while level:
        depth += 1
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, dict | list)]
    return depth


def dictionary(text: str, name: str) -> dict[str, Any]:
    """Return the dictionary in a file's JSON; ValueError where it is something else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"its {name} is {shortened(found)}; a dictionary was expected")
    return found


def shortened(value: object) -> str:
    """Return a value or an error as a sentence shows it: the beginning of what a file holds, which may be very long."""
    text = str(value)
    return text if len(text) <= SENTENCE else f"{text[:SENTENCE]}..."
