"""Layers of gated recurrent cells: what tells one cell from another, and everything that is the same around them.

A new cell is a subclass of `Cell` over kernels of its own, a primitive in `sequence` that hands it to `layer`, and a
model that names it. This fits cells whose recurrent product reads h itself; one that scales h before the product, or
has no kernels of its own, is a primitive by itself, as `sequence.sru` is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.tape import Variable, empty, record, variable
from fastlm.batch import Batch

Array = np.ndarray
# Sequences from which on `LayerStepper` works as training does, although weights, which may change, are packed anew at
# every step: with an LSTM 16 take 183 instead of 255 microseconds at H = 256, 64 take 464 instead of 708, and 1,793
# instead of 3,838 at H = 512.
_MANY_SEQUENCES = 16


class Cell:
    """The kernels of a gated recurrent cell, and the sizes that `layer` and `LayerStepper` need to call them.

    ``gates``: how many a unit has, side by side in the weights. ``states``: the names of the arrays (S, H) that are
    carried from step to step; the first is the layer's output. ``panels``: how many arrays of gate panels `forward`
    leaves to `backward`, which turns the first into the gradient of the input's product and the last into that of the
    recurrent product. ``recurrent_bias``: whether the recurrent product has a bias (H,) of its own, in its last gate.

    ``forward`` runs along a batch. It takes the states (N, H) after every row, the panels, the states before every row,
    the packed recurrent matrix, its bias where there is one, panels of the input's product, the rows of them that the
    batch uses or None, and the `starts` and `size` of the batch. ``step`` runs one time step of S sequences. It takes
    the states (S, H), which it changes in place, scratch (S, gates H) as often as there are panels, x (S, D), the two
    weights as `_core.Matrix`, the input's bias, and that of the recurrent product where there is one.
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]]
    panels: ClassVar[int] = 1
    recurrent_bias: ClassVar[bool] = False
    forward: Callable[..., None]
    step: Callable[..., None]

    def backward(self, panels: list[Array], gradient: Array, states: list[Array], before: list[Array], packed: Array,
                 batch: Batch) -> None:
        """Run back along a batch, from the gradient (N, H) of the output; panels, states and before as `forward` left
        them, packed as `panel_pack_back` packs the recurrent matrix."""
        raise NotImplementedError


class LSTMCell(Cell):
    """Long short-term memory, see `sequence.lstm`."""

    gates, states = 4, ("hidden", "cell")
    forward, step = staticmethod(_core.lstm_forward), staticmethod(_core.lstm_step)

    def backward(self, panels: list[Array], gradient: Array, states: list[Array], before: list[Array], packed: Array,
                 batch: Batch) -> None:
        scratch = zeros((batch.sequences, gradient.shape[1]))
        _core.lstm_backward(panels[0], gradient, scratch, states[1], before[1], packed, batch.starts, batch.size)


class GRUCell(Cell):
    """Gated recurrent units, see `sequence.gru`."""

    gates, states, panels, recurrent_bias = 3, ("hidden",), 2, True
    forward, step = staticmethod(_core.gru_forward), staticmethod(_core.gru_step)

    def backward(self, panels: list[Array], gradient: Array, states: list[Array], before: list[Array], packed: Array,
                 batch: Batch) -> None:
        _core.gru_backward(panels[0], panels[1], gradient, before[0], packed, batch.starts, batch.size)


def layer(cell: Cell, x: Any, parameters: Sequence[Any], batch: Batch, carried: Sequence[Array],
          rows: Array | None = None) -> tuple[Variable, list[Array]]:
    """Run a layer of cells along a batch; return its output (N, H) and its states (S, H) after the batch.

    x (N, D), or (R, D) with rows (N,) int64 saying which row of x each row of the batch reads, so that a vocabulary
    smaller than the batch is projected once. parameters: weight (D, gates H), bias (gates H,), recurrent (H, gates H),
    and the bias of the recurrent product where the cell has one. carried: the states (S, H) before the batch.
    """
    x, (weight, bias, recurrent, *recurrent_bias) = variable(x), map(variable, parameters)
    carried = [batch.to_packed(state) for state in carried]
    if isinstance(recurrent, Int8Parameter):
        h = _forward_by_steps(cell, x.value, (weight, bias, recurrent, *recurrent_bias), batch, carried, rows)
        return Variable(h), [batch.from_packed(state) for state in carried]
    count, width = len(batch), recurrent.value.shape[0]
    inputs = _panels(len(x.value), width, cell.gates)
    _core.panel_product(inputs, x.value, _packed(weight.value, cell.gates), bias.value)
    panels = [inputs if rows is None else _panels(count, width, cell.gates)]
    panels += [_panels(count, width, cell.gates) for _ in range(cell.panels - 1)]
    states, before = ([empty((count, width)) for _ in carried] for _ in range(2))
    first = int(batch.size[0]) if len(batch.size) else 0
    for array, state in zip(before, carried, strict=True):
        array[:first] = state[:first]
    cell.forward(*states, *panels, *before, _packed(recurrent.value, cell.gates),
                 *(vector.value for vector in recurrent_bias), inputs, rows, batch.starts, batch.size)

    def backward(gradient: Array) -> None:
        cell.backward(panels, gradient, states, before, _packed_back(recurrent.value, cell.gates), batch)
        _core.panel_weights(recurrent.grad_buffer(), before[0], panels[-1])
        for vector in recurrent_bias:
            _core.add(vector.grad_buffer(), _sum_of_last_gate(panels[-1], width, cell.gates))
        _input_backward(x, weight, bias, inputs, panels[0], rows, cell.gates)
    return record(Variable(states[0]), backward), [
        batch.from_packed(_last(batch, state, array)) for state, array in zip(carried, states, strict=True)]


