"""The LSTM token by token, in buffers made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.stepper import Stepper

if TYPE_CHECKING:
    from fastlm.models.lstm import LSTM

Array = np.ndarray


class LSTMStepper(Stepper):
    """A `Stepper` that allocates nothing large: one C call a layer reads every weight once.

    It refers to the weights where they lie, and owns the state, the input (S, width) and the gates (S, 4H).
    """

    def __init__(self, model: LSTM, state: State) -> None:
        super().__init__(model, state.copy())
        parameters = model.parameters
        self._ids = np.empty(len(state), np.int64)
        self._gates = np.empty((len(state), 4 * model.hidden), np.float32)
        self._embedding = model.embedding
        self._first = x = np.empty((len(state), model.embedding.shape[1]), np.float32)
        self._layers = []
        for layer in range(model.layers):
            hidden, cell = self._state[f"hidden{layer}"], self._state[f"cell{layer}"]
            weights = parameters[f"input{layer}"].matrix(), parameters[f"recurrent{layer}"].matrix()
            self._layers.append((hidden, cell, x, *weights, parameters[f"bias{layer}"].value))
            x = hidden
        self._last = x

    def read(self, ids: Array | int) -> Array:
        if type(ids) is int and 0 <= ids < self.model.vocab_size and len(self._ids) == 1:
            self._ids[0] = ids
        else:
            self._ids[:] = self.model.check_step(ids, len(self._ids))
        self._embedding.gather(self._first, self._ids)
        for hidden, cell, x, weight, recurrent, bias in self._layers:
            _core.lstm_step(hidden, cell, self._gates, x, weight, recurrent, bias)
        return self._last

    @property
    def state(self) -> State:
        return self._state.copy()

    def end(self) -> State:
        """The state itself, for a stepper that takes no more steps."""
        return self._state
