"""A softmax over some classes that is computed in blocks of rows, so that memory does not grow with their number."""

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
    """The weights of some classes inside a parameter: columns of one (D, .), or with `transpose` rows of one (., D)."""

    parameter: Parameter
    span: slice
    transpose: bool

    @property
    def value(self) -> Array:
        """The weights (D, classes), a view of the parameter."""
        return self.parameter.value[self.span].T if self.transpose else self.parameter.value[:, self.span]

    def multiply(self, out: Array, x: Array) -> None:
        """Write x (N, D) @ value into out (N, classes), which may be some columns of an array."""
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
    """Return for each parameter, by name, the buffer of its gradient on this thread's tape and whether it is fresh.

    A fresh buffer holds nothing yet: the caller must write all of it. To other buffers gradients are added.
    """
    gradients = {}
    for parameter in parameters:
        leaf = variable(parameter)
        buffer = leaf.overwritable_grad()
        gradients[parameter.name] = (leaf.grad_buffer(), False) if buffer is None else (buffer, True)
    return gradients


class Softmax:
    """p = softmax(x W + b) over C classes; W (D, C) and b (C,) may each be several parameters side by side."""

    def __init__(self, weights: list[Weights], biases: list[tuple[Parameter, slice]]) -> None:
        self.weights, self.biases = weights, biases
        widths = [part.value.shape[1] for part in weights]
        edges = np.cumsum([0, *widths]).tolist()
        self.columns = [slice(a, b) for a, b in pairwise(edges)]
        self.classes: int = edges[-1]

    def write_logits(self, out: Array, x: Array) -> None:
        """Write the logits x W + b into out (N, C)."""
        for part, columns in zip(self.weights, self.columns, strict=True):
            part.multiply(out[:, columns], x)
        biases = [parameter.value[span] for parameter, span in self.biases]
        _core.add_bias(out, biases[0] if len(biases) == 1 else np.concatenate(biases))

    def nats(self, x: Array, targets: Array) -> Array:
        """Return -log p (N,) float64 of targets (N,) int32; 0 where a target is -1."""
        nll = np.empty(len(x), np.float64)
        for rows, block in self.in_blocks(x, gradients=False):
            _core.cross_entropy(nll[rows], block, targets[rows])
        return nll

    def in_blocks(self, x: Array, gradients: bool = True) -> Iterator[tuple[slice, Array]]:
        """Yield slices of the rows of x (N, D) and the logits of each slice, all in one buffer; gradients:
        whether those are computed, see `blocks`."""
        buffer: Array | None = None
        for rows in blocks(len(x), self.classes, gradients):
            if buffer is None:
                buffer = empty((rows.stop, self.classes))
            block = buffer[: rows.stop - rows.start]
            self.write_logits(block, x[rows])
            yield rows, block

    def loss_and_gradients(self, kernel: Callable[..., None], x: Array, targets: Array, scale: float,
                           dx: tuple[Array, bool], gradients: Gradients) -> float:
        """Return the summed loss of targets (N,) int32, and add `scale` times the gradients, block after block.

        kernel: turns logits into their gradient and gives the losses. dx: the buffer of the gradient of x (N, D) and
        whether it is fresh; gradients: the same of the parameters, see `open_gradients`. The products of a block
        follow each other while its logits are in the processor's cache.
        """
        losses = np.empty(len(x), np.float64)
        for rows, block in self.in_blocks(x):
            kernel(block, losses[rows], targets[rows], scale)
            self.backward(block, x[rows], (dx[0][rows], dx[1]), gradients, rows.start == 0)
        if not len(x):
            self.backward(empty((0, self.classes)), x, dx, gradients, True)
        return float(losses.sum())

    def backward(self, block: Array, x: Array, dx: tuple[Array, bool], gradients: Gradients, first: bool) -> None:
        """Add the gradients of x (n, D), of the weights and of the biases from that of the logits, `block` (n, C).

        first: whether this is the first block of rows, which writes over fresh gradients of the parameters.
        """
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
            bias_gradient = buffer[span]
            part_of_sums = sums[at: at + len(bias_gradient)]
            bias_gradient[:] = part_of_sums if fresh and first else bias_gradient + part_of_sums
            at += len(bias_gradient)