def _input_backward(x: Variable, weight: Variable, bias: Variable, inputs: Array, gradient: Array, rows: Array | None,
                    gates: int) -> None:
    """Add the gradients of x, weight and bias, from that of their product; `inputs`, which held the product, is scratch
    where several rows of the batch share one of x."""
    if rows is not None:
        inputs.fill(0)
        _core.panel_scatter(inputs, gradient, rows)
    _core.panel_sum(bias.grad_buffer(), inputs)
    _core.panel_weights(weight.grad_buffer(), x.value, inputs)
    _core.panel_product_back(x.grad_buffer(), inputs, _packed_back(weight.value, gates))


def _forward_by_steps(cell: Cell, x: Array, parameters: Sequence[Any], batch: Batch, carried: list[Array],
                      rows: Array | None) -> Array:
    """Return the output (N, H) time step after time step, for int8 weights, which only predict; `carried` become
    the states after the batch."""
    weight, bias, recurrent, *recurrent_bias = parameters
    weights = weight.matrix(), recurrent.matrix(), bias.value, *(vector.value for vector in recurrent_bias)
    h = empty((len(batch), recurrent.shape[0]))
    scratch = [empty((batch.sequences, recurrent.shape[1])) for _ in range(cell.panels)]
    for a, b in batch.steps():
        states = [state[: b - a] for state in carried]
        if batch.starts is not None:
            for state in states:
                state[batch.starts[a:b] != 0] = 0
        cell.step(*states, *(array[: b - a] for array in scratch), x[a:b] if rows is None else x[rows[a:b]], *weights)
        h[a:b] = states[0]
    return h


class LayerStepper:
    """Runs a layer of cells one time step after another, with its states (S, H) changed in place.

    It allocates nothing large after its construction, and refers to the weights where they lie, so that weights changed
    in place are seen. ``output``: the first of the states.
    """

    def __init__(self, cell: Cell, x: Array, parameters: Sequence[Any], states: Sequence[Array]) -> None:
        """Take x (S, D), where each step's input will lie; parameters as `layer` takes them."""
        weight, bias, recurrent, *recurrent_bias = parameters
        vectors = [vector.value for vector in recurrent_bias]
        self.output, count, (width, columns) = states[0], len(x), recurrent.shape
        self.advance: Callable[[], None]   # reads x and moves the states on
        if count < _MANY_SEQUENCES or isinstance(recurrent, Int8Parameter):
            scratch = [np.empty((count, columns), np.float32) for _ in range(cell.panels)]
            arrays = *states, *scratch, x, weight.matrix(), recurrent.matrix(), bias.value, *vectors
            self.advance = partial(cell.step, *arrays)
            return
        gates, size = cell.gates, np.array([count], np.uintp)
        panels = [np.empty(panel_shape(count, width, gates), np.float32) for _ in range(cell.panels)]
        packed, packed_recurrent = (np.empty(panel_shape(rows, width, gates), np.float32)
                                    for rows in (x.shape[1], width))
        before = [np.empty_like(state) for state in states]

        def advance() -> None:
            for old, state in zip(before, states, strict=True):
                old[:] = state
            _core.panel_pack(packed, weight.value)
            _core.panel_pack(packed_recurrent, recurrent.value)
            _core.panel_product(panels[0], x, packed, bias.value)
            cell.forward(*states, *panels, *before, packed_recurrent, *vectors, panels[0], None, None, size)
        self.advance = advance


def zeros(shape: tuple[int, ...]) -> Array:
    """Return float32 zeros, lent by the tape of this thread where there is one."""
    out = empty(shape)
    out.fill(0)
    return out


def _last(batch: Batch, carried: Array, rows: Array) -> Array:
    """Return a state (S, H) after a batch: that of each sequence's last row of (N, H), or `carried` without a row."""
    if len(batch.size) and batch.size[-1] == batch.sequences:   # all sequences are as long as each other
        return rows[len(rows) - batch.sequences:].copy()
    last = batch.last_rows()
    carried[last >= 0] = rows[last[last >= 0]]
    return carried


def panel_shape(rows: int, width: int, gates: int) -> tuple[int, int, int]:
    """Return the shape of the panels of a matrix (rows, gates * width): 16 units of each gate in a panel."""
    return -(-width // 16), rows, 16 * gates


def _panels(rows: int, width: int, gates: int) -> Array:
    return empty(panel_shape(rows, width, gates))


def _packed(weight: Array, gates: int) -> Array:
    out = _panels(len(weight), weight.shape[1] // gates, gates)
    _core.panel_pack(out, weight)
    return out


def _packed_back(weight: Array, gates: int) -> Array:
    rows, columns = weight.shape
    out = empty((16 * gates * -(-columns // (16 * gates)) * 16 * -(-rows // 16),))
    _core.panel_pack_back(out, weight, gates)
    return out


def _sum_of_last_gate(panels: Array, width: int, gates: int) -> Array:
    sums = zeros((gates * width,))
    _core.panel_sum(sums, panels)
    return sums[-width:]
