"""The training loss of networks that correct n-grams, and the cross-fitted tables it needs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.tape import Variable, active, empty
from fastlm.heads import SampledSoftmax
from fastlm.models.mixture.folded import FoldedNGrams
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
        check_share(network_loss_share)
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


class SampledCrossFittedLoss:
    """The loss of a `CrossFittedLoss` for a large vocabulary: both cross-entropies are against the words that the
    networks' `SampledSoftmax` draws in a step, and the n-grams are asked for the probabilities of these alone.

    folded: the n-grams of each fold. network_loss_share: above 0 and below 1; other values raise ValueError. folds,
    fitted_folds: into how many folds the text was cut and how many of them are used, which the replay record keeps.
    """

    name = "cross_entropy"

    def __init__(self, folded: FoldedNGrams, network_loss_share: float, folds: int = 0, fitted_folds: int = 0) -> None:
        check_share(network_loss_share)
        self.folded, self.network_loss_share = folded, network_loss_share
        self.folds, self.fitted_folds = folds, fitted_folds

    def record(self) -> dict[str, Any]:
        """Return the options of the loss for the replay record (`Plan`)."""
        return {"folds": self.folds, "fitted_folds": self.fitted_folds, "network_loss_share": self.network_loss_share}

    def check(self, model: Any) -> None:
        """Raise ValueError unless the model is a mixture whose residual learns from drawn words."""
        if not isinstance(model, Mixture) or model.residual is None or model.residual.samples is None:
            raise ValueError(f"a SampledCrossFittedLoss trains a Mixture with a residual of sampled softmaxes, not "
                             f"{model!r}")
        if model.residual.corrected != self.folded.count_models:
            raise ValueError(f"the folds have {self.folded.count_models} count models; {model.residual.corrected} were "
                             "expected")

    def __call__(self, model: Mixture, rows: Any, shard: Any, scale: float) -> float:
        """Return the summed loss of a shard and add `scale` times its gradients, as `CrossFittedLoss` does."""
        tape, residual = active(), model.residual
        assert tape is not None and residual is not None
        words = residual.sampled(residual.networks[0]).draw(tape)
        log_p = self.folded.log_probabilities(shard.positions, words, shard.targets)

        def loss_of(index: int, part_scale: float) -> float:
            share, part_rows = self.network_loss_share, rows.parts[index]
            head = cast(SampledSoftmax, model.parts[index].head)
            own = head.loss_of_drawn(part_rows, shard.targets, share * part_scale, words)
            factors = residual.scale(part_rows, index)
            added = np.multiply(factors.value[:, :1], log_p[0], out=empty(log_p.shape[1:]))
            for k in range(1, len(log_p)):
                added += factors.value[:, k: k + 1] * log_p[k]

            def back(of_rows: slice, gradient: Array) -> None:
                for k, of_model in enumerate(log_p):
                    factors.grad_buffer()[of_rows, k] += np.einsum("nw,nw->n", gradient, of_model[of_rows])
            corrected = residual.sampled(index).loss_of_drawn(part_rows, shard.targets, (1 - share) * part_scale, words,
                                                              added, back)
            return share * own + (1 - share) * corrected
        return mean_loss(model.parts, loss_of, scale)


def check_share(network_loss_share: float) -> None:
    """Raise ValueError for a share of the loss that is not between 0 and 1."""
    if not 0 < network_loss_share < 1:
        raise ValueError(f"network_loss_share = {network_loss_share}; a share of the loss between 0 and 1 was expected")


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
