"""The GRU language model, of one or more layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlm import recurrence
from fastlm.autodiff import Variable
from fastlm.batch import Batch, State
from fastlm.models.gru_stepper import GRUStepper
from fastlm.models.recurrent import Recurrent
from fastlm.models.stepper import OwnStepper

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
        return recurrence.gru(x, weight, bias, recurrent, recurrent_bias, batch, state[f"hidden{layer}"], rows)

    def own_stepper(self, state: State) -> OwnStepper:
        return GRUStepper(self, state)
