"""The LSTM language model, of one or more layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff import Variable, sequence
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.batch import Batch, State
from fastlm.models.recurrent import Recurrent, RecurrentStepper

Array = np.ndarray
# From here on the panels of training are faster, although weights, which may change, are packed anew at every step:
# 16 sequences take 183 and 255 microseconds at H = 256, 64 take 464 and 708, and 1,793 and 3,838 at H = 512.
_MANY = 16


class LSTM(Recurrent):
    """Embedding -> `layers` LSTM layers -> softmax. Hochreiter & Schmidhuber 1997; Zaremba et al. 2014 for dropout.

    `width` is the embedding's (None: that of `hidden`); `tied` uses the embedding as the output weights too (Press &
    Wolf 2017), which needs width == hidden. `ngrams`: hashed n-grams read beside the embedding, see
    `hashed_ngrams.HashedNGrams`. Gates lie in PyTorch's order i, f, g, o; weights are its transposed.

    >>> LSTM(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    GATES: ClassVar[int] = 4
    STATE: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    def along(self, layer: int, x: Variable, batch: Batch, state: State, rows: Array | None) -> tuple[Any, ...]:
        weight, bias, recurrent = (self.parameters[f"{name}{layer}"] for name in ("input", "bias", "recurrent"))
        return sequence.lstm(x, weight, bias, recurrent, batch, state[f"hidden{layer}"], state[f"cell{layer}"], rows)

    def own_stepper(self, state: State) -> RecurrentStepper:
        return LSTMStepper(self, state)


class LSTMStepper(RecurrentStepper):
    """A `Stepper` that allocates nothing large: one C call a layer reads every weight once.

    It refers to the weights where they lie, and owns the state, the input (S, width) and the gates (S, 4H); for many
    sequences and float32 weights also gate panels, packed weights and the state before the step.
    """

    def __init__(self, model: LSTM, state: State) -> None:
        super().__init__(model, state)
        parameters = model.parameters
        self._gates = np.empty((len(state), 4 * model.hidden), np.float32)
        self._layers, x = [], self._first
        for layer in range(model.layers):
            hidden, cell = self._state[f"hidden{layer}"], self._state[f"cell{layer}"]
            weights = parameters[f"input{layer}"].matrix(), parameters[f"recurrent{layer}"].matrix()
            self._layers.append((hidden, cell, x, *weights, parameters[f"bias{layer}"].value))
            x = hidden
        self._last = x
        many = len(state) >= _MANY and not isinstance(parameters["input0"], Int8Parameter)
        self._size = np.array([len(state)], np.uintp)
        self._before = np.empty((2, len(state) if many else 0, model.hidden), np.float32)
        self._panels = [tuple(np.empty((-(-model.hidden // 16), rows, 64), np.float32)
                              for rows in (len(state), x.shape[1], model.hidden))
                        for _, _, x, *_ in self._layers if many]

    def _along(self) -> Array:
        if self._panels:
            self._read_panels()
            return self._last
        for hidden, cell, x, weight, recurrent, bias in self._layers:
            _core.lstm_step(hidden, cell, self._gates, x, weight, recurrent, bias)
        return self._last

    def _read_panels(self) -> None:
        """One step of every layer as training takes it."""
        parameters = self.model.parameters
        old_hidden, old_cell = self._before
        for layer, (hidden, cell, x, _, _, bias) in enumerate(self._layers):
            gates, weight, recurrent = self._panels[layer]
            old_hidden[:], old_cell[:] = hidden, cell
            _core.panel_pack(weight, parameters[f"input{layer}"].value)
            _core.panel_pack(recurrent, parameters[f"recurrent{layer}"].value)
            _core.panel_product(gates, x, weight, bias)
            _core.lstm_forward(hidden, cell, gates, old_hidden, old_cell, recurrent, gates, None, None, self._size)
