"""The primitives that look back in time: each takes a batch and the carry of its sequences, and returns the new carry.

A carry is a plain array with one row a sequence, in the caller's order; gradients stop where a batch begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.ops import add_product
from fastlm.autodiff.tape import Leaf, Variable, empty, record, variable
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
    lanes = batch.to_packed(carry)
    _core.last_ids(out, lanes, batch.ids, batch.starts, batch.size)
    return out, batch.from_packed(lanes)


def hashed_rows(batch: Batch, orders: Array, buckets: int, carry: Array) -> tuple[Array, Array]:
    """Of every prefix and the k-th of K orders n, the row k * buckets + hash(its last n ids) mod buckets; -1 where its
    document is shorter.

    orders (K,) int64, rising; carry (S, n - 1) int64, of the longest, as in `last_ids` -> ((N, K) int64, new carry).
    """
    last, carry = last_ids(batch, int(orders[-1]), carry)
    rows = np.empty((len(batch), len(orders)), np.int64)
    _core.hashed_rows(rows, last, orders, buckets)
    return rows, carry


def prefix_sum(table: Any, bias: Any, batch: Batch, max_length: int, carry: Array,
               position: Array) -> tuple[Variable, Array, Array]:
    """The positional one-hot product: out[n] = bias + the sum of table[p*V + id] over the prefix's tokens.

    p is a token's position in its document; from max_length on tokens add nothing. table (max_length * V, W), bias
    (W,), carry (S, W) float32, position (S,) int64 -> (out (N, W), new carry, new position). Both ways cost N*W: a
    running sum down the rows of the table, and of the gradient up them. The one-hot matrix is never built.
    """
    table, bias = variable(table), variable(bias)
    rows_in_table, width = table.value.shape
    rows, lanes, at = np.empty(len(batch), np.int64), batch.to_packed(carry), batch.to_packed(position)
    _core.position_rows(rows, at, batch.ids, batch.starts, batch.size, max_length, rows_in_table // max_length)
    out = Variable(empty((len(batch), width)), may_overwrite=True)
    _core.prefix_sum(out.value, lanes, table.value, bias.value, rows, batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.sum_rows(bias.grad_buffer(), gradient)
        into = table.grad_buffer_at(rows) if isinstance(table, Leaf) else table.grad_buffer()
        _core.suffix_sum(into, _zeros(lanes.shape), gradient, rows, batch.starts, batch.size)
    return record(out, back), batch.from_packed(lanes), batch.from_packed(at)


def decayed_sum(x: Any, rates: Array, batch: Batch, carry: Array) -> tuple[Variable, Array]:
    """Running sums that forget: s = rate * s + x at each of K rates. FOFE, Zhang et al. 2015.

    x (N, D), rates (K,) float32 in [0, 1), carry (S, K, D) -> (out (N, K * D), new carry).
    """
    x = variable(x)
    count, width = len(rates), x.value.shape[1]
    lanes = batch.to_packed(carry)
    sums = empty((len(batch), count, width))
    _core.decayed_sum(sums, lanes, x.value, rates, batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.decayed_sum_back(x.grad_buffer(), _zeros(lanes.shape), gradient.reshape(sums.shape), rates, batch.starts,
                               batch.size)
    out = Variable(sums.reshape(len(batch), count * width), may_overwrite=True)
    return record(out, back), batch.from_packed(lanes)


def lstm(x: Any, weight: Any, bias: Any, recurrent: Any, batch: Batch, hidden: Array, cell: Array,
         rows: Array | None = None) -> tuple[Variable, Array, Array]:
    """One LSTM layer. Hochreiter & Schmidhuber 1997; gates i, f, g, o side by side.

        i f o = sigmoid, g = tanh of x[n] @ weight + bias + h @ recurrent;   c = f c + i g;   h = o tanh(c)

    x (N, D), or (R, D) with rows (N,) int64 saying which row of x each row of the batch reads, so that a dictionary
    smaller than the batch is projected once; weight (D, 4H), bias (4H,), recurrent (H, 4H); hidden, cell (S, H) ->
    (h (N, H), new hidden, new cell).
    """
    x, weight, bias, recurrent = variable(x), variable(weight), variable(bias), variable(recurrent)
    if isinstance(recurrent, Int8Parameter):
        return _lstm_by_steps(x.value, weight, bias, recurrent, batch, hidden, cell, rows)
    width, shape = recurrent.value.shape[0], (len(batch), recurrent.value.shape[0])
    inputs = _panels(len(x.value), width)
    _core.panel_product(inputs, x.value, _packed(weight.value), bias.value)
    gates = inputs if rows is None else _panels(len(batch), width)
    h, c, h_before, c_before = empty(shape), empty(shape), empty(shape), empty(shape)
    new_hidden, new_cell = batch.to_packed(hidden), batch.to_packed(cell)
    first = int(batch.size[0]) if len(batch.size) else 0
    h_before[:first], c_before[:first] = new_hidden[:first], new_cell[:first]
    _core.lstm_forward(h, c, gates, h_before, c_before, _packed(recurrent.value), inputs, rows, batch.starts,
                       batch.size)

    def back(gradient: Array) -> None:
        _core.lstm_backward(gates, gradient, _zeros((batch.sequences, width)), c, c_before,
                            _packed_back(recurrent.value), batch.starts, batch.size)
        _core.panel_weights(recurrent.grad_buffer(), h_before, gates)
        if rows is not None:
            inputs.fill(0)
            _core.panel_scatter(inputs, gates, rows)
        _core.panel_sum(bias.grad_buffer(), inputs)
        _core.panel_weights(weight.grad_buffer(), x.value, inputs)
        _core.panel_product_back(x.grad_buffer(), inputs, _packed_back(weight.value))
    last = batch.last_rows()
    new_hidden[last >= 0], new_cell[last >= 0] = h[last[last >= 0]], c[last[last >= 0]]
    return record(Variable(h), back), batch.from_packed(new_hidden), batch.from_packed(new_cell)


def _lstm_by_steps(x: Array, weight: Any, bias: Any, recurrent: Any, batch: Batch, hidden: Array, cell: Array,
                   rows: Array | None) -> tuple[Variable, Array, Array]:
    """The same time step after time step, for int8 weights, which only predict."""
    h, gates = empty((len(batch), recurrent.shape[0])), empty((batch.sequences, recurrent.shape[1]))
    new_hidden, new_cell = batch.to_packed(hidden), batch.to_packed(cell)
    for a, b in batch.steps():
        carried, cells = new_hidden[: b - a], new_cell[: b - a]
        if batch.starts is not None:
            carried[batch.starts[a:b] != 0] = cells[batch.starts[a:b] != 0] = 0
        _core.lstm_step(carried, cells, gates[: b - a], x[a:b] if rows is None else x[rows[a:b]], weight.matrix(),
                        recurrent.matrix(), bias.value)
        h[a:b] = carried
    return Variable(h), batch.from_packed(new_hidden), batch.from_packed(new_cell)


def gru(x: Any, weight: Any, bias: Any, recurrent: Any, recurrent_bias: Any, batch: Batch, hidden: Array,
        rows: Array | None = None) -> tuple[Variable, Array]:
    """One layer of gated recurrent units. Cho et al. 2014; gates r, z, n side by side, as in PyTorch.

        r z = sigmoid of x[n] @ weight + bias + h @ recurrent;   h = (1 - z) n + z h
        n = tanh of x[n] @ weight + bias + r * (h @ recurrent + recurrent_bias)

    x, rows as in `lstm`; weight (D, 3H), bias (3H,), recurrent (H, 3H), recurrent_bias (H,); hidden (S, H) ->
    (h (N, H), new hidden).
    """
    x, weight, bias, recurrent, recurrent_bias = map(variable, (x, weight, bias, recurrent, recurrent_bias))
    if isinstance(recurrent, Int8Parameter):
        return _gru_by_steps(x.value, weight, bias, recurrent, recurrent_bias, batch, hidden, rows)
    width, shape = recurrent.value.shape[0], (len(batch), recurrent.value.shape[0])
    inputs = _panels(len(x.value), width, 3)
    _core.panel_product(inputs, x.value, _packed(weight.value, 3), bias.value)
    gates = inputs if rows is None else _panels(len(batch), width, 3)
    h, h_before, kept = empty(shape), empty(shape), _panels(len(batch), width, 3)
    new_hidden = batch.to_packed(hidden)
    first = int(batch.size[0]) if len(batch.size) else 0
    h_before[:first] = new_hidden[:first]
    _core.gru_forward(h, gates, kept, h_before, _packed(recurrent.value, 3), recurrent_bias.value, inputs, rows,
                      batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.gru_backward(gates, kept, gradient, h_before, _packed_back(recurrent.value, 3), batch.starts, batch.size)
        _core.panel_weights(recurrent.grad_buffer(), h_before, kept)
        both = _zeros((3 * width,))
        _core.panel_sum(both, kept)
        _core.add(recurrent_bias.grad_buffer(), both[2 * width:])
        if rows is not None:
            inputs.fill(0)
            _core.panel_scatter(inputs, gates, rows)
        _core.panel_sum(bias.grad_buffer(), inputs)
        _core.panel_weights(weight.grad_buffer(), x.value, inputs)
        _core.panel_product_back(x.grad_buffer(), inputs, _packed_back(weight.value, 3))
    last = batch.last_rows()
    new_hidden[last >= 0] = h[last[last >= 0]]
    return record(Variable(h), back), batch.from_packed(new_hidden)


def _gru_by_steps(x: Array, weight: Any, bias: Any, recurrent: Any, recurrent_bias: Any, batch: Batch, hidden: Array,
                  rows: Array | None) -> tuple[Variable, Array]:
    """The same time step after time step, for int8 weights, which only predict."""
    h = empty((len(batch), recurrent.shape[0]))
    gates, kept = empty((batch.sequences, recurrent.shape[1])), empty((batch.sequences, recurrent.shape[1]))
    new_hidden = batch.to_packed(hidden)
    for a, b in batch.steps():
        carried = new_hidden[: b - a]
        if batch.starts is not None:
            carried[batch.starts[a:b] != 0] = 0
        _core.gru_step(carried, gates[: b - a], kept[: b - a], x[a:b] if rows is None else x[rows[a:b]],
                       weight.matrix(), recurrent.matrix(), bias.value, recurrent_bias.value)
        h[a:b] = carried
    return Variable(h), batch.from_packed(new_hidden)


def sru(x: Any, weight: Any, bias: Any, batch: Batch, cell: Array) -> tuple[Variable, Array]:
    """One layer of simple recurrent units. Lei et al. 2018, with gates from the input alone; f, u, r side by side.

        f r = sigmoid, u of x @ weight + bias;   c = f c + (1 - f) u;   h = r c

    x (N, D), weight (D, 3H), bias (3H,), cell (S, H) -> (h (N, H), new cell).
    """
    x, weight, bias = variable(x), variable(weight), variable(bias)
    width, lanes = weight.shape[1] // 3, batch.to_packed(cell)
    gates, h, c = empty((len(batch), 3 * width)), empty((len(batch), width)), empty((len(batch), width))
    first = empty(lanes.shape)
    first[...] = lanes
    weight.multiply(gates, x.value, bias=bias.value)
    _core.sru_forward(h, c, gates, lanes, batch.starts, batch.size)

    def back(gradient: Array) -> None:
        _core.sru_backward(gates, _zeros(lanes.shape), gradient, c, first, batch.starts, batch.size)
        _core.sum_rows(bias.grad_buffer(), gates)
        add_product(x, gates, weight.value.T)
        add_product(weight, x.value.T, gates)
    return record(Variable(h, may_overwrite=True), back), batch.from_packed(lanes)


def _panels(rows: int, width: int, gates: int = 4) -> Array:
    return empty((-(-width // 16), rows, 16 * gates))


def _packed(weight: Array, gates: int = 4) -> Array:
    out = _panels(len(weight), weight.shape[1] // gates, gates)
    _core.panel_pack(out, weight)
    return out


def _packed_back(weight: Array, gates: int = 4) -> Array:
    rows, columns = weight.shape
    out = empty((16 * gates * -(-columns // (16 * gates)) * 16 * -(-rows // 16),))
    _core.panel_pack_back(out, weight, gates)
    return out
