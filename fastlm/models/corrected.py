"""n-grams, a network, and the n-grams as the same network corrects them, mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.batch import Batch
from fastlm.int8 import Int8Parameter
from fastlm.models.kneser_ney import KneserNey
from fastlm.models.mixture import Mixed, Mixture
from fastlm.models.prefix import PrefixModel
from fastlm.tape import Parameter, Variable, active

Array = np.ndarray
_OWN = ("correction", "correction_bias")


class Corrected(Mixture):
    """A Mixture of p_n, softmax(x W + b) and softmax(ln p_n + x U + c), x being what a network makes of the prefix.

    `parts`: a KneserNey, which gives p_n, others that are only mixed in, and last the network, whose own predictor is
    the second. W and U read the same x and are trained at once, half of the loss each, p_n being what
    `KneserNey.left_out` gives: on the text that it counted, the plain one is far too sure of itself. U and c begin at
    zero, so the third begins as the n-grams. For vocabularies of characters: every row needs all V of p_n. Residuals of
    n-grams: Li et al. 2022, "N-gram is back".

    >>> from fastlm.models import KneserNey, LSTM
    >>> Corrected(5, [KneserNey(5, order=2), LSTM(5, hidden=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]]) -> None:
        super().__init__(vocab_size, parts)
        kinds = [type(part).__name__ for part in self.parts]
        if len(kinds) < 2 or not isinstance(self.counts, KneserNey) or not self.network.parameters \
                or isinstance(self.network, Mixture):
            raise ValueError(f"parts are {', '.join(kinds)}; a KneserNey first and a network last were expected")
        width = self.network.read(Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1))[0].value.shape[1]
        self.parameters |= self.network.parameters
        self.correction = self.parameter("correction", np.zeros((width, vocab_size)))
        self.correction_bias = self.parameter("correction_bias", np.zeros(vocab_size))

    @property
    def counts(self) -> PrefixModel:
        """The n-grams."""
        return self.parts[0]

    @property
    def network(self) -> PrefixModel:
        """What x is read from."""
        return self.parts[-1]

    def mixed(self) -> Mixed:
        return _Corrected(self)

    def initialise(self, frequencies: Array) -> None:
        self.network.initialise(frequencies)

    def quantized(self) -> Mixture:
        out = super().quantized()
        assert isinstance(out, Corrected)
        out._use("correction", Int8Parameter.of(self.correction, False))
        out.correction_bias.value[:] = self.correction_bias.value
        return out

    def _use(self, name: str, parameter: Parameter) -> None:
        setattr(self, name, parameter)
        self.parameters[name] = parameter

    def tensors(self) -> dict[str, Array]:
        return super().tensors() | {name + ending: array for name in _OWN
                                    for ending, array in self.parameters[name].tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        own = {name for name in tensors if name.partition("/")[0] in _OWN}
        super().restore({name: tensor for name, tensor in tensors.items() if name not in own})
        self.parameters = self.network.parameters | {name: self.parameters[name] for name in _OWN}
        for name in _OWN:
            found, shape = tensors.get(name), self.parameters[name].shape
            if found is None or found.shape != shape:
                raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape {shape} "
                                 "was expected")
            if found.dtype == np.int8 and len(shape) == 2 and f"{name}/scale" in own:
                self._use(name, Int8Parameter(name, found, tensors[f"{name}/scale"], False))
            elif found.dtype == np.float32:
                self.parameters[name].value[:] = found
            else:
                raise ValueError(f"parameter {name} is {found.dtype}; float32, or int8 with a scale, was expected")


class _Corrected(Mixed):
    losses = ("cross_entropy",)

    def __init__(self, model: Corrected) -> None:
        super().__init__(model)
        self.corrected, self.mixed = model, len(model.parts) + 1

    def check_loss(self, kind: str) -> str:
        return super(Mixed, self).check_loss(kind)

    def _shift(self, x: Any) -> Variable:
        return autodiff.linear(x, self.corrected.correction, self.corrected.correction_bias)

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        self.check_loss(kind)
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum())
        nodes, read = x.rows[0], x.rows[-1]
        counts = self.corrected.counts
        assert isinstance(counts, KneserNey)
        left_out = counts.left_out(nodes.value, targets, logits=True)[1]
        third = self._shift(read)
        _core.add(third.value, left_out)   # type: ignore[arg-type]
        return 0.5 * (self.corrected.network.predictor.loss(read, targets, scale / 2)
                      + autodiff.cross_entropy(third, targets, scale / 2))

    def each(self, rows: list[Array]) -> Iterator[Array]:
        third = self._shift(rows[-1]).value
        for index, own in enumerate(super().each(rows)):
            if index == 0:
                _core.add(third, own)
            yield own
        _core.log_softmax(third, third)
        yield third

    def each_nats(self, rows: list[Array], targets: Array) -> list[Array]:
        third = self.corrected.counts.predictor.logits(rows[0]).value
        third += self._shift(rows[-1]).value
        out = np.empty(len(targets), np.float64)
        _core.cross_entropy(out, third, targets)
        return [*super().each_nats(rows, targets), out]
