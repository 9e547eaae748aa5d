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

    A share of it is the cross-entropy of the network's own distribution, which keeps its rows from resting on the
    n-grams; the rest is that of the corrected one, in which the n-grams say what they would if they had not counted the
    stretch of the text that the token is in (`auto.cross_fit`).

    log_probabilities (K, N, V) uint8: of the N tokens trained on by K count models, see `to_bytes`;
    network_loss_share: between 0 and 1; folds, fitted_folds: how the text was cut, for whoever repeats the run. Raises
    ValueError for another share.
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
        """Return what `Plan` holds of it."""
        return {"folds": self.folds, "fitted_folds": self.fitted_folds, "network_loss_share": self.network_loss_share}

    def check(self, model: Any) -> None:
        """Raise ValueError where the model is none that this loss trains."""
        if not isinstance(model, Mixture) or model.residual is None:
            raise ValueError(f"a CrossFittedLoss trains a Mixture with a residual, not {model!r}")
        wanted = (model.residual.count_models, model.vocab_size)
        found = self.log_probabilities.shape
        if (found[0], found[2]) != wanted:
            raise ValueError(f"log_probabilities have shape {found}; {wanted[0]} count models of {wanted[1]} ids were "
                             "expected")

    def __call__(self, model: Mixture, rows: Any, shard: Any, scale: float) -> float:
        """Return the summed loss of a shard, `scale` times its gradients being added; rows: what the model made of it.
        """
        def loss_of(index: int, part_scale: float) -> float:
            assert model.residual is not None
            own = self.network_loss_share
            logits = add_coded(*model.residual.correction(rows.parts[index], index), self.log_probabilities,
                               shard.positions)
            return own * model.parts[index].head.loss(rows.parts[index], shard.targets, own * part_scale) \
                + (1 - own) * autodiff.cross_entropy(logits, shard.targets, (1 - own) * part_scale)
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
    """Return log-probabilities in one byte each, to a sixteenth of a nat; what is less than e^-15.9 becomes that."""
    return np.rint(np.minimum(log_probabilities * -_STEPS_PER_NAT, 255)).astype(np.uint8)
