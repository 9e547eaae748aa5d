"""The primitives of a transformer block: causal attention, layer normalisation, and products with what follows them.

Products are taken some rows at a time, so that what follows them finds their results in the cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.ops import add_product
from fastlm.autodiff.tape import Variable, active, empty, record, variable
from fastlm.batch import Batch

Array = np.ndarray
_ROWS = 256   # of a product taken together


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, first + _ROWS) for first in range(0, count, _ROWS))


def layer_norm(x: Any, gain: Any, bias: Any) -> Variable:
    """Normalise rows: (x - mean) / sqrt(variance + 1e-5) * gain + bias. Ba et al. 2016.

    x (N, D), gain, bias (D,) -> (N, D).
    """
    x, gain, bias = variable(x), variable(gain), variable(bias)
    out, moments = Variable(empty(x.value.shape)), empty((len(x.value), 2))
    _core.layer_norm(out.value, moments, x.value, gain.value, bias.value)
    return record(out, lambda gradient: _core.layer_norm_back(
        x.grad_buffer(), gain.grad_buffer(), bias.grad_buffer(), gradient, x.value, moments, gain.value))


def linear_gelu(x: Any, weight: Any, bias: Any) -> Variable:
    """Return gelu(x @ weight + bias) with gelu(u) = u sigmoid(2 sqrt(2/pi) (u + 0.044715 u^3)).

    x (N, D), weight (D, H), bias (H,) -> (N, H). Hendrycks & Gimpel 2016. The derivative is kept for the backward pass.
    """
    x, weight, bias = variable(x), variable(weight), variable(bias)
    shape, tape = (len(x.value), weight.shape[1]), active()
    out = Variable(empty(shape))
    slope = empty(shape) if tape is not None and tape.record else None
    for rows in _blocks(len(x.value)):
        weight.multiply(out.value[rows], x.value[rows])
        _core.gelu(out.value[rows], None if slope is None else slope[rows], out.value[rows], bias.value)

    def backward(gradient: Array) -> None:
        assert slope is not None
        _core.multiply_sum(gradient, bias.grad_buffer(), slope)
        add_product(x, gradient, weight.value.T)
        add_product(weight, x.value.T, gradient)
    return record(out, backward)


def linear_residual(x: Any, weight: Any, bias: Any, beside: Any) -> Variable:
    """Return beside + x @ weight + bias. x (N, D), weight (D, H), bias (H,), beside (N, H) -> (N, H)."""
    x, weight, bias, beside = variable(x), variable(weight), variable(bias), variable(beside)
    out = Variable(empty(beside.value.shape), may_overwrite=True)
    for rows in _blocks(len(x.value)):
        weight.multiply(out.value[rows], x.value[rows])
        _core.residual(out.value[rows], beside.value[rows], bias.value)

    def backward(gradient: Array) -> None:
        _core.sum_rows(bias.grad_buffer(), gradient)
        add_product(x, gradient, weight.value.T)
        add_product(weight, x.value.T, gradient)
        beside.accept_grad(gradient)
    return record(out, backward)


class Spans:
    """Says which rows of a batch each row attends to: itself and all earlier ones of its document, or `window` of them.

    length (S,) int64: how many entries of its past each sequence begins with, in the caller's order; ``after`` (S,)
    those that it leaves behind. Made once a batch, whatever the number of layers.
    """

    def __init__(self, batch: Batch, length: Array, window: int | None = None) -> None:
        self.batch, self.length = batch, batch.to_packed(length)
        self.first, self.kept = np.empty(len(batch), np.int64), np.empty(batch.sequences, np.int64)
        _core.attention_spans(self.first, self.kept, self.length, batch.starts, batch.size, window or 0)
        self.after = batch.from_packed(self.kept)


def attention(qkv: Any, slopes: Array, spans: Spans, past: Array) -> tuple[Variable, Array]:
    """Compute causal attention of several heads. Vaswani et al. 2017; positions by ALiBi, Press et al. 2022.

        out[n] = sum over the visible keys j of softmax_j(q[n] . k[j] / sqrt(D) - slope * distance) v[j]

    qkv (N, 3HD): queries, keys and values, head after head; slopes (H,) float32; past (S, L, 2HD) float32: the keys and
    values of rows before the batch, oldest first, zeros beyond a sequence's length -> (out (N, HD), new past).
    Costs HD operations for each pair of a row and a visible key.
    """
    qkv, batch = variable(qkv), spans.batch
    rows, width = len(batch), qkv.value.shape[1] // 3
    kernel = _core.Attention(qkv.value, batch.to_packed(past), slopes, spans.length, spans.first, batch.offset)
    out, log_sum = Variable(empty((rows, width))), empty((rows, len(slopes)))
    kernel.forward(out.value, log_sum, empty((kernel.scratch,)))
    after = np.empty((batch.sequences, int(spans.kept.max(initial=0)), 2 * width), np.float32)
    kernel.carry(after, spans.kept)

    def backward(gradient: Array) -> None:
        kernel.backward(qkv.grad_buffer(), empty((kernel.scratch,)), gradient, out.value, log_sum)
    return record(out, backward), batch.from_packed(after)


def _taken_over(x: Any) -> tuple[Variable, Variable]:
    """Return a result that starts out as x, in the buffer of x where nobody else needs that; and x as a Variable."""
    consumes = isinstance(x, Variable) and x.may_overwrite
    x = variable(x)
    if consumes:
        x.consumed = True
        return Variable(x.value, may_overwrite=True), x
    out = Variable(empty(x.value.shape), may_overwrite=True)
    np.copyto(out.value, x.value)
    return out, x


def one_later(x: Any, columns: slice, batch: Batch, carry: Array) -> tuple[Variable, Array]:
    """Move some columns of x to the next row of the same document: zeros in its first row.

    x (N, D); carry (S, C): those columns of the rows before the batch, zeros before a document -> ((N, D), new carry).
    An x that nothing has read and whose backward function does not need it, such as the result of `matmul`, is
    spent, as by a loss: the result takes over its buffer, and reading x afterwards is an error. Any other is copied.
    """
    out, x = _taken_over(x)
    last, carried = batch.last_rows(), batch.to_packed(carry)
    begins = np.zeros(0, np.int64) if batch.starts is None else np.flatnonzero(batch.starts)
    moves = [(a, b, before) for (before, _), (a, b) in itertools.pairwise(batch.steps())]
    if len(batch.size) and batch.size[0] == batch.size[-1] and moves:   # all as long as each other: one move
        moves = [(int(batch.size[0]), len(batch), 0)]
    moved, first = out.value[:, columns], carried[: int(batch.size[0]) if len(batch.size) else 0].copy()
    carried[last >= 0] = moved[last[last >= 0]]
    for a, b, before in reversed(moves):
        moved[a:b] = moved[before: before + b - a]
    moved[: len(first)] = first
    moved[begins] = 0

    def backward(gradient: Array) -> None:
        shifted = gradient[:, columns]
        shifted[begins] = 0
        for a, b, before in moves:
            shifted[before: before + b - a] = shifted[a:b]
        shifted[last[last >= 0]] = 0
        x.accept_grad(gradient)
    return record(out, backward), batch.from_packed(carried)
