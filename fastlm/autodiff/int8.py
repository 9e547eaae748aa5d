"""Weights in one byte each, for prediction: a quarter of the memory, and of the time that reading them takes."""

from __future__ import annotations

from typing import cast

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Parameter, Variable

Array = np.ndarray


class Int8Parameter(Parameter):
    """A weight matrix rounded to whole numbers from -127 to 127, with one scale for each of its units.

    ``by_row``: whether a unit is a row (of a table to look up in) or a column (of a matrix to multiply by).
    ``rounded`` (R, D) int8; ``scale`` (R,) or (D,) float32: weight = rounded * scale. Training refuses it.

    >>> Int8Parameter.of(Parameter("w", [[1.0, 20.0], [-0.5, 127.0]])).rounded.tolist()
    [[127, 20], [-64, 127]]
    """

    __slots__ = ("_matrix", "_parts", "by_row", "rounded", "scale")
    trainable = False

    def __init__(self, name: str, rounded: Array, scale: Array, by_row: bool = False) -> None:
        if rounded.dtype != np.int8 or rounded.ndim != 2:
            raise ValueError(f"parameter {name} is {rounded.dtype} of shape {rounded.shape}; an int8 matrix was "
                             "expected")
        if scale.dtype != np.float32 or scale.shape != (rounded.shape[0 if by_row else 1],):
            raise ValueError(f"the scale of parameter {name} is {scale.dtype} of shape {scale.shape}; one float32 "
                             f"a {'row' if by_row else 'column'} was expected")
        self.name, self.rounded, self.scale, self.by_row, self.decay = name, rounded, scale, by_row, False
        self._matrix: _core.Matrix | None = None
        self._parts: dict[tuple[int, int, int], Int8Parameter] = {}

    @classmethod
    def of(cls, parameter: Parameter, by_row: bool = False) -> Int8Parameter:
        """Round a float32 matrix: the largest magnitude of each unit becomes 127."""
        largest = np.abs(parameter.value).max(axis=1 if by_row else 0, initial=0)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        rounded = np.rint(parameter.value / (scale[:, None] if by_row else scale))
        return cls(parameter.name, np.clip(rounded, -127, 127).astype(np.int8), scale, by_row)

    @property
    def value(self) -> Array:  # type: ignore[override]
        """The weights as float32, computed at each use, for whatever has no kernel for bytes."""
        out = self.rounded * (self.scale[:, None] if self.by_row else self.scale)
        out.setflags(write=False)
        return out

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rounded.shape

    def as_variable(self) -> Variable:
        return cast(Variable, self)   # primitives multiply by it and look up in it as it is; it has no gradient

    def tensors(self) -> dict[str, Array]:
        return {"": self.rounded, "/scale": self.scale}

    def matrix(self, transposed: bool = False) -> _core.Matrix:
        """Return the bytes laid out for products; this is done once, since they never change.

        Raises ValueError where the scales are those of the other axis.
        """
        if transposed != self.by_row:
            raise ValueError(f"parameter {self.name} is scaled by {'row' if self.by_row else 'column'}; a product with "
                             f"{'its transpose' if transposed else 'it'} needs the other")
        if self._matrix is None:
            self._matrix = _core.Matrix(self.rounded, self.scale, transposed)
        return self._matrix

    def part(self, span: slice) -> Int8Parameter:
        """Return the parameter of some of the units; each part is made once and kept."""
        if span == slice(None):
            return self
        rounded = self.rounded[span] if self.by_row else self.rounded[:, span]
        key = span.indices(len(self.scale))
        if key not in self._parts:
            self._parts[key] = Int8Parameter(self.name, np.ascontiguousarray(rounded), self.scale[span], self.by_row)
        return self._parts[key]

    def multiply(self, out: Array, x: Array, transposed: bool = False, bias: Array | None = None) -> None:
        _core.product(out, x, self.matrix(transposed), bias)

    def gather(self, out: Array, rows: Array) -> None:
        if not self.by_row:
            out[:] = np.where(rows[:, None] < 0, 0, self.rounded[rows] * self.scale)
            return
        _core.int8_rows(out, self.rounded, self.scale, rows)

    def __reduce__(self) -> tuple[object, ...]:
        return Int8Parameter, (self.name, self.rounded, self.scale, self.by_row)
