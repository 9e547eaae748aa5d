"""n-grams, and networks that correct them, mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.tape import Parameter, Variable
from fastlm.batch import Batch
from fastlm.models.base import PrefixModel
from fastlm.models.initial import zeros
from fastlm.models.mixture.ensemble import Ensemble, Trained
from fastlm.models.mixture.mixture import Joined, Mixed, Mixture
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
_STEPS = 16.0   # in a nat


class Corrected(Ensemble):
    """A Mixture of n-grams p_k, k = 1 ... K, and for every network of softmax(x W + b) and
    softmax(sum over k of s_k(x) ln p_k + x U + c), s(x) = x S + d, x being what it makes of the prefix.

    `parts`: a KneserNey, other n-grams, and last the networks. What corrects the n-grams has only to learn what they
    miss, and where to believe which of them; that a share `own` of the loss is of the network's own prediction, W and
    b, keeps x from resting on them. In training p_k must be what the n-grams say where they have not counted the token:
    on the text that they counted, they are far too sure of themselves. ``left_out`` holds it for all of the text
    trained on: see `training.left_out.leave_out`, whose arguments `folds` and `done` are kept here. U, S and c begin at
    zero and d at 1/K, the n-grams' geometric mean; until `fit` what is corrected has nine tenths of the weight. For
    vocabularies of characters: every row needs all V of every p_k. Residuals of n-grams: Li et al. 2022, "N-gram is
    back"; products of models by weights that depend on the context: Mahoney 2005, "Adaptive weighing of context
    models for lossless data compression".

    >>> from fastlm.models import KneserNey, LSTM
    >>> Corrected(5, [KneserNey(5, order=2), LSTM(5, hidden=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]], folds: int = 0,
                 done: int = 0, own: float = 0.5) -> None:
        if not 0 < own < 1:
            raise ValueError(f"own = {own}; a share of the loss between 0 and 1 was expected")
        super().__init__(vocab_size, parts, **({"folds": folds, "done": done} if folds else {}), own=own)
        first = self.networks[0]
        if not isinstance(self.parts[0], KneserNey) or self.networks != list(range(first, len(self.parts))) \
                or any(isinstance(self.parts[index], Mixture) for index in self.networks):
            raise ValueError(f"parts are {self.kinds()}; a KneserNey first and networks last were expected")
        self.folds, self.done, self.own, self.ngrams = folds, done, own, first
        self.left_out: Array | None = None   # (K, N, V) uint8, see `coded`
        self.weights = np.repeat([0.1 / len(self.parts), 0.9 / len(self.networks)],
                                 [len(self.parts), len(self.networks)])
        one = Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1)
        for index in self.networks:
            width = self.parts[index].read(one)[0].value.shape[1]
            self.parameter(f"correction{index}", zeros((width, vocab_size)))
            self.parameter(f"correction_bias{index}", np.zeros(vocab_size))
            self.parameter(f"scale{index}", zeros((width, first)))
            self.parameter(f"scale_bias{index}", np.full(first, 1 / first))

    def mixed(self) -> Mixed:
        return _Corrected(self)

    def labels(self) -> list[str]:
        return super().labels() + [f"n-grams corrected by the {type(self.parts[index]).__name__}"
                                   for index in self.networks]

    # keeping ------------------------------------------------------------------------------------------------------

    def added(self) -> dict[str, Parameter]:
        """The parameters that are no network's."""
        names = [f"{name}{index}" for index in self.networks
                 for name in ("correction", "correction_bias", "scale", "scale_bias")]
        return {name: self.parameters[name] for name in names if name in self.parameters}

    def gather(self) -> None:
        added = self.added()
        super().gather()
        self.parameters |= added

    def quantized(self) -> Mixture:
        out = super().quantized()
        for name, parameter in self.added().items():
            if len(parameter.shape) == 2:
                out.parameters[name] = Int8Parameter.of(parameter, False)
            else:
                out.parameters[name].value[:] = parameter.value
        return out

    def tensors(self) -> dict[str, Array]:
        return super().tensors() | {name + ending: array for name, parameter in self.added().items()
                                    for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        own = {name for name in tensors if name.removesuffix("/scale") in self.added()}
        super().restore({name: tensor for name, tensor in tensors.items() if name not in own})
        for name, parameter in self.added().items():
            found = tensors.get(name)
            if found is None or found.shape != parameter.shape:
                raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape "
                                 f"{parameter.shape} was expected")
            if found.dtype == np.int8 and len(parameter.shape) == 2 and f"{name}/scale" in own:
                self.parameters[name] = Int8Parameter(name, found, tensors[f"{name}/scale"], False)
            elif found.dtype == np.float32:
                parameter.value[...] = found
            else:
                raise ValueError(f"parameter {name} is {found.dtype}; float32, or int8 with a scale, was expected")


