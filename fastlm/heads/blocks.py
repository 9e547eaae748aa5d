"""A softmax over some classes, in blocks of rows: never more than a few megabytes of logits, however many the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastlm import _core
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Parameter, empty, variable
from fastlm.heads.base import blocks

Array = np.ndarray
Gradients = dict[str, tuple[Array, bool]]


@dataclass(frozen=True)
class Weights:
    """Where the weights of classes lie: columns of a parameter (D, .), or with `transpose` rows of one (., D)."""

    parameter: Parameter
    span: slice
    transpose: bool

    @property
    def value(self) -> Array:
        """The weights as (D, classes)."""
        return self.parameter.value[self.span].T if self.transpose else self.parameter.value[:, self.span]

    def multiply(self, out: Array, x: Array) -> None:
        """out (N, classes) = x (N, D) @ value; out may be some columns of an array."""
        parameter = self.parameter
        if isinstance(parameter, Int8Parameter):
            parameter = parameter.part(self.span)
        elif self.span != slice(None):
            product(out, x, self.value)
            return
        whole = out if out.flags.c_contiguous else empty(out.shape)
        parameter.multiply(whole, x, self.transpose)
        if whole is not out:
            out[:] = whole


def open_gradients(parameters: Iterable[Parameter]) -> Gradients:
    """Per parameter the buffer of its gradient on this thread's tape, and whether its contents are to be written over.

    Whoever opens a gradient writes all of it.
    """
    out = {}
    for parameter in parameters:
        leaf = variable(parameter)
        buffer = leaf.overwritable_grad()
        out[parameter.name] = (leaf.grad_buffer(), False) if buffer is None else (buffer, True)
    return out


class Softmax:
    """p = softmax(x W + b) over C classes, W of several parts side by side and b (C,) the same of vectors."""

    def __init__(self, weights: list[Weights], biases: list[tuple[Parameter, slice]]) -> None:
        self.weights, self.biases = weights, biases
        widths = [part.value.shape[1] for part in weights]
        edges = np.cumsum([0, *widths]).tolist()
        self.columns = [slice(a, b) for a, b in pairwise(edges)]
        self.classes: int = edges[-1]

    def write_logits(self, out: Array, x: Array) -> None:
        """out (N, C) = x W + b."""
        for part, columns in zip(self.weights, self.columns, strict=True):
            part.multiply(out[:, columns], x)
        biases = [parameter.value[span] for parameter, span in self.biases]
        _core.add_bias(out, biases[0] if len(biases) == 1 else np.concatenate(biases))

    def nats(self, x: Array, targets: Array) -> Array:
        """-log p of targets (N,) int32, float64; 0 for -1."""
        out = np.empty(len(x), np.float64)
        for rows, block in self.in_blocks(x):
            _core.cross_entropy(out[rows], block, targets[rows])
        return out

    def in_blocks(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """Rows of x (N, D) and their logits, block after block in one buffer."""
        buffer: Array | None = None
        for rows in blocks(len(x), self.classes):
            if buffer is None:
                buffer = empty((rows.stop, self.classes))
            block = buffer[: rows.stop - rows.start]
            self.write_logits(block, x[rows])
            yield rows, block

    def descend(self, kernel: Callable[..., None], x: Array, targets: Array, scale: float, dx: tuple[Array, bool],
                gradients: Gradients) -> float:
        """The summed loss that `kernel` turns logits into, and everything's gradient added, block after block.

        dx: the gradient of x (N, D), and whether it is to be written over. A block's products follow each other while
        its logits are in the cache.
        """
        losses = np.empty(len(x), np.float64)
        for rows, block in self.in_blocks(x):
            kernel(block, losses[rows], targets[rows], scale)
            self.back(block, x[rows], (dx[0][rows], dx[1]), gradients, rows.start == 0)
        if not len(x):
            self.back(empty((0, self.classes)), x, dx, gradients, True)
        return float(losses.sum())

    def back(self, block: Array, x: Array, dx: tuple[Array, bool], gradients: Gradients, first: bool) -> None:
        for index, (part, columns) in enumerate(zip(self.weights, self.columns, strict=True)):
            product(dx[0], block[:, columns], part.value.T, not (dx[1] and index == 0))
            buffer, fresh = gradients[part.parameter.name]
            adds = not (fresh and first)
            if part.transpose:
                product(buffer[part.span], block[:, columns].T, x, adds)
            else:
                product(buffer[:, part.span], x.T, block[:, columns], adds)
        sums = np.zeros(self.classes, np.float32)
        _core.sum_rows(sums, block)
        at = 0
        for parameter, span in self.biases:
            buffer, fresh = gradients[parameter.name]
            into = buffer[span]
            part_of_sums = sums[at: at + len(into)]
            into[:] = part_of_sums if fresh and first else into + part_of_sums
            at += len(into)
