"""n-grams, networks, and the n-grams as the same networks correct them, mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.batch import Batch
from fastlm.int8 import Int8Parameter
from fastlm.models.ensemble import Ensemble, Trained
from fastlm.models.kneser_ney import KneserNey
from fastlm.models.mixture import Joined, Mixed, Mixture
from fastlm.models.prefix import PrefixModel
from fastlm.tape import Parameter, Variable

Array = np.ndarray


class Corrected(Ensemble):
    """A Mixture of p_n, softmax(x W + b) and softmax(ln p_n + x U + c), x being what a network makes of the prefix.

    `parts`: a KneserNey, other n-grams, and last the networks. W and U read the same x and are trained at once, half of
    the loss each, p_n being what the n-grams would say had they not counted the token: on the text that they counted,
    they are far too sure of themselves. Without `folds` p_n is the KneserNey's alone, and `KneserNey.left_out` knows
    it; otherwise all n-grams', mixed by the weights ``base``, and ``left_out`` must hold it for the text trained on:
    `training.left_out.leave_out` finds both. U and c begin at zero, so what is corrected begins as the n-grams. For
    vocabularies of characters: every row needs all V of p_n. Residuals of n-grams: Li et al. 2022, "N-gram is back".

    >>> from fastlm.models import KneserNey, LSTM
    >>> Corrected(5, [KneserNey(5, order=2), LSTM(5, hidden=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]], folds: int = 0) -> None:
        super().__init__(vocab_size, parts, **({"folds": folds} if folds else {}))
        first = self.networks[0]
        if not isinstance(self.parts[0], KneserNey) or self.networks != list(range(first, len(self.parts))) \
                or any(isinstance(self.parts[index], Mixture) for index in self.networks):
            raise ValueError(f"parts are {self.kinds()}; a KneserNey first and networks last were expected")
        self.folds = folds
        self.left_out: Array | None = None   # ln p_n (N, V) float16 of every token of the text
        self.base = np.eye(1, first)[0]      # (n-grams,) float64
        one = Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1)
        for index in self.networks:
            width = self.parts[index].read(one)[0].value.shape[1]
            self.parameter(f"correction{index}", np.zeros((width, vocab_size)))
            self.parameter(f"correction_bias{index}", np.zeros(vocab_size))

    def mixed(self) -> Mixed:
        return _Corrected(self)

    def trained_on(self) -> list[int]:
        return self.networks if self.folds else [0, *self.networks]

    # keeping ------------------------------------------------------------------------------------------------------

    def own(self) -> dict[str, Parameter]:
        """The parameters that are no network's."""
        return {name: parameter for name, parameter in self.parameters.items() if name.startswith("correction")}

    def gather(self) -> None:
        own = self.own()
        super().gather()
        self.parameters |= own

    def quantized(self) -> Mixture:
        out = super().quantized()
        assert isinstance(out, Corrected)
        out.base = self.base.copy()
        for name, parameter in self.own().items():
            if len(parameter.shape) == 2:
                out.parameters[name] = Int8Parameter.of(parameter, False)
            else:
                out.parameters[name].value[:] = parameter.value
        return out

    def tensors(self) -> dict[str, Array]:
        return super().tensors() | {"base": self.base} | {
            name + ending: array for name, parameter in self.own().items()
            for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        base, own = tensors.get("base"), {name for name in tensors if name.startswith("correction")}
        if base is None or base.dtype != np.float64 or base.shape != self.base.shape or not (base >= 0).all() \
                or abs(base.sum() - 1) > 1e-9:
            raise ValueError(f"its base is {base}; {len(self.base)} numbers of sum 1 were expected")
        super().restore({name: tensor for name, tensor in tensors.items() if name not in own | {"base"}})
        self.base = base.copy()
        for name, parameter in self.own().items():
            found = tensors.get(name)
            if found is None or found.shape != parameter.shape:
                raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape "
                                 f"{parameter.shape} was expected")
            if found.dtype == np.int8 and len(parameter.shape) == 2 and f"{name}/scale" in own:
                self.parameters[name] = Int8Parameter(name, found, tensors[f"{name}/scale"], False)
            elif found.dtype == np.float32:
                parameter.value[:] = found
            else:
                raise ValueError(f"parameter {name} is {found.dtype}; float32, or int8 with a scale, was expected")


class _Corrected(Trained):
    def __init__(self, model: Corrected) -> None:
        super().__init__(model)
        self.corrected, self.mixed = model, len(model.parts) + len(model.networks)

    def _shift(self, x: Any, index: int) -> Variable:
        own = self.corrected.parameters
        return autodiff.linear(x, own[f"correction{index}"], own[f"correction_bias{index}"])

    def loss_of(self, x: Joined, index: int, targets: Array, scale: float) -> float:
        model, third = self.corrected, self._shift(x.rows[index], index)
        if not model.folds:
            counts = model.parts[0]
            assert isinstance(counts, KneserNey)
            _core.add(third.value, counts.left_out(x.rows[0].value, targets, logits=True)[1])   # type: ignore[arg-type]
        elif model.left_out is None or x.places is None:
            raise ValueError("left_out is None; what `leave_out` gives for the text to train on was expected")
        else:
            third.value += model.left_out[x.places]
        return 0.5 * (super().loss_of(x, index, targets, scale / 2)
                      + autodiff.cross_entropy(third, targets, scale / 2))

    def each(self, rows: list[Array]) -> Iterator[Array]:
        based = []
        for index, own in enumerate(super().each(rows)):
            if index < len(self.corrected.base) and self.corrected.base[index]:
                based.append(own.copy())
            yield own
        base = self._base(based)
        for index in self.corrected.networks:
            third = self._shift(rows[index], index).value
            _core.add(third, base)
            _core.log_softmax(third, third)
            yield third

    def each_nats(self, rows: list[Array], targets: Array) -> list[Array]:
        model = self.corrected
        base = self._base([part.predictor.logits(own).value for part, own, weight
                           in zip(model.parts, rows, model.base, strict=False) if weight])
        nats = super().each_nats(rows, targets)
        for index in model.networks:
            third = self._shift(rows[index], index).value
            _core.add(third, base)
            nats.append(np.empty(len(targets), np.float64))
            _core.cross_entropy(nats[-1], third, targets)
        return nats

    def _base(self, each: list[Array]) -> Array:
        """ln p_n (N, V) float32 from the log-probabilities of the n-grams that make it."""
        return log_mixture(each, self.corrected.base[self.corrected.base > 0])


def log_mixture(each: list[Array], weights: Array) -> Array:
    """ln of the sum over k of weights_k exp(each_k), each (N, V) float32: in the first of them."""
    out = each[0]
    out += np.float32(np.log(weights[0]))
    for own, weight in zip(each[1:], weights[1:], strict=True):
        own += np.float32(np.log(weight))
        np.logaddexp(out, own, out=out)
    return out
