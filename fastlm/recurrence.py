"""The primitives that look back in time: each takes a batch and the carry of its sequences, and returns the new carry.

A carry is a plain array with one row a sequence, in the caller's order; gradients stop where a batch begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff import Leaf, Variable, add_product, empty, record, variable
from fastlm.batch import Batch

Array = np.ndarray


def _zeros(shape: tuple[int, ...]) -> Array:
    out = empty(shape)
    out.fill(0)
    return out


def last_ids(batch: Batch, count: int, carry: Array) -> tuple[Array, Array]:
    """The last `count` ids of every prefix, newest first, -1 before its document's start.

    carry (S, count - 1) int64, the ids before the batch, newest first -> ((N, count) int64, new carry).
    """
    out = np.empty((len(batch), count), np.int64)
    lanes = batch.to_lanes(carry)
    _core.last_ids(out, lanes, batch.ids, batch.starts, batch.size)
    return out, batch.from_lanes(lanes)


def prefix_sum(table: Any, bias: Any, batch: Batch, max_length: int, carry: Array,
               position: Array) -> tuple[Variable, Array, Array]:
    """The positional one-hot product: out[n] = bias + the sum of table[p*V + id] over the prefix's tokens.

    p is a token's position in its document; from max_length on tokens add nothing. table (max_length * V, W), bias
    (W,), carry (S, W) float32, position (S,) int64 -> (out (N, W), new carry, new position). Both ways cost N*W: a
    running sum down the rows of the table, and of the gradient up them. The one-hot matrix is never built.
    """
    table, bias = variable(table), variable(bias)
    rows_in_table, width = table.value.shape
    rows, lanes, at = np.empty(len(batch), np.int64), batch.to_lanes(carry), batch.to_lanes(position)
    _core.position_rows(rows, at, batch.ids, batch.starts, batch.size, max_length, rows_in_table // max_length)
    out = Variable(empty((len(batch), width)), disposable=True)
    _core.prefix_sum(out.value, lanes, table.value, bias.value, rows, batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.sum_rows(bias.added(), gradient)
        into = table.added_at(rows) if isinstance(table, Leaf) else table.added()
        _core.suffix_sum(into, _zeros(lanes.shape), gradient, rows, batch.starts, batch.size)
    return record(out, back), batch.from_lanes(lanes), batch.from_lanes(at)


def decayed_sum(x: Any, rates: Array, batch: Batch, carry: Array) -> tuple[Variable, Array]:
    """Running sums that forget: s = rate * s + x at each of K rates. FOFE, Zhang et al. 2015.

    x (N, D), rates (K,) float32 in [0, 1), carry (S, K, D) -> (out (N, K * D), new carry).
    """
    x = variable(x)
    count, width = len(rates), x.value.shape[1]
    lanes = batch.to_lanes(carry)
    sums = empty((len(batch), count, width))
    _core.decayed_sum(sums, lanes, x.value, rates, batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.decayed_sum_back(x.added(), _zeros(lanes.shape), gradient.reshape(sums.shape), rates, batch.starts,
                               batch.size)
    out = Variable(sums.reshape(len(batch), count * width), disposable=True)
    return record(out, back), batch.from_lanes(lanes)


def lstm(x: Any, recurrent: Any, batch: Batch, hidden: Array, cell: Array) -> tuple[Variable, Array, Array]:
    """One LSTM layer over projected inputs. Hochreiter & Schmidhuber 1997; gates i, f, g, o side by side.

        i f o = sigmoid, g = tanh of x[n] + h @ recurrent;   c = f c + i g;   h = o tanh(c)

    x (N, 4H): the inputs' projection, bias included, spent where nothing else has read it: the gates take its place;
    recurrent (H, 4H); hidden, cell (S, H) -> (h (N, H), new hidden, new cell).
    """
    own = isinstance(x, Variable) and x.disposable
    x, recurrent = variable(x), variable(recurrent)
    x.taken = own
    weight = recurrent.value
    width = weight.shape[0]
    gates = x.value
    if not own:
        gates = empty(x.value.shape)
        np.copyto(gates, x.value)
    h, c = empty((len(batch), width)), empty((len(batch), width))
    h_before, c_before = empty((len(batch), width)), empty((len(batch), width))
    first_hidden, first_cell = batch.to_lanes(hidden), batch.to_lanes(cell)
    product = empty((batch.sequences, 4 * width))
    h_last, c_last = first_hidden, first_cell
    fresh = None if batch.starts is None else batch.starts.astype(bool)
    for a, b in batch.steps():
        lanes = b - a
        h_in, c_in = h_before[a:b], c_before[a:b]
        h_in[:], c_in[:] = h_last[:lanes], c_last[:lanes]
        if fresh is not None and fresh[a:b].any():
            h_in[fresh[a:b]] = 0
            c_in[fresh[a:b]] = 0
        h_last, c_last = h[a:b], c[a:b]
        np.matmul(h_in, weight, out=product[:lanes])
        _core.lstm_gates(h_last, c_last, gates[a:b], product[:lanes], c_in)

    def back(gradient: Array) -> None:
        dc = _zeros((batch.sequences, width))
        product_h = empty((batch.sequences, width))
        weight_t = empty((4 * width, width))   # copied once: products of few rows are much faster with it in order
        np.copyto(weight_t, weight.T)
        later = 0   # lanes that the step after this one held
        for a, b in reversed(list(batch.steps())):
            lanes = b - a
            if later:
                _core.add(gradient[a: a + later], product_h[:later])
            _core.lstm_gates_back(gates[a:b], dc[:lanes], gradient[a:b], gates[a:b], c[a:b], c_before[a:b])
            later = lanes
            if a:
                np.matmul(gates[a:b], weight_t, out=product_h[:lanes])
                if fresh is not None and fresh[a:b].any():
                    product_h[:lanes][fresh[a:b]] = 0
                    dc[:lanes][fresh[a:b]] = 0
        add_product(recurrent, h_before.T, gates)
        if x.gradient is None and not isinstance(x, Leaf):
            x.gradient = gates
        else:
            _core.add(x.added(), gates)
    last = batch.last_rows()
    new_hidden, new_cell = first_hidden, first_cell
    new_hidden[last >= 0], new_cell[last >= 0] = h[last[last >= 0]], c[last[last >= 0]]
    return (record(Variable(h), back), batch.from_lanes(new_hidden), batch.from_lanes(new_cell))
