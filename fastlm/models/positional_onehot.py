"""The linear model on the positional one-hot matrix: multinomial logistic regression on every prefix."""

from __future__ import annotations

import numpy as np

from fastlm.autodiff import Variable, sequence
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from fastlm.models.initial import zeros


class PositionalOneHot(PrefixModel):
    """z = b + the sum over the prefix's first `max_length` tokens of W[t, x_t]; next-token probabilities softmax(z).

    The input is the one-hot matrix {0,1}^(V x T), T = `max_length`, which is never built. Only the first T tokens of a
    document count: a longer prefix has the prediction of its first T tokens. There are T * V * V weights, which suits
    characters and small vocabularies.

    >>> PositionalOneHot(vocab_size=5, max_length=3).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, max_length: int, seed: int = 0) -> None:
        super().__init__(vocab_size, max_length=max_length, seed=seed)
        if max_length < 1:
            raise ValueError(f"max_length = {max_length}; a length T of at least 1 was expected")
        self.max_length = max_length
        # The loss is convex, so it may start at zeros, and rows that never occur in training then add nothing.
        self.table = self.parameter("table", zeros((max_length * vocab_size, vocab_size)))
        self.output_bias = self.parameter("output_bias", np.zeros(vocab_size, np.float32))

    def start(self, batch: int = 1) -> State:
        return State(batch, sums=np.zeros((batch, self.vocab_size), np.float32), position=np.zeros(batch, np.int64))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        logits, sums, position = sequence.prefix_sum(self.table, self.output_bias, batch, self.max_length,
                                                     state["sums"], state["position"])
        return logits, State(batch.sequences, sums=sums, position=position)

    def units(self, name: str) -> str | None:
        return None   # the model sums rows of the table and multiplies by no matrix
