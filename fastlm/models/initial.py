"""Initial values of parameters, and a limit of their size while a model is built from a file.

The options in a file may be wrong or hostile, and their products are the sizes of arrays. So while `limited` is active
no random numbers are drawn, arrays of initial values take no memory, and the memory that a model asks for is compared
with the weights that the file holds before it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

Array = np.ndarray
BESIDE = 32 << 20          # bytes that a model may take beside its weights, for caches, states and Python objects
PER_MODEL = 32 << 10       # bytes counted for each model and part: more than its Python objects take
PER_PARAMETER = 4 << 10    # bytes counted for each parameter: more than its Python objects take
# Bounds of the uniform first weights of a matrix, before they are divided by the root of the number of its inputs.
# 1.7: the variance is then 1.7^2 / 3 = 0.96, so that sums of inputs of variance 1 have a variance of about 1, which
# keeps a tanh out of saturation (LeCun et al. 1998, "Efficient BackProp").
UNIT_VARIANCE = 1.7
# 0.5: the first logits are small beside the output bias, so that training begins near the frequencies of the tokens.
# An assumption.
SMALL_OUTPUT = 0.5
GPT2_SCALE = 0.02          # standard deviation of all first weights of GPT-2 (Radford et al. 2019)


class _Allowance:
    """How many bytes the model that is being built may still take, and for how many weights they were granted."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.numbers = sum(array.size for array in weights.values())
        self.left = 4 * self.numbers + PER_PARAMETER * len(weights) + BESIDE


_allowance: ContextVar[_Allowance | None] = ContextVar("allowance", default=None)
_in_file: ContextVar[bool | None] = ContextVar("in_file", default=None)   # what `in_file` says, None outside of it


@contextmanager
def limited(weights: Mapping[str, Array]) -> Iterator[None]:
    """Limit the models built within it to the memory of these weights in float32 and 32 MiB, and draw nothing."""
    token = _allowance.set(_Allowance(weights))
    try:
        yield
    finally:
        _allowance.reset(token)


@contextmanager
def in_file(checked: bool) -> Iterator[None]:
    """Say that the arrays which models restore within it lie in a file: they are used there and not copied.

    checked: whether all checks of tables passed when the file was used before. They need every byte, and are left out.
    """
    token = _in_file.set(checked)
    try:
        yield
    finally:
        _in_file.reset(token)


def lie_in_file() -> bool:
    """Return whether arrays that are restored now lie in a file, see `in_file`."""
    return _in_file.get() is not None


def are_checked() -> bool:
    """Return whether tables that are restored now were checked before, see `in_file`."""
    return _in_file.get() is True


def reserve(size: int, what: str) -> None:
    """Count bytes against the limit, where there is one; raise ValueError where fewer are left.

    what: names the array in the error.

    >>> with limited({"weight": np.zeros(7)}):
    ...     reserve(1 << 30, "the table")
    Traceback (most recent call last):
    ValueError: the table would take 1,073,741,824 bytes; at most 33,558,556 are left for a file of 7 weights
    """
    allowance = _allowance.get()
    if allowance is not None:
        _check(allowance, size, what)
        allowance.left -= size


def reserve_parameter(name: str, shape: tuple[int, ...]) -> None:
    """Count the bytes of a float32 parameter of this shape as `reserve` does."""
    reserve(_bytes(shape) + PER_PARAMETER, f"parameter {name} of shape {shape}")


def zeros(shape: tuple[int, ...]) -> Array:
    """Return read-only zeros (shape) float32 that take no memory; a parameter made from them gets memory of its own."""
    allowance = _allowance.get()
    if allowance is not None:
        _check(allowance, _bytes(shape), f"an array of shape {shape}")
    return np.broadcast_to(np.float32(0), shape)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Draw (shape) float32 evenly from -scale to scale; return `zeros` while a model is built from a file."""
    return zeros(shape) if _allowance.get() is not None else rng.uniform(-scale, scale, shape).astype(np.float32)


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Draw (shape) float32 from a normal distribution of standard deviation scale; return `zeros` while a model is
    built from a file."""
    return zeros(shape) if _allowance.get() is not None else rng.normal(0, scale, shape).astype(np.float32)


def are_zeros(array: Array) -> bool:
    """Return whether an array is a single zero that is repeated without memory of its own, as `zeros` makes it."""
    return array.size > 0 and not any(array.strides) and not array.flat[0]


def _bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of float32 numbers; an extent of 0 counts as 1, so that huge other extents are still noticed."""
    return 4 * math.prod(max(1, extent) for extent in shape)


def _check(allowance: _Allowance, size: int, what: str) -> None:
    if size > allowance.left:
        raise ValueError(f"{what} would take {size:,} bytes; at most {allowance.left:,} are left for a file of "
                         f"{allowance.numbers:,} weights")


def check_sizes(**sizes: Any) -> None:
    """Raise ValueError for a size, given by its name, that is not a whole number of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} = {value!r}; a whole number of at least 1 was expected")


def named(**given: Any) -> dict[str, Any]:
    """Return the arguments that are not None, for a model's configuration: older model files do not have them."""
    return {name: options for name, options in given.items() if options is not None}
