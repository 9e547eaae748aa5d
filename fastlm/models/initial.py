"""Initial values of parameters: drawn, or where a model is made again from a file not drawn but bounded in size.

The numbers of a file's configuration have been checked by nobody, and their products are the sizes of arrays. So while
`limited` is active nothing is drawn, what would be drawn takes no memory, and all that a model takes together is
compared with the weights that the file holds before it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

Array = np.ndarray
BESIDE = 32 << 20          # bytes that a model may take beside its weights: caches, states, what holds it together
PER_MODEL = 32 << 10       # bytes, more than the Python objects of a model or of one of its parts take
PER_PARAMETER = 4 << 10    # bytes, more than those of a parameter take


class _Allowance:
    """How many bytes the model that is being made may still take, and what they were granted for."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.numbers = sum(array.size for array in weights.values())
        self.left = 4 * self.numbers + PER_PARAMETER * len(weights) + BESIDE


_allowance: ContextVar[_Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def limited(weights: Mapping[str, Array]) -> Iterator[None]:
    """Within it a model may take what these weights take in float32, and 32 MiB; nothing is drawn."""
    token = _allowance.set(_Allowance(weights))
    try:
        yield
    finally:
        _allowance.reset(token)


def reserve(size: int, what: str) -> None:
    """Counts bytes against the limit where there is one; ValueError where so many are not left.

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
    """`reserve` for a parameter of a shape in float32."""
    reserve(_bytes(shape) + PER_PARAMETER, f"parameter {name} of shape {shape}")


def zeros(shape: tuple[int, ...]) -> Array:
    """Zeros (shape) float32, read-only, that take no memory: a parameter that is made of them has its own."""
    allowance = _allowance.get()
    if allowance is not None:
        _check(allowance, _bytes(shape), f"an array of shape {shape}")
    return np.broadcast_to(np.float32(0), shape)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Draws (shape) float32 evenly from -scale to scale; gives `zeros` where a model is made again from a file."""
    return zeros(shape) if _allowance.get() is not None else rng.uniform(-scale, scale, shape).astype(np.float32)


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Draws (shape) float32 around zero with a standard deviation; gives `zeros` where a model is made from a file."""
    return zeros(shape) if _allowance.get() is not None else rng.normal(0, scale, shape).astype(np.float32)


def are_zeros(array: Array) -> bool:
    """Whether an array is one zero, repeated without memory of its own."""
    return array.size > 0 and not any(array.strides) and not array.flat[0]


def _bytes(shape: tuple[int, ...]) -> int:
    """Of float32 numbers; an extent of zero counts as one, so that no other extent goes unnoticed beside it."""
    return 4 * math.prod(max(1, extent) for extent in shape)


def _check(allowance: _Allowance, size: int, what: str) -> None:
    if size > allowance.left:
        raise ValueError(f"{what} would take {size:,} bytes; at most {allowance.left:,} are left for a file of "
                         f"{allowance.numbers:,} weights")
