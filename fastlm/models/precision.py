"""Weights in 16 bits: half the size of a file, and the same figures to four digits."""

from __future__ import annotations

import numpy as np

from fastlm.models.base import PrefixModel

Array = np.ndarray
PRECISIONS = (16, 32)      # bits of a weight
# The largest float16, and the smallest that has all of its 11 bits: where the largest weight of a tensor is between
# them, rounding moves no weight by more than 2^-11 of the largest one.
_LARGEST, _SMALLEST_NORMAL = 65504.0, 2.0**-14
_SAMPLE = 4096             # weights that tell most float32 tensors from rounded ones


def round_weights(model: PrefixModel) -> None:
    """Round the weights of a model to the nearest float16 in place; they stay float32 arrays.

    A tensor whose largest magnitude float16 cannot hold, or holds with fewer than 11 bits, keeps its values; int8
    weights stay too.

    >>> from fastlm.models import DecayedBag
    >>> model = DecayedBag(5, width=3)
    >>> round_weights(model)
    >>> bool((model.embedding.value == model.embedding.value.astype(np.float16)).all())
    True
    """
    for parameter in model.parameters.values():
        if not parameter.trainable or not parameter.value.size:
            continue
        largest = max(float(parameter.value.max()), -float(parameter.value.min()))
        if _SMALLEST_NORMAL <= largest <= _LARGEST:
            parameter.value[...] = parameter.value.astype(np.float16)


def in_halves(model: PrefixModel, tensors: dict[str, Array]) -> dict[str, Array]:
    """Return the tensors with the weights of the model in float16 wherever that changes no value.

    tensors: {name: array}, the weights among them the arrays of the model's parameters themselves.
    """
    weights = {id(parameter.value) for parameter in model.parameters.values() if parameter.trainable}
    return {name: _half(array) if id(array) in weights else array for name, array in tensors.items()}


def _half(array: Array) -> Array:
    """Return float32 numbers as float16 where each of them is one, else as they are."""
    with np.errstate(over="ignore"):
        some = array.reshape(-1)[:_SAMPLE]
        if not np.array_equal(some.astype(np.float16), some):
            return array
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array