class _Corrected(Trained):
    def __init__(self, model: Corrected) -> None:
        super().__init__(model)
        self.corrected, self.mixed = model, len(model.parts) + len(model.networks)

    def _corrected(self, x: Any, index: int, logs: Sequence[Array]) -> Variable:
        """The logits (N, V) of n-grams of log-probabilities `logs`, as a network corrects them."""
        shift, scale = self._correction(x, index)
        for k, own in enumerate(logs):
            shift.value += scale.value[:, k: k + 1] * own
        return shift

    def _correction(self, x: Any, index: int) -> tuple[Variable, Variable]:
        """What a network adds to the logits (N, V), and by what it scales the logs (N, K)."""
        own = self.corrected.parameters
        shift, scale = (autodiff.linear(x, own[f"{name}{index}"], own[f"{name}_bias{index}"])
                        for name in ("correction", "scale"))
        return shift, scale

    def loss_of(self, x: Joined, index: int, targets: Array, scale: float) -> float:
        model = self.corrected
        if model.left_out is None or x.places is None:
            raise ValueError("left_out is None; what `leave_out` gives for the text to train on was expected")
        logits = coded_sum(*self._correction(x.rows[index], index), model.left_out, x.places)
        return model.own * super().loss_of(x, index, targets, model.own * scale) \
            + (1 - model.own) * autodiff.cross_entropy(logits, targets, (1 - model.own) * scale)

    def each(self, rows: list[Array]) -> Iterator[Array]:
        logs = []
        for index, own in enumerate(super().each(rows)):
            if index < self.corrected.ngrams:
                logs.append(own.copy())
            yield own
        for index in self.corrected.networks:
            out = self._corrected(rows[index], index, logs).value
            _core.log_softmax(out, out)
            yield out

    def each_nats(self, rows: list[Array], targets: Array) -> list[Array]:
        model, nats = self.corrected, super().each_nats(rows, targets)
        logs = [part.predictor.logits(own).value
                for part, own in zip(model.parts[:model.ngrams], rows, strict=False)]
        for index in model.networks:
            nats.append(np.empty(len(targets), np.float64))
            _core.cross_entropy(nats[-1], self._corrected(rows[index], index, logs).value, targets)
        return nats


def coded_sum(shift: Variable, scale: Variable, codes: Array, places: Array) -> Variable:
    """shift + sum over k of scale[:, k] logs_k, in the buffer of shift. shift (N, V), scale (N, K); logs_k (N, V) are
    `coded` in codes (K, T, V) at places (N,)."""
    places = np.ascontiguousarray(places, np.int64)
    _core.add_bytes(shift.value, scale.value, codes, places, -1 / _STEPS)
    out = Variable(shift.value, disposable=True)

    def back(gradient: Array) -> None:
        _core.add_bytes_back(scale.added(), gradient, codes, places, -1 / _STEPS)
        shift.take(gradient)
    return autodiff.record(out, back)


def coded(logs: Array) -> Array:
    """Log-probabilities in one byte each, to a sixteenth of a nat; what is less than e^-15.9 becomes that."""
    return np.rint(np.minimum(logs * -_STEPS, 255)).astype(np.uint8)
