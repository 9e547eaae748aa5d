"""The contract of a head, the output layer of a model: from its rows to the probabilities of the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.tape import Parameter, Variable, empty

Array = np.ndarray
_READ = 1 << 22    # logits in memory together where a network ends in them: 16 MB
_BLOCK = 1 << 23   # and where an output layer makes them: 32 MB, but
_ROWS = 256        # never fewer rows than this, since each block adds a gradient of all the weights to the last one
LOSSES: dict[str, Callable[..., float]] = {"cross_entropy": autodiff.cross_entropy, "squared": autodiff.squared_error}


class Head:
    """What turns the rows x (N, D) that a network ends in into predictions of the next token.

    A layer gives ``logits``; the rest follows from it, and is overridden where it can be had without all N * V of them.
    This class itself is the head of a model whose rows are logits. ``losses``: those it can be trained by.

    >>> Head().top(np.log([[0.2, 0.5, 0.3]]), 2)[0]
    array([[1, 2]], dtype=int32)
    """

    losses: tuple[str, ...] = tuple(LOSSES)
    width: int | None = None   # D, None where the rows are logits

    def logits(self, x: Any) -> Variable:
        """Rows (N, V) whose softmax is the exact distribution, differentiable."""
        return x if isinstance(x, Variable) else Variable(np.ascontiguousarray(x, np.float32))

    def write(self, out: Array, x: Array) -> None:
        """out (N, V) = the logits of x (N, D), outside a tape."""
        np.copyto(out, self.logits(x).value)

    def by_rows(self, parameter: Parameter) -> bool:
        """Whether rows are multiplied by a parameter of this layer transposed: a class is a row of it."""
        return False

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        """The summed loss of targets (N,) int32, -1 counting nothing, as `autodiff.cross_entropy`.

        On a tape, `scale` times its gradients are added to those of x and of the layer's parameters.
        """
        return LOSSES[self.check_loss(kind)](self.logits(x), targets, scale)

    def nats(self, x: Any, targets: Array) -> Array:
        """-log p of targets (N,) int32 as float64 (N,), 0 where a target is -1; exact, whatever it was trained by."""
        out = np.empty(len(targets), np.float64)
        _core.cross_entropy(out, self.logits(x).value, targets)
        return out

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        """The k likeliest tokens after each row: ids int32 and log p float32, (N, min(k, V)) each, likeliest first."""
        logits = self.logits(x).value
        out = empty(logits.shape)
        _core.log_softmax(out, logits)
        return likeliest(out, k)

    def rows_together(self, vocab_size: int) -> int:
        """How many rows a reader of long texts should hand over at once."""
        return max(1, _READ // vocab_size)

    def initialise(self, frequencies: Array) -> None:
        """Called once before training with the tokens' counts (V,)."""

    def check_loss(self, kind: str) -> str:
        """`kind`, or ValueError where the layer has no such loss."""
        if kind not in self.losses:
            raise ValueError(f"loss = {kind!r}; the output layer {type(self).__name__} has {', '.join(self.losses)}")
        return kind


def likeliest(rows: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row (N, V) float32, largest first, ties to the lower id: ids int32, values float32."""
    k = min(k, rows.shape[1])
    ids = np.empty((len(rows), k), np.int32)
    for row, into in zip(rows, ids, strict=True):
        into[:] = _core.top_k(row, k)
    return ids, np.take_along_axis(rows, ids, axis=1)


def blocks(count: int, width: int) -> Iterator[slice]:
    """`count` rows of `width` numbers as slices of about equal size, of 32 MB or 256 rows at most."""
    parts = -(-count // max(_ROWS, _BLOCK // width))
    rows = -(-count // parts) if parts else 1
    return (slice(first, min(count, first + rows)) for first in range(0, count, rows))
