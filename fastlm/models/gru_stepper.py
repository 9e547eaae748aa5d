"""The GRU token by token, in buffers made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.stepper import Stepper

if TYPE_CHECKING:
    from fastlm.models.gru import GRU

Array = np.ndarray


class GRUStepper(Stepper):
    """A `Stepper` that allocates nothing large, as `LSTMStepper`.

    It refers to the weights where they lie, and owns the state, the input (S, width) and the gates, twice (S, 3H).
    """

    def __init__(self, model: GRU, state: State) -> None:
        super().__init__(model, state.copy())
        parameters = model.parameters
        self._ids = np.empty(len(state), np.int64)
        self._gates = np.empty((len(state), 3 * model.hidden), np.float32)
        self._kept = np.empty_like(self._gates)
        self._embedding = model.embedding
        self._first = x = np.empty((len(state), model.embedding.shape[1]), np.float32)
        self._layers = []
        for layer in range(model.layers):
            hidden = self._state[f"hidden{layer}"]
            weights = parameters[f"input{layer}"].matrix(), parameters[f"recurrent{layer}"].matrix()
            biases = parameters[f"bias{layer}"].value, parameters[f"recurrent_bias{layer}"].value
            self._layers.append((hidden, x, *weights, *biases))
            x = hidden
        self._last = x

    def read(self, ids: Array | int) -> Array:
        if type(ids) is int and 0 <= ids < self.model.vocab_size and len(self._ids) == 1:
            self._ids[0] = ids
        else:
            self._ids[:] = self.model.check_step(ids, len(self._ids))
        self._embedding.gather(self._first, self._ids)
        for hidden, x, weight, recurrent, bias, recurrent_bias in self._layers:
            _core.gru_step(hidden, self._gates, self._kept, x, weight, recurrent, bias, recurrent_bias)
        return self._last

    @property
    def state(self) -> State:
        return self._state.copy()

    def end(self) -> State:
        """The state itself, for a stepper that takes no more steps."""
        return self._state
