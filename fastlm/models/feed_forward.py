"""The neural probabilistic language model: the last n embeddings side by side, and one hidden layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import autodiff, heads
from fastlm.autodiff import Variable, sequence
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel, check_sizes, named, uniform
from fastlm.models.hashed_ngrams import HashedNGrams
from fastlm.models.initial import SMALL_OUTPUT, UNIT_VARIANCE


class FeedForward(PrefixModel):
    """x = [E[x_j], E[x_j-1], ..., E[x_j-n+1]]; h = tanh(x A + b); logits = h B + c. Bengio et al. 2003.

    `context` is n; positions before the document's start hold zeros. The state is the last n - 1 ids.
    `ngrams`: hashed n-grams beside the embeddings, see `hashed_ngrams.HashedNGrams`.

    >>> FeedForward(vocab_size=5, context=3, width=8, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, context: int = 5, width: int = 64, hidden: int = 256,
                 dropout: float = 0.0, seed: int = 0,
                 output: dict[str, Any] | None = None, ngrams: dict[str, Any] | None = None) -> None:
        super().__init__(vocab_size, context=context, width=width, hidden=hidden, dropout=dropout, seed=seed,
                         **named(output=output, ngrams=ngrams))
        if context < 1:
            raise ValueError(f"context = {context}; at least 1 token was expected")
        check_sizes(width=width, hidden=hidden)
        rng = np.random.default_rng(seed)
        self.context, self.width, self.dropout = context, width, dropout
        self.embedding = self.parameter("embedding", uniform(rng, (vocab_size, width), 1.0))
        self.ngrams = HashedNGrams(ngrams, self.parameter)
        inputs = context * width + self.ngrams.width
        drawn = uniform(rng, (inputs, hidden), UNIT_VARIANCE / np.sqrt(inputs))
        self.projection = self.parameter("projection", drawn)
        self.projection_bias = self.parameter("projection_bias", np.zeros(hidden, np.float32))
        self.head = heads.build(output, self.parameter,
                                lambda shape: uniform(rng, shape, SMALL_OUTPUT / np.sqrt(hidden)), vocab_size, hidden)

    def start(self, batch: int = 1) -> State:
        ids = np.full((batch, self.context - 1), -1, np.int64)
        return State(batch, ids=ids, **self.ngrams.start(batch))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        after: dict[str, np.ndarray] = {}
        ids, after["ids"] = sequence.last_ids(batch, self.context, state["ids"])
        x = autodiff.reshape(autodiff.gather(self.embedding, ids), (len(batch), self.context * self.width))
        x = self.ngrams.append_to(x, batch, state, after)
        hidden = autodiff.tanh(autodiff.linear(x, self.projection, self.projection_bias))
        return autodiff.dropout(hidden, self.dropout), State(batch.sequences, **after)
