"""The GRU token by token, in buffers made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.stepper import OwnStepper

if TYPE_CHECKING:
    from fastlm.models.gru import GRU

Array = np.ndarray


class GRUStepper(OwnStepper):
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
