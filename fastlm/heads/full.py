"""The full softmax, which computes the logits of all words for every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.tape import Parameter, Variable, active, variable
from fastlm.heads.base import Head, likeliest
from fastlm.heads.blocks import Softmax, Weights, open_gradients

Array = np.ndarray
_KERNELS = {"cross_entropy": _core.softmax_cross_entropy, "squared": _core.softmax_squared}
_ROWS = 4096   # read at once in long texts; their logits are computed in blocks


class FullSoftmax(Head):
    """p = softmax(x W + b); weight (D, V), or (V, D) with `transpose`, as a tied embedding is; bias (V,).

    Loss and gradients are computed together in blocks of rows, so that memory does not grow with N * V.
    """

    def __init__(self, weight: Parameter, bias: Parameter, transpose: bool = False) -> None:
        self.weight, self.bias, self.transpose = weight, bias, transpose
        self.width = weight.shape[1 if transpose else 0]
        self.softmax = Softmax([Weights(weight, slice(None), transpose)], [(bias, slice(None))])

    def logits(self, x: Any) -> Variable:
        return autodiff.linear(x, self.weight, self.bias, self.transpose)

    def write(self, out: Array, x: Array) -> None:
        self.weight.multiply(out, x, self.transpose, self.bias.value)

    def by_rows(self, parameter: Parameter) -> bool:
        return self.transpose and parameter is self.weight

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        self.check_loss(kind)
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum()) if kind == "cross_entropy" else super().loss(x, targets, 1, kind)
        x = variable(x)
        dx = x.overwritable_grad()
        return self.softmax.loss_and_gradients(_KERNELS[kind], x.value, targets, scale,
                                               (x.grad_buffer(), False) if dx is None else (dx, True),
                                               open_gradients((self.weight, self.bias)))

    def nats(self, x: Any, targets: Array) -> Array:
        return self.softmax.nats(variable(x).value, targets)

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        x = variable(x).value
        k = min(k, self.softmax.classes)
        ids, values = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
        for rows, block in self.softmax.in_blocks(x, gradients=False):
            _core.log_softmax(block, block)
            ids[rows], values[rows] = likeliest(block, k)
        return ids, values

    def rows_together(self, vocab_size: int) -> int:
        return _ROWS
