"""The LSTM language model, of one or more layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlm import recurrence
from fastlm.autodiff import Variable
from fastlm.batch import Batch, State
from fastlm.models.lstm_stepper import LSTMStepper
from fastlm.models.recurrent import Recurrent
from fastlm.models.stepper import OwnStepper

Array = np.ndarray


class LSTM(Recurrent):
    """Embedding -> `layers` LSTM layers -> softmax. Hochreiter & Schmidhuber 1997; Zaremba et al. 2014 for dropout.

    `width` is the embedding's (None: that of `hidden`); `tied` uses the embedding as the output weights too (Press &
    Wolf 2017), which needs width == hidden. `ngrams`: hashed n-grams read beside the embedding, see
    `inputs.NGrams`. Gates lie in PyTorch's order i, f, g, o; weights are its transposed.

    >>> LSTM(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    GATES: ClassVar[int] = 4
    STATE: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    def along(self, layer: int, x: Variable, batch: Batch, state: State, rows: Array | None) -> tuple[Any, ...]:
        weight, bias, recurrent = (self.parameters[f"{name}{layer}"] for name in ("input", "bias", "recurrent"))
        return recurrence.lstm(x, weight, bias, recurrent, batch, state[f"hidden{layer}"], state[f"cell{layer}"], rows)

    def own_stepper(self, state: State) -> OwnStepper:
        return LSTMStepper(self, state)
