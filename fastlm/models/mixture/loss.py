"""The training loss of networks that correct n-grams, and the cross-fitted tables it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.tape import Variable
from fastlm.models.mixture.heads import mean_loss
from fastlm.models.mixture.mixture import Mixture

Array = np.ndarray
_STEPS_PER_NAT = 16.0   # of a log-probability in one byte: e^-15.9 is the smallest


class CrossFittedLoss:
    """The loss of a `Mixture` with a residual, for a text whose n-grams were cross-fitted.

    A share of the loss is the cross-entropy of the network's own distribution, which keeps its rows from relying on the
    n-grams alone; the rest is the cross-entropy of the corrected distribution. There the log-probabilities of the
    n-grams come from models that have not counted the stretch of the text that the token is in (`auto.cross_fit`).

    log_probabilities (K, N, V) uint8: those of K count models for the N tokens of the training text, see `to_bytes`.
    network_loss_share: above 0 and below 1; other values raise ValueError. folds, fitted_folds: into how many folds
    the text was cut and how many of them are used, which the replay record keeps.
    """

    name = "cross_entropy"

    def __init__(self, log_probabilities: Array, network_loss_share: float, folds: int = 0,
                 fitted_folds: int = 0) -> None:
        if not 0 < network_loss_share < 1:
            raise ValueError(f"network_loss_share = {network_loss_share}; a share of the loss between 0 and 1 was "
                             "expected")
        self.log_probabilities, self.network_loss_share = log_probabilities, network_loss_share
        self.folds, self.fitted_folds = folds, fitted_folds

    def record(self) -> dict[str, Any]:
        """Return the options of the loss for the replay record (`Plan`)."""
        return {"folds": self.folds, "fitted_folds": self.fitted_folds, "network_loss_share": self.network_loss_share}

    def check(self, model: Any) -> None:
        """Raise ValueError unless the model is a mixture with a residual, of the vocabulary and count models given."""
        if not isinstance(model, Mixture) or model.residual is None:
            raise ValueError(f"a CrossFittedLoss trains a Mixture with a residual, not {model!r}")
        count_models, shape = model.residual.count_models, self.log_probabilities.shape
        if (shape[0], shape[2]) != (count_models, model.vocab_size):
            raise ValueError(f"log_probabilities have shape {shape}; {count_models} count models of {model.vocab_size} "
                             "ids were expected")

    def __call__(self, model: Mixture, rows: Any, shard: Any, scale: float) -> float:
        """Return the summed loss of a shard and add `scale` times its gradients to those of the rows and parameters.

        rows: what `model.forward` gave for the shard's tokens, one array or Variable for each part.
        """
        def loss_of(index: int, part_scale: float) -> float:
            assert model.residual is not None
            share = self.network_loss_share
            logits = add_coded(*model.residual.correction(rows.parts[index], index), self.log_probabilities,
                               shard.positions)
            return share * model.parts[index].head.loss(rows.parts[index], shard.targets, share * part_scale) \
                + (1 - share) * autodiff.cross_entropy(logits, shard.targets, (1 - share) * part_scale)
        return mean_loss(model.parts, loss_of, scale)


def add_coded(shift: Variable, scale: Variable, table: Array, positions: Array) -> Variable:
    """Return shift + sum over k of scale[:, k] ln p_k, in the buffer of shift, which is consumed.

    shift (N, V), scale (N, K); ln p_k (N, V) lie as bytes in table (K, T, V) uint8 at positions (N,), see `to_bytes`.
    """
    positions = np.ascontiguousarray(positions, np.int64)
    _core.add_bytes(shift.value, scale.value, table, positions, -1 / _STEPS_PER_NAT)
    out = Variable(shift.value, may_overwrite=True)

    def back(gradient: Array) -> None:
        _core.add_bytes_back(scale.grad_buffer(), gradient, table, positions, -1 / _STEPS_PER_NAT)
        shift.accept_grad(gradient)
    return autodiff.record(out, back)


def to_bytes(log_probabilities: Array) -> Array:
    """Return log-probabilities as uint8, rounded to a sixteenth of a nat; smaller ones than -15.9 become -15.9."""
    return np.rint(np.minimum(log_probabilities * -_STEPS_PER_NAT, 255)).astype(np.uint8)
