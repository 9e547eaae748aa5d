"""The sampled softmax: in training every row is told from a few drawn words only. Jean et al. 2015."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Leaf, Parameter, Tape, Variable, active, distinct, empty, variable
from fastlm.heads.base import blocks
from fastlm.heads.full import FullSoftmax

Array = np.ndarray


class SampledSoftmax(FullSoftmax):
    """A full softmax, weight (V, D), that is trained on its targets and one draw of words a step, shared by all rows.

    The words are `samples` draws with replacement from q(w) = log((w + 2) / (w + 1)) / log(V + 1), so ids are expected
    in order of their counts; a word drawn twice counts once. Logits are corrected by the log of the chance
    1 - (1 - q)^samples that a word is among them, which makes the gradient right on average as the draw grows; a drawn
    word that is a row's own target is left out of that row. Only the rows of the weight that take part get a gradient.
    Off a tape, and in predictions, everything is exact.
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
        self.log_chance = np.log(-np.expm1(samples * np.log1p(-np.minimum(q, 1 - 1e-12)))).astype(np.float32)

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        tape = active()
        if tape is None or not tape.record:
            return super().loss(x, targets, scale, kind)
        self.check_loss(kind)
        x = variable(x)
        dx = x.overwritable_grad()
        return self._descend(x.value, targets, scale, (x.grad_buffer(), False) if dx is None else (dx, True),
                             self.draw(tape))

    def draw(self, tape: Tape) -> Array:
        """This step's words, ascending int64, from the tape's seed."""
        vocab_size = len(self.weight.value)
        u = np.random.default_rng([tape.seed, 2]).random(self.samples)
        drawn = np.exp(u * np.log(vocab_size + 1)).astype(np.int64) - 1
        return distinct(np.minimum(drawn, vocab_size - 1), vocab_size)

    def _descend(self, x: Array, targets: Array, scale: float, dx: tuple[Array, bool], words: Array) -> float:
        """The summed loss; column 0 of the logits is the target, the others are the words drawn."""
        count, width = x.shape
        aims = np.maximum(targets, 0).astype(np.int64)
        of_words, of_aims = (self.bias.value[ids] - self.log_chance[ids] for ids in (words, aims))
        offsets = np.concatenate([np.zeros(1, np.float32), of_words])
        drawn, aimed = empty((len(words), width)), empty((count, width))
        _core.gather(drawn, self.weight.value, words)
        _core.gather(aimed, self.weight.value, aims)
        place = np.minimum(np.searchsorted(words, aims), len(words) - 1)
        hit = words[place] == aims
        d_drawn, sums, d_own = empty(drawn.shape), np.zeros(1 + len(words), np.float32), np.empty(count, np.float32)
        losses = np.empty(count, np.float64)
        first = np.minimum(targets, 0)   # the column that is right: 0, or none
        for rows in blocks(count, 1 + len(words)):
            block = empty((rows.stop - rows.start, 1 + len(words)))
            product(block[:, 1:], x[rows], drawn.T)
            np.einsum("nd,nd->n", x[rows], aimed[rows], out=block[:, 0])
            _core.add_bias(block, offsets)
            block[:, 0] += of_aims[rows]
            block[np.flatnonzero(hit[rows]), 1 + place[rows][hit[rows]]] = -np.inf
            _core.softmax_cross_entropy(block, losses[rows], first[rows], scale)
            product(dx[0][rows], block[:, 1:], drawn, not dx[1])
            product(d_drawn, block[:, 1:].T, x[rows], rows.start > 0)
            _core.sum_rows(sums, block)
            d_own[rows] = block[:, 0]
        if count:
            self._add(words, d_drawn, sums[1:])
            self._add(aims, np.multiply(d_own[:, None], x, out=empty(x.shape)), d_own)
            aimed *= d_own[:, None]
            _core.add(dx[0], aimed)
        return float(losses.sum())

    def _add(self, rows: Array, gradients: Array, biases: Array) -> None:
        """Adds to the gradients of some rows of the weight and of the bias."""
        leaf: Variable = variable(self.weight)
        _core.scatter_add(leaf.grad_buffer_at(rows) if isinstance(leaf, Leaf) else leaf.grad_buffer(), gradients, rows)
        np.add.at(variable(self.bias).grad_buffer(), rows, biases)
