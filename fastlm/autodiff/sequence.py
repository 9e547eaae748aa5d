"""Primitives along time: each takes a batch and the carry of its sequences, and returns the new carry.

A carry is a plain array with one row a sequence, in the caller's order; gradients stop where a batch begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff import cells
from fastlm.autodiff.cells import zeros
from fastlm.autodiff.ops import add_product
from fastlm.autodiff.tape import Leaf, Variable, empty, record, variable
from fastlm.batch import Batch

Array = np.ndarray


def last_ids(batch: Batch, count: int, carry: Array) -> tuple[Array, Array]:
    """Return the last `count` ids of every prefix, newest first, -1 before its document's start.

    carry (S, count - 1) int64, the ids before the batch, newest first -> ((N, count) int64, new carry).
    """
    out = np.empty((len(batch), count), np.int64)
    carried = batch.to_packed(carry)
    _core.last_ids(out, carried, batch.ids, batch.starts, batch.size)
    return out, batch.from_packed(carried)


def hashed_rows(batch: Batch, orders: Array, buckets: int, carry: Array) -> tuple[Array, Array]:
    """Return the rows that the last n ids of every prefix have in a table, for each of K orders n.

    The row of the k-th order is k * buckets + hash(the last n ids) mod buckets, and -1 where the document is shorter.

    orders (K,) int64, rising; carry (S, n - 1) int64, of the longest, as in `last_ids` -> ((N, K) int64, new carry).
    """
    last, carry = last_ids(batch, int(orders[-1]), carry)
    rows = np.empty((len(batch), len(orders)), np.int64)
    _core.hashed_rows(rows, last, orders, buckets)
    return rows, carry


def prefix_sum(table: Any, bias: Any, batch: Batch, max_length: int, carry: Array,
               position: Array) -> tuple[Variable, Array, Array]:
    """Compute the positional one-hot product: out[n] = bias + the sum of table[p*V + id] over the prefix's tokens.

    p is a token's position in its document; from max_length on tokens add nothing. table (max_length * V, W), bias
    (W,), carry (S, W) float32, position (S,) int64 -> (out (N, W), new carry, new position). Forward and backward cost
    N*W each: a running sum of rows of the table, and one of the gradient from the end. The one-hot matrix is never
    built.
    """
    table, bias = variable(table), variable(bias)
    rows_in_table, width = table.value.shape
    rows, carried, at = np.empty(len(batch), np.int64), batch.to_packed(carry), batch.to_packed(position)
    _core.position_rows(rows, at, batch.ids, batch.starts, batch.size, max_length, rows_in_table // max_length)
    out = Variable(empty((len(batch), width)), may_overwrite=True)
    _core.prefix_sum(out.value, carried, table.value, bias.value, rows, batch.starts, batch.size)

    def backward(gradient: Array) -> None:
        _core.sum_rows(bias.grad_buffer(), gradient)
        into = table.grad_buffer_at(rows) if isinstance(table, Leaf) else table.grad_buffer()
        _core.suffix_sum(into, zeros(carried.shape), gradient, rows, batch.starts, batch.size)
    return record(out, backward), batch.from_packed(carried), batch.from_packed(at)


def decayed_sum(x: Any, rates: Array, batch: Batch, carry: Array) -> tuple[Variable, Array]:
    """Compute running sums that decay: s = rate * s + x at each of K rates. FOFE, Zhang et al. 2015.

    x (N, D), rates (K,) float32 in [0, 1), carry (S, K, D) -> (out (N, K * D), new carry).
    """
    x = variable(x)
    count, width = len(rates), x.value.shape[1]
    carried = batch.to_packed(carry)
    sums = empty((len(batch), count, width))
    _core.decayed_sum(sums, carried, x.value, rates, batch.starts, batch.size)

    def backward(gradient: Array) -> None:
        _core.decayed_sum_back(x.grad_buffer(), zeros(carried.shape), gradient.reshape(sums.shape), rates, batch.starts,
                               batch.size)
    out = Variable(sums.reshape(len(batch), count * width), may_overwrite=True)
    return record(out, backward), batch.from_packed(carried)


def lstm(x: Any, weight: Any, bias: Any, recurrent: Any, batch: Batch, hidden: Array, cell: Array,
         rows: Array | None = None) -> tuple[Variable, Array, Array]:
    """Run a layer of LSTM. Hochreiter & Schmidhuber 1997; gates i, f, g, o side by side, as in PyTorch.

        i f o = sigmoid, g = tanh of x[n] @ weight + bias + h @ recurrent;   c = f c + i g;   h = o tanh(c)

    x (N, D), or (R, D) with rows (N,) int64 saying which row of x each row of the batch reads, so that a vocabulary
    smaller than the batch is projected once; weight (D, 4H), bias (4H,), recurrent (H, 4H); hidden, cell (S, H) ->
    (h (N, H), new hidden, new cell).
    """
    h, (hidden, cell) = cells.layer(cells.LSTMCell(), x, (weight, bias, recurrent), batch, (hidden, cell), rows)
    return h, hidden, cell


def gru(x: Any, weight: Any, bias: Any, recurrent: Any, recurrent_bias: Any, batch: Batch, hidden: Array,
        rows: Array | None = None) -> tuple[Variable, Array]:
    """Run a layer of gated recurrent units. Cho et al. 2014; gates r, z, n side by side, as in PyTorch.

        r z = sigmoid of x[n] @ weight + bias + h @ recurrent;   h = (1 - z) n + z h
        n = tanh of x[n] @ weight + bias + r * (h @ recurrent + recurrent_bias)

    x, rows as in `lstm`; weight (D, 3H), bias (3H,), recurrent (H, 3H), recurrent_bias (H,); hidden (S, H) ->
    (h (N, H), new hidden).
    """
    parameters = weight, bias, recurrent, recurrent_bias
    h, (hidden,) = cells.layer(cells.GRUCell(), x, parameters, batch, (hidden,), rows)
    return h, hidden


def sru(x: Any, weight: Any, bias: Any, batch: Batch, cell: Array) -> tuple[Variable, Array]:
    """One layer of simple recurrent units. Lei et al. 2018, with gates from the input alone; f, u, r side by side.

        f r = sigmoid, u of x @ weight + bias;   c = f c + (1 - f) u;   h = r c

    x (N, D), weight (D, 3H), bias (3H,), cell (S, H) -> (h (N, H), new cell).
    """
    x, weight, bias = variable(x), variable(weight), variable(bias)
    width, carried = weight.shape[1] // 3, batch.to_packed(cell)
    gates, h, c = empty((len(batch), 3 * width)), empty((len(batch), width)), empty((len(batch), width))
    first = empty(carried.shape)
    first[...] = carried
    weight.multiply(gates, x.value, bias=bias.value)
    _core.sru_forward(h, c, gates, carried, batch.starts, batch.size)

    def backward(gradient: Array) -> None:
        _core.sru_backward(gates, zeros(carried.shape), gradient, c, first, batch.starts, batch.size)
        _core.sum_rows(bias.grad_buffer(), gates)
        add_product(x, gates, weight.value.T)
        add_product(weight, x.value.T, gates)
    return record(Variable(h, may_overwrite=True), backward), batch.from_packed(carried)
