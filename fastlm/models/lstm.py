"""The LSTM language model, of one or more layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import autodiff, outputs, recurrence
from fastlm.autodiff import Variable
from fastlm.batch import Batch, State
from fastlm.models.inputs import NGrams, embed
from fastlm.models.lstm_stepper import LSTMStepper
from fastlm.models.prefix import PrefixModel, named, uniform
from fastlm.models.stepper import Stepper

Array = np.ndarray


class LSTM(PrefixModel):
    """Embedding -> `layers` LSTM layers -> softmax. Hochreiter & Schmidhuber 1997; Zaremba et al. 2014 for dropout.

    `width` is the embedding's (None: that of `hidden`); `tied` uses the embedding as the output weights too (Press &
    Wolf 2017), which needs width == hidden. `ngrams`: hashed n-grams read beside the embedding, see
    `inputs.NGrams`. Gates lie in PyTorch's order i, f, g, o; weights are its transposed.

    >>> LSTM(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, hidden: int = 256, layers: int = 1, width: int | None = None,
                 tied: bool = False, dropout: float = 0.0, seed: int = 0, output: dict[str, Any] | None = None,
                 ngrams: dict[str, Any] | None = None) -> None:
        width = hidden if width is None else width
        super().__init__(vocab_size, hidden=hidden, layers=layers, width=width, tied=tied, dropout=dropout, seed=seed,
                         **named(output=output, ngrams=ngrams))
        if layers < 1:
            raise ValueError(f"layers = {layers}; at least 1 was expected")
        if tied and width != hidden:
            raise ValueError(f"width = {width} and hidden = {hidden}; tied embeddings need them equal")
        rng = np.random.default_rng(seed)
        self.hidden, self.layers, self.tied, self.dropout = hidden, layers, tied, dropout
        scale = 1 / np.sqrt(hidden)
        self.embedding = self.parameter("embedding", uniform(rng, (vocab_size, width), scale if tied else 1.0))
        self.ngrams = NGrams(ngrams, self.parameter)
        for layer in range(layers):
            inputs = width + self.ngrams.width if layer == 0 else hidden
            gates = np.zeros(4 * hidden, np.float32)
            gates[hidden: 2 * hidden] = 1   # remember at first: Gers et al. 2000
            self.parameter(f"input{layer}", uniform(rng, (inputs, 4 * hidden), 1 / np.sqrt(inputs)))
            self.parameter(f"recurrent{layer}", uniform(rng, (hidden, 4 * hidden), scale))
            self.parameter(f"bias{layer}", gates)
        self.output_layer = outputs.build(output, self.parameter, lambda shape: uniform(rng, shape, scale), vocab_size,
                                          hidden, self.embedding if tied else None)

    def start(self, batch: int = 1) -> State:
        zeros = {f"{name}{layer}": np.zeros((batch, self.hidden), np.float32)
                 for layer in range(self.layers) for name in ("hidden", "cell")}
        return State(batch, **zeros, **self.ngrams.start(batch))

    def features(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        after: dict[str, Array] = {}
        x, rows = embed(self.embedding, self.ngrams, batch, state, after)
        for layer in range(self.layers):
            x = autodiff.dropout(x, self.dropout if rows is None or layer else 0.0)
            weight, bias, recurrent = (self.parameters[f"{name}{layer}"] for name in ("input", "bias", "recurrent"))
            x, after[f"hidden{layer}"], after[f"cell{layer}"] = recurrence.lstm(
                x, weight, bias, recurrent, batch, state[f"hidden{layer}"], state[f"cell{layer}"],
                None if layer else rows)
        return autodiff.dropout(x, self.dropout), State(batch.sequences, **after)

    def step(self, state: State, ids: Array | int) -> tuple[Array, State]:
        stepper = self.stepper(state)
        if not isinstance(stepper, LSTMStepper):
            return super().step(state, ids)
        return stepper.step(ids), stepper.end()

    def stepper(self, state: State) -> Stepper:
        """In buffers of its own, unless a subclass changes what is computed."""
        plain = type(self).features is LSTM.features and not self._ends_in_logits and not self.ngrams.width
        return LSTMStepper(self, state) if plain else Stepper(self, state)
