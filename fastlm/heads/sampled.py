"""The sampled softmax: in training each target competes with a few drawn words only. Jean et al. 2015."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Leaf, Parameter, Tape, Variable, active, distinct, empty, variable
from fastlm.heads.base import blocks
from fastlm.heads.full import FullSoftmax

Array = np.ndarray
_STREAM = 2          # sets these draws apart from others that are made from the seed of the same step
_CERTAIN = 1 - 1e-12   # the largest chance of a draw, so that the logarithm of 1 - q stays finite where V is 1


class SampledSoftmax(FullSoftmax):
    """A full softmax, weight (V, D), that is trained on the targets and on words drawn once a step for all rows.

    The words are `samples` draws with replacement from q(w) = log((w + 2) / (w + 1)) / log(V + 1), so ids are expected
    in descending order of their counts; a word drawn twice counts once. The logarithm of the chance
    1 - (1 - q)^samples that a word is drawn is subtracted from its logit, so that the gradient tends to the exact one
    as the draws grow in number. Where a drawn word is the target of a row, it counts only as the target there. Only the
    rows of the weight that are targets or drawn get a gradient. Off a tape, and in predictions, everything is exact.
    """

    losses = ("cross_entropy",)

    def __init__(self, weight: Parameter, bias: Parameter, samples: int) -> None:
        super().__init__(weight, bias, transpose=True)
        vocab_size = len(weight.value)
        if not isinstance(samples, int) or not 1 <= samples <= vocab_size:
            raise ValueError(f"samples = {samples}; a whole number from 1 to the {vocab_size} ids was expected")
        self.samples = samples
        ids = np.arange(vocab_size)
        q = np.log1p(1 / (ids + 1)) / np.log(vocab_size + 1)
        self.log_chance = np.log(-np.expm1(samples * np.log1p(-np.minimum(q, _CERTAIN)))).astype(np.float32)

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        tape = active()
        if tape is None or not tape.record:
            return super().loss(x, targets, scale, kind)
        self.check_loss(kind)
        return self.loss_of_drawn(x, targets, scale, self.draw(tape))

    def draw(self, tape: Tape) -> Array:
        """Draw the words of this step from the tape's seed; return their ids int64, ascending and each once."""
        vocab_size = len(self.weight.value)
        u = np.random.default_rng([tape.seed, _STREAM]).random(self.samples)
        drawn = np.exp(u * np.log(vocab_size + 1)).astype(np.int64) - 1
        return distinct(np.minimum(drawn, vocab_size - 1), vocab_size)

    def loss_of_drawn(self, x: Any, targets: Array, scale: float, words: Array, added: Array | None = None,
                      back: Callable[[slice, Array], None] | None = None) -> float:
        """Return the summed loss of targets (N,) against words (S,), as `draw` returns them, and add `scale` times its
        gradients to those of x and of the parameters.

        Column 0 of a block of logits is the target, the others are the words drawn. added (N, 1 + S): what is added to
        the logits; back: is called with some rows and the gradient of their logits.
        """
        x = variable(x)
        fresh = x.overwritable_grad()
        return self._loss_and_gradients(x.value, targets, scale, (x.grad_buffer(), False) if fresh is None
                                        else (fresh, True), words, added, back)

    def _loss_and_gradients(self, x: Array, targets: Array, scale: float, dx: tuple[Array, bool], words: Array,
                            added: Array | None, back: Callable[[slice, Array], None] | None) -> float:
        count, width = x.shape
        target_ids = np.maximum(targets, 0).astype(np.int64)
        word_offsets, target_offsets = (self.bias.value[ids] - self.log_chance[ids] for ids in (words, target_ids))
        offsets = np.concatenate([np.zeros(1, np.float32), word_offsets])
        word_weights, target_weights = empty((len(words), width)), empty((count, width))
        _core.gather(word_weights, self.weight.value, words)
        _core.gather(target_weights, self.weight.value, target_ids)
        position = np.minimum(np.searchsorted(words, target_ids), len(words) - 1)
        is_drawn = words[position] == target_ids
        d_words, d_targets = empty(word_weights.shape), np.empty(count, np.float32)
        sums, losses = np.zeros(1 + len(words), np.float32), np.empty(count, np.float64)
        columns = np.minimum(targets, 0)   # the column of each row's target: 0, or -1 where there is no target
        for rows in blocks(count, 1 + len(words)):
            block = empty((rows.stop - rows.start, 1 + len(words)))
            product(block[:, 1:], x[rows], word_weights.T)
            np.einsum("nd,nd->n", x[rows], target_weights[rows], out=block[:, 0])
            _core.add_bias(block, offsets)
            block[:, 0] += target_offsets[rows]
            if added is not None:
                _core.add(block, added[rows])
            block[np.flatnonzero(is_drawn[rows]), 1 + position[rows][is_drawn[rows]]] = -np.inf
            _core.softmax_cross_entropy(block, losses[rows], columns[rows], scale)
            product(dx[0][rows], block[:, 1:], word_weights, not dx[1])
            product(d_words, block[:, 1:].T, x[rows], rows.start > 0)
            _core.sum_rows(sums, block)
            d_targets[rows] = block[:, 0]
            if back is not None:
                back(rows, block)
        if count:
            self._add(words, d_words, sums[1:])
            self._add(target_ids, np.multiply(d_targets[:, None], x, out=empty(x.shape)), d_targets)
            target_weights *= d_targets[:, None]
            _core.add(dx[0], target_weights)
        return float(losses.sum())

    def _add(self, rows: Array, gradients: Array, biases: Array) -> None:
        """Add to the gradients of some rows of the weight and of the bias; a row may repeat."""
        leaf: Variable = variable(self.weight)
        _core.scatter_add(leaf.grad_buffer_at(rows) if isinstance(leaf, Leaf) else leaf.grad_buffer(), gradients, rows)
        np.add.at(variable(self.bias).grad_buffer(), rows, biases)
