"""Layers of simple recurrent units and perceptrons: gates from the input alone, the recurrence elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import autodiff, heads
from fastlm.autodiff import Variable, sequence
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel, check_sizes, named, uniform
from fastlm.models.hashed_ngrams import HashedNGrams
from fastlm.models.initial import UNIT_VARIANCE

Array = np.ndarray
# The first biases of the forget gates rise evenly over the units: sigmoid(-1) = 0.27 remembers about one token,
# sigmoid(4) = 0.98 about fifty. An assumption.
_FORGET_BIAS = (-1.0, 4.0)


class SRU(PrefixModel):
    """x = E[token]; in each layer x += SRU(x / rms x), then x += relu(x / rms x A + a)^2 B + b. Lei et al. 2018.

    `hidden` is the width of everything but the perceptrons' hidden layer, which has `inner` units (None: twice
    `hidden`). No matrix product depends on the step before it in time. `tied` and `ngrams` as in `LSTM`; a matrix
    brings the n-grams to the width of x.

    >>> SRU(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, hidden: int = 256, layers: int = 2, inner: int | None = None,
                 tied: bool = False, dropout: float = 0.0, seed: int = 0, output: dict[str, Any] | None = None,
                 ngrams: dict[str, Any] | None = None) -> None:
        inner = 2 * hidden if inner is None else inner
        super().__init__(vocab_size, hidden=hidden, layers=layers, inner=inner, tied=tied, dropout=dropout, seed=seed,
                         **named(output=output, ngrams=ngrams))
        if layers < 1:
            raise ValueError(f"layers = {layers}; at least 1 was expected")
        check_sizes(hidden=hidden, inner=inner)
        rng = np.random.default_rng(seed)
        self.hidden, self.layers, self.tied, self.dropout = hidden, layers, tied, dropout
        scale = 1 / np.sqrt(hidden)
        self.embedding = self.parameter("embedding", uniform(rng, (vocab_size, hidden), scale if tied else 1.0))
        self.ngrams = HashedNGrams(ngrams, self.parameter)
        self.ngrams.project(self.parameter, lambda shape: uniform(rng, shape, 1 / np.sqrt(shape[0])), hidden)
        for layer in range(layers):
            gates = np.zeros(3 * hidden, np.float32)
            gates[:hidden] = np.linspace(*_FORGET_BIAS, hidden)
            self.parameter(f"gates{layer}", uniform(rng, (hidden, 3 * hidden), UNIT_VARIANCE * scale))
            self.parameter(f"gates{layer}_bias", gates)
            self.parameter(f"inner{layer}", uniform(rng, (hidden, inner), UNIT_VARIANCE * scale))
            self.parameter(f"inner{layer}_bias", np.zeros(inner, np.float32))
            self.parameter(f"outer{layer}", uniform(rng, (inner, hidden), 1 / np.sqrt(inner * layers)))
            self.parameter(f"outer{layer}_bias", np.zeros(hidden, np.float32))
        self.head = heads.build(output, self.parameter, lambda shape: uniform(rng, shape, scale), vocab_size,
                                hidden, self.embedding if tied else None)

    def start(self, batch: int = 1) -> State:
        zeros = {f"cell{layer}": np.zeros((batch, self.hidden), np.float32) for layer in range(self.layers)}
        return State(batch, **zeros, **self.ngrams.start(batch))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        p, after = self.parameters, dict[str, Array]()
        x = self.ngrams.add_to(autodiff.gather(self.embedding, batch.ids), batch, state, after)
        x = autodiff.dropout(x, self.dropout)
        for layer in range(self.layers):
            h, after[f"cell{layer}"] = sequence.sru(autodiff.rms_norm(x), p[f"gates{layer}"], p[f"gates{layer}_bias"],
                                                    batch, state[f"cell{layer}"])
            x = autodiff.add(x, autodiff.dropout(h, self.dropout))
            h = autodiff.linear(autodiff.rms_norm(x), p[f"inner{layer}"], p[f"inner{layer}_bias"])
            h = autodiff.linear(autodiff.relu_squared(h), p[f"outer{layer}"], p[f"outer{layer}_bias"])
            x = autodiff.add(x, autodiff.dropout(h, self.dropout))
        return autodiff.dropout(autodiff.rms_norm(x), self.dropout), State(batch.sequences, **after)
