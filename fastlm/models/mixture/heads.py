"""The head of a mixture: from the rows of its parts to the mixed distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, active, empty
from fastlm.batch import Rows
from fastlm.heads import Head
from fastlm.models.base import PrefixModel
from fastlm.models.mixture import gate
from fastlm.models.mixture.residual import Residual
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray


class MixtureHead(Head):
    """Reads `Rows` of one array a part, hands each to the head of its part, and mixes what comes back.

    parts: models; residual: networks that correct the count models among them, or None. ``weights`` (K,) float64 of the
    K distributions mixed, positive and of sum 1; ``gate`` (6, K): how they depend on the context, see `gate`.
    """

    losses = ("cross_entropy",)

    def __init__(self, parts: Sequence[PrefixModel], residual: Residual | None) -> None:
        self.parts, self.residual = parts, residual
        self.weights = np.full(len(parts), 1 / len(parts)) if residual is None else residual.first_weights()
        self.gate = np.zeros((gate.FEATURES, len(self.weights)))

    def features(self, rows: Rows) -> Array | None:
        """Return the gate's features of each context (N, 6), or None where the first part is not a KneserNey."""
        first = self.parts[0]
        return gate.features(first, rows.parts[0]) if isinstance(first, KneserNey) else None

    def log_weights(self, rows: Rows) -> Array:
        """Return the logarithms of the weights (N, K), or (1, K) where they do not depend on the context."""
        features = self.features(rows) if self.gate.any() else None
        return np.log(self.weights)[None] if features is None else gate.log_weights(self.weights, self.gate, features)

    def each(self, rows: Rows) -> Iterator[Array]:
        """Yield the log-probabilities (N, V) float32 of every distribution mixed."""
        corrected = 0 if self.residual is None else self.residual.corrected
        kept = []
        for index, (part, part_rows) in enumerate(zip(self.parts, rows.parts, strict=True)):
            out = empty((len(part_rows), part.vocab_size))
            part.head.write(out, part_rows)
            _core.log_softmax(out, out)
            if index < corrected:
                kept.append(out.copy())   # the caller may write over the array that it is given
            yield out
        for index in [] if self.residual is None else self.residual.networks:
            assert self.residual is not None
            out = self.residual.logits(rows.parts[index], index, kept)
            _core.log_softmax(out, out)
            yield out

    def nll_by_part(self, rows: Rows, targets: Array) -> list[Array]:
        """Return -log p (N,) float64 of the targets (N,) int32 by every distribution mixed; 0 where a target is -1."""
        nll = [part.head.nats(part_rows, targets) for part, part_rows in zip(self.parts, rows.parts, strict=True)]
        if self.residual is None:
            return nll
        counted = range(self.residual.corrected)
        log_probabilities = [self.parts[k].head.logits(rows.parts[k]).value for k in counted]
        for index in self.residual.networks:
            nll.append(np.empty(len(targets), np.float64))
            _core.cross_entropy(nll[-1], self.residual.logits(rows.parts[index], index, log_probabilities), targets)
        return nll

    def logits(self, x: Any) -> Variable:
        rows = x.value
        weights = self.log_weights(rows).astype(np.float32)
        mixed: Array | None = None
        for index, log_p in enumerate(self.each(rows)):
            log_p += weights[:, index: index + 1]
            mixed = log_p if mixed is None else np.logaddexp(mixed, log_p, out=mixed)
        assert mixed is not None
        return Variable(mixed)

    def nats(self, x: Any, targets: Array) -> Array:
        rows = x.value
        weighted = self.log_weights(rows).T - np.array(self.nll_by_part(rows, targets))
        return np.where(targets < 0, 0.0, -np.logaddexp.reduce(weighted, axis=0))

    def rows_together(self, vocab_size: int) -> int:
        together = min(part.rows_together() for part in self.parts)
        # Correcting takes all logits of a row, also of networks whose own output layer needs but some of them.
        return together if self.residual is None else min(together, super().rows_together(vocab_size))

    def check_loss(self, kind: str) -> str:
        if not any(part.parameters for part in self.parts):
            raise ValueError("a Mixture of count models is not trained; fit its parts, then estimate its weights")
        if self.residual is not None:
            raise ValueError(f"loss = {kind!r}; networks that correct n-grams are trained by a CrossFittedLoss")
        return super().check_loss(kind)

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        """Return the mean loss of the networks; on a recording tape add `scale` times its gradients to theirs."""
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum())
        self.check_loss(kind)
        return mean_loss(self.parts, lambda index, share: self.parts[index].head.loss(x.parts[index], targets, share),
                         scale)


def mean_loss(parts: Sequence[PrefixModel], loss_of: Callable[[int, float], float], scale: float) -> float:
    """Return the mean loss of the networks among the parts.

    loss_of(index, scale): returns the loss of the part `index` and adds its gradients, times that scale. The gradients
    of M networks are divided by the root of M: their norm together is then that of one network, so a limit of the norm
    means the same for any number of networks.
    """
    networks = [index for index, part in enumerate(parts) if part.parameters]
    share = scale / len(networks) ** 0.5
    return sum(loss_of(index, share) for index in networks) / len(networks)
