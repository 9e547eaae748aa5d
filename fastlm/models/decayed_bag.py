"""Decayed bags of embeddings at several rates, and one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlm import autodiff, heads
from fastlm.autodiff import Variable, sequence
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel, check_sizes, named, uniform
from fastlm.models.hashed_ngrams import HashedNGrams
from fastlm.models.initial import SMALL_OUTPUT, UNIT_VARIANCE


class DecayedBag(PrefixModel):
    """s_k = rate_k * s_k + E[x]; h = tanh(s A + b); logits = h B + c. FOFE at K rates, Zhang et al. 2015.

    s_k is the sum of all embeddings so far, each weighted by a power of the rate that grows with its age; one more
    token costs the same after any prefix. `rates` in [0, 1); a rate of 0 keeps the last token alone. `ngrams`: hashed
    n-grams beside the bags, see `HashedNGrams`.

    >>> DecayedBag(vocab_size=5, width=8, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, width: int = 64, hidden: int = 256,
                 rates: Sequence[float] = (0.0, 0.4, 0.7, 0.9, 0.97), dropout: float = 0.0, seed: int = 0,
                 output: dict[str, Any] | None = None, ngrams: dict[str, Any] | None = None) -> None:
        super().__init__(vocab_size, width=width, hidden=hidden, rates=[float(rate) for rate in rates],
                         dropout=dropout, seed=seed, **named(output=output, ngrams=ngrams))
        check_sizes(width=width, hidden=hidden, rates=len(rates))
        for rate in rates:
            if not 0 <= rate < 1:
                raise ValueError(f"rate {rate} is outside [0, 1)")
        rng = np.random.default_rng(seed)
        self.width, self.dropout = width, dropout
        self.rates = np.array(rates, np.float32)
        self.embedding = self.parameter("embedding", uniform(rng, (vocab_size, width), 1.0))
        self.ngrams = HashedNGrams(ngrams, self.parameter)
        drawn = uniform(rng, (width * len(rates) + self.ngrams.width, hidden), UNIT_VARIANCE)
        # A bag of rate r is a sum of variance 1 / (1 - r^2), so its weights are scaled to give every rate the same
        # influence at first.
        scale = np.repeat(np.sqrt((1 - self.rates**2) / (width * len(rates))), width)
        scale = np.append(scale, np.full(self.ngrams.width, max(1, self.ngrams.width)**-0.5, np.float32))
        self.projection = self.parameter("projection", drawn * scale[:, None])
        self.projection_bias = self.parameter("projection_bias", np.zeros(hidden, np.float32))
        self.head = heads.build(output, self.parameter,
                                lambda shape: uniform(rng, shape, SMALL_OUTPUT / np.sqrt(hidden)), vocab_size, hidden)

    def start(self, batch: int = 1) -> State:
        bags = np.zeros((batch, len(self.rates), self.width), np.float32)
        return State(batch, bags=bags, **self.ngrams.start(batch))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        x = autodiff.gather(self.embedding, batch.ids)
        after: dict[str, np.ndarray] = {}
        bags, after["bags"] = sequence.decayed_sum(x, self.rates, batch, state["bags"])
        bags = self.ngrams.append_to(bags, batch, state, after)
        hidden = autodiff.tanh(autodiff.linear(bags, self.projection, self.projection_bias))
        return autodiff.dropout(hidden, self.dropout), State(batch.sequences, **after)
