"""The contract of a head, the output layer of a model: from its rows to the probabilities of the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.tape import Parameter, Variable, empty

Array = np.ndarray
READ_LOGITS = 1 << 22    # logits that are in memory together when a model whose rows are logits is read: 16 MB
BLOCK_LOGITS = 1 << 23   # logits of one block of rows, where a head computes them: 32 MB
FEWEST_ROWS = 256        # of a block, however large the vocabulary: every block reads and writes the whole gradient of
                         # the weights once, which many small blocks would do too often
FEWEST_ROWS_READ = 16    # of a block without gradients: of a million words 16 rows take 64 MB; an assumption
UNSEEN = 0.1             # the smoothed count of a token that the training text does not have
LOSSES: dict[str, Callable[..., float]] = {"cross_entropy": autodiff.cross_entropy, "squared": autodiff.squared_error}


class Head:
    """Turns the rows x (N, D) of a model into predictions of the next token.

    A head gives ``logits``; the other methods follow from it, and are overridden where they need not compute all N * V
    logits. This class itself is the head of a model whose rows are logits. ``losses``: the names of the losses that it
    can be trained by.

    >>> Head().top(np.log([[0.2, 0.5, 0.3]]), 2)[0]
    array([[1, 2]], dtype=int32)
    """

    losses: tuple[str, ...] = tuple(LOSSES)
    width: int | None = None   # D, None where the rows are logits

    def logits(self, x: Any) -> Variable:
        """Return logits (N, V), whose softmax is the exact distribution; they can be differentiated."""
        return x if isinstance(x, Variable) else Variable(np.ascontiguousarray(x, np.float32))

    def write(self, out: Array, x: Array) -> None:
        """Write the logits of x (N, D) into out (N, V), outside a tape."""
        np.copyto(out, self.logits(x).value)

    def by_rows(self, parameter: Parameter) -> bool:
        """Return whether rows are multiplied by this parameter transposed, so that a row of it belongs to a token."""
        return False

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        """Return the summed loss of targets (N,) int32, of which -1 counts nothing.

        On a tape add `scale` times its gradients to those of x and of the head's parameters. Raises ValueError for a
        kind that is not one of `losses`.
        """
        return LOSSES[self.check_loss(kind)](self.logits(x), targets, scale)

    def nats(self, x: Any, targets: Array) -> Array:
        """Return the exact -log p (N,) float64 of targets (N,) int32; 0 where a target is -1."""
        out = np.empty(len(targets), np.float64)
        _core.cross_entropy(out, self.logits(x).value, targets)
        return out

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        """Return the k most probable tokens for each row: ids int32 and log p float32, (N, min(k, V)) each, the most
        probable first."""
        logits = self.logits(x).value
        out = empty(logits.shape)
        _core.log_softmax(out, logits)
        return likeliest(out, k)

    def rows_together(self, vocab_size: int) -> int:
        """Return how many rows at once the head is best given when a long text is read."""
        return max(1, READ_LOGITS // vocab_size)

    def initialise(self, frequencies: Array) -> None:
        """Set biases by the frequencies of the tokens (V,) in the training text; called once before training."""

    def check_loss(self, kind: str) -> str:
        """Return `kind`; raise ValueError where the head cannot be trained by this loss."""
        if kind not in self.losses:
            raise ValueError(f"loss = {kind!r}; the output layer {type(self).__name__} has {', '.join(self.losses)}")
        return kind


def likeliest(rows: Array, k: int) -> tuple[Array, Array]:
    """Return the ids int32 and values float32, (N, min(k, V)) each, of the largest numbers of each row (N, V) float32.

    The largest comes first; of equal ones the lower id.
    """
    k = min(k, rows.shape[1])
    ids = np.empty((len(rows), k), np.int32)
    for row, row_ids in zip(rows, ids, strict=True):
        row_ids[:] = _core.top_k(row, k)
    return ids, np.take_along_axis(rows, ids, axis=1)


def blocks(count: int, width: int, gradients: bool = True) -> Iterator[slice]:
    """Yield slices that cut `count` rows of `width` logits into blocks of about equal size.

    A block has at most `BLOCK_LOGITS` logits or `FEWEST_ROWS` rows, whichever is more; without `gradients`
    `FEWEST_ROWS_READ`.
    """
    fewest = FEWEST_ROWS if gradients else FEWEST_ROWS_READ
    parts = -(-count // max(fewest, BLOCK_LOGITS // width))
    rows = -(-count // parts) if parts else 1
    return (slice(first, min(count, first + rows)) for first in range(0, count, rows))
