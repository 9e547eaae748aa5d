"""Networks that correct n-grams: a residual in the space of log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastlm import autodiff
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.tape import Parameter, Variable
from fastlm.heads import SampledSoftmax
from fastlm.models.base import PrefixModel
from fastlm.models.initial import zeros
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
_NAMES = ("correction", "correction_bias", "scale", "scale_bias")
_CORRECTED_WEIGHT = 0.9   # of the corrected distributions in the mixture until weights are estimated; an assumption


class Residual:
    """For each network the distribution softmax(sum over k of s_k(x) ln p_k + x U + c), s(x) = x S + d, where p_k,
    k = 1 ... K, are the count models of a mixture and x is the row that the network makes of the prefix.

    A network that corrects n-grams has to learn only what they miss, and which of them to trust in which context. U, S
    and c begin at zero and d at 1/K, so that training begins at the geometric mean of the n-grams. In training p_k must
    come from n-grams that have not counted the token (see `CrossFittedLoss`), since they predict the text that they
    counted far too well. Every row needs all V of every p_k, which suits characters. Networks whose head is a
    `SampledSoftmax`, as over large vocabularies, learn from the p_1 of drawn tokens alone: then K is 1, and U has a row
    for each token.

    Residuals of n-grams: Li et al. 2022, "N-gram is back"; products of models by weights that depend on the context:
    Mahoney 2005, "Adaptive weighing of context models for lossless data compression".

    ``count_models``: how many there are; ``corrected``: K, the first of them; ``networks``: the indices of the parts
    that correct them. Raises ValueError unless the parts are a KneserNey, other count models or none, and last the
    networks.
    """

    def __init__(self, parts: Sequence[PrefixModel], parameters: dict[str, Parameter],
                 parameter: Callable[[str, Array], Parameter]) -> None:
        """Register the parameters U, c, S and d of every network.

        parameter: registers an array under a name as trainable; parameters: where the mixture keeps them by name.
        """
        self.parameters = parameters
        self.networks = [index for index, part in enumerate(parts) if part.parameters]
        self.count_models = self.networks[0] if self.networks else len(parts)
        in_order = self.networks == list(range(self.count_models, len(parts)))
        if not parts or not self.networks or not in_order or not isinstance(parts[0], KneserNey) \
                or any(parts[index].head.width is None for index in self.networks):
            raise ValueError(f"parts are {', '.join(type(part).__name__ for part in parts)}; a KneserNey first and "
                             "networks last were expected")
        heads = [parts[index].head for index in self.networks]
        self.samples = min((head.samples for head in heads if isinstance(head, SampledSoftmax)), default=None)
        self.corrected = self.count_models if self.samples is None else 1
        self._sampled: dict[int, SampledSoftmax] = {}
        for index in self.networks:
            width, vocab_size = parts[index].row_width, parts[index].vocab_size
            shape = (width, vocab_size) if self.samples is None else (vocab_size, width)
            for name, value in zip(_NAMES, (zeros(shape), np.zeros(vocab_size), zeros((width, self.corrected)),
                                            np.full(self.corrected, 1 / self.corrected)), strict=True):
                parameter(f"{name}{index}", value)

    def first_weights(self) -> Array:
        """Return the weights (K + 2M,) of K count models, M networks and M corrected distributions before fitting."""
        parts = self.count_models + len(self.networks)
        return np.repeat([(1 - _CORRECTED_WEIGHT) / parts, _CORRECTED_WEIGHT / len(self.networks)],
                         [parts, len(self.networks)])

    def correction(self, rows: Any, index: int) -> tuple[Variable, Variable]:
        """Return x U + c, which a network adds to the logits (N, V), and the factors s of the log-probabilities (N, K).

        rows (N, D): those of part `index`.
        """
        parameters = self.parameters
        shift = autodiff.linear(rows, parameters[f"correction{index}"], parameters[f"correction_bias{index}"],
                                self.samples is not None)
        return shift, self.scale(rows, index)

    def scale(self, rows: Any, index: int) -> Variable:
        """Return the factors s of the log-probabilities (N, K)."""
        return autodiff.linear(rows, self.parameters[f"scale{index}"], self.parameters[f"scale_bias{index}"])

    def sampled(self, index: int) -> SampledSoftmax:
        """Return U and c of a network as a softmax that is trained on drawn tokens."""
        assert self.samples is not None
        weight, bias = self.parameters[f"correction{index}"], self.parameters[f"correction_bias{index}"]
        if index not in self._sampled or self._sampled[index].weight is not weight:
            self._sampled[index] = SampledSoftmax(weight, bias, self.samples)
        return self._sampled[index]

    def by_rows(self, name: str) -> bool:
        """Return whether the parameter of a name has a row for each token."""
        return self.samples is not None and name.startswith("correction") and not name.startswith("correction_bias")

    def logits(self, rows: Any, index: int, log_probabilities: Sequence[Array]) -> Array:
        """Return the corrected logits (N, V) of the network that is part `index`.

        rows (N, D): those of the network; log_probabilities: of the count models, an array (N, V) each, of which the
        first K count.
        """
        shift, scale = self.correction(rows, index)
        for k, log_p in enumerate(log_probabilities[: self.corrected]):
            shift.value += scale.value[:, k: k + 1] * log_p
        return shift.value

    def take_quantized(self, other: Residual) -> None:
        """Copy the parameters of another residual of the same shapes, with matrices rounded to int8."""
        for name, parameter in other.parameters.items():
            if len(parameter.shape) == 2:
                self.parameters[name] = Int8Parameter.of(parameter, self.by_rows(name))
            else:
                self.parameters[name].value[:] = parameter.value
