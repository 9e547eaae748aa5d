"""The GRU language model, of one or more layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff import Variable, sequence
from fastlm.batch import Batch, State
from fastlm.models.recurrent import Recurrent, RecurrentStepper

Array = np.ndarray


class GRU(Recurrent):
    """Embedding -> `layers` layers of gated recurrent units -> softmax. Cho et al. 2014.

    Three quarters of an LSTM's weights and work for the same `hidden`. `width`, `tied` and `ngrams` as in `LSTM`.
    Gates lie in PyTorch's order r, z, n, and the reset gate is taken after the product, as there; weights are its
    transposed.

    >>> GRU(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    GATES: ClassVar[int] = 3
    STATE: ClassVar[tuple[str, ...]] = ("hidden",)

    def add(self, layer: int) -> None:
        self.parameter(f"recurrent_bias{layer}", np.zeros(self.hidden, np.float32))

    def along(self, layer: int, x: Variable, batch: Batch, state: State, rows: Array | None) -> tuple[Any, ...]:
        weight, bias, recurrent, recurrent_bias = (
            self.parameters[f"{name}{layer}"] for name in ("input", "bias", "recurrent", "recurrent_bias"))
        return sequence.gru(x, weight, bias, recurrent, recurrent_bias, batch, state[f"hidden{layer}"], rows)

    def own_stepper(self, state: State) -> RecurrentStepper:
        return GRUStepper(self, state)


class GRUStepper(RecurrentStepper):
    """A `Stepper` that allocates nothing large, as `LSTMStepper`.

    It refers to the weights where they lie, and owns the state, the input (S, width) and the gates, twice (S, 3H).
    """

    def __init__(self, model: GRU, state: State) -> None:
        super().__init__(model, state)
        parameters = model.parameters
        self._gates = np.empty((len(state), 3 * model.hidden), np.float32)
        self._kept = np.empty_like(self._gates)
        self._layers, x = [], self._first
        for layer in range(model.layers):
            hidden = self._state[f"hidden{layer}"]
            weights = parameters[f"input{layer}"].matrix(), parameters[f"recurrent{layer}"].matrix()
            biases = parameters[f"bias{layer}"].value, parameters[f"recurrent_bias{layer}"].value
            self._layers.append((hidden, x, *weights, *biases))
            x = hidden
        self._last = x

    def _along(self) -> Array:
        for hidden, x, weight, recurrent, bias, recurrent_bias in self._layers:
            _core.gru_step(hidden, self._gates, self._kept, x, weight, recurrent, bias, recurrent_bias)
        return self._last
