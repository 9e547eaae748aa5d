"""One step of the optimizer from the gradients of several shards, with the same bytes on any number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff import Leaf, Parameter, Tape
from fastlm.autodiff.tape import distinct
from fastlm.models.base import PrefixModel
from fastlm.training.optim import Optimizer, new_state
from fastlm.workers import Workers

Array = np.ndarray
_PIECE = 1 << 16   # elements of a task: a fixed number, so that sums are grouped alike on any number of threads
# Elements up to which the calling thread adds and updates alone: it takes some 0.15 ms, of which a second thread would
# save less than waking it costs, twice a step.
_ALONE = 1 << 18


class Update:
    """The tapes of the shards, the state of the optimizer, and the step that joins them.

    ``tapes``: one for each shard, on which its gradients are; ``state``: {parameter: arrays of the optimizer};
    ``steps``: how many were applied.
    """

    def __init__(self, model: PrefixModel, optimizer: Optimizer, shards: int, clip: float | None) -> None:
        self.model, self.optimizer, self.clip = model, optimizer, clip
        self.tapes = [Tape() for _ in range(shards)]
        self.state = {name: new_state(optimizer, parameter.value) for name, parameter in model.parameters.items()}
        self.steps = 0

    def apply(self, lr: float, workers: Workers) -> float:
        """Add the gradients of the shards, clip the sum by its global norm, and update the parameters.

        Returns the norm before clipping. Where the norm is not finite, the gradients are dropped and no parameter
        changes.
        """
        elements = 0
        tasks: list[Callable[[], float]] = []
        touched: list[tuple[str, Array | None]] = []   # of each parameter the rows with a gradient; None for all
        for name, parameter in self.model.parameters.items():
            leaves = [tape.leaf(parameter) for tape in self.tapes]
            rows = self._join_rows(leaves)
            touched.append((name, rows))
            elements += parameter.value.size if rows is None else len(rows) * math.prod(parameter.value.shape[1:])
            if rows is None:
                tasks += self._dense_sums(leaves)
            elif len(rows):
                tasks.append(partial(self._row_sums, parameter, rows))
        if elements <= _ALONE:
            workers = Workers(1)
        norm = float(np.sqrt(sum(workers.run(tasks))))
        if not np.isfinite(norm):
            self.discard()
            return norm
        self.steps += 1
        scale = 1.0 if self.clip is None or norm <= self.clip else self.clip / norm
        rates = [self.optimizer.rate(lr, scale, self.steps, decays) for decays in (False, True)]
        workers.run([move for name, rows in touched for move in self._moves(name, rows, rates)])
        for tape in self.tapes:
            for leaf in tape.leaves.values():
                leaf.mark("zero" if tape is self.tapes[0] or leaf.status in ("zero", "rows") else "stale")
        return norm

    def discard(self) -> None:
        """Drop the gradients on the tapes."""
        for tape in self.tapes:
            for leaf in tape.leaves.values():
                leaf.mark("stale")

    def _join_rows(self, leaves: list[Leaf]) -> Array | None:
        """Return the rows in which a gradient is not zero in any shard (R,) int64, or None where it is dense in one."""
        touched = [leaf.touched() for leaf in leaves]
        sparse = [rows for rows in touched if rows is not None]
        if len(sparse) == len(touched):
            rows = np.concatenate(sparse)
            return distinct(rows, len(leaves[0].value)) if len(rows) else rows
        if leaves[0].status == "stale":
            leaves[0].buffer.fill(0)
        for leaf in leaves[1:]:
            if leaf.status == "rows":
                leaf.status = "dense"   # its rows are added with the rest, and what remains of them is stale
        return None

    def _dense_sums(self, leaves: list[Leaf]) -> list[Callable[[], float]]:
        """Return tasks that each add a piece of the gradients into the first leaf, and return its sum of squares."""
        arrays = [leaf.buffer.reshape(-1) for leaf in leaves
                  if leaf is leaves[0] or leaf.status == "dense"]

        def join(piece: slice) -> float:
            total = arrays[0][piece]
            for other in arrays[1:-1]:
                _core.add(total, other[piece])
            return _core.add_sum_squares(total, arrays[-1][piece]) if arrays[1:] else _core.sum_squares(total)
        return [partial(join, piece) for piece in _pieces(len(arrays[0]), _PIECE)]

    def _row_sums(self, parameter: Parameter, rows: Array) -> float:
        """Add the rows of the gradients into the first tape's, and return their sum of squares."""
        first = self.tapes[0].leaves[parameter]
        if first.status == "stale":
            first.buffer.fill(0)
        for tape in self.tapes[1:]:
            if tape.leaves[parameter].status == "rows":
                _core.add_rows(first.buffer, tape.leaves[parameter].buffer, rows)
        return _core.sum_squares_rows(first.buffer, rows)

    def _moves(self, name: str, rows: Array | None, rates: list[Any]) -> list[Callable[[], None]]:
        """Return tasks that each update a piece of a parameter, or of some of its rows.

        rates: the kernel's arguments for a parameter exempt from decay, and for any other.
        """
        parameter, state = self.model.parameters[name], self.state[name]
        rate = rates[parameter.decay]
        gradient = self.tapes[0].leaves[parameter].buffer
        if rows is not None:
            if not len(rows):
                return []   # no shard read the parameter, which may be of any shape
            count = max(1, _PIECE // parameter.value.shape[1])
            return [partial(self.optimizer.update_rows, parameter.value, state, gradient, rows[piece], rate)
                    for piece in _pieces(len(rows), count)]
        value, flat = parameter.value.reshape(-1), gradient.reshape(-1)
        flat_state = [array.reshape(-1) for array in state]

        def move(piece: slice) -> None:
            self.optimizer.update(value[piece], [array[piece] for array in flat_state], flat[piece], rate)
        return [partial(move, piece) for piece in _pieces(len(value), _PIECE)]


def _pieces(length: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` elements that cover a length in order."""
    for first in range(0, length, size):
        yield slice(first, first + size)
