"""Drawing continuations from a prefix model, one step a token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.base import PrefixModel

Array = np.ndarray


def sample_ids(model: PrefixModel, state: State, logits: Array, temperature: float = 1.0, top_k: int = 0,
               top_p: float = 1.0, seed: int | None = None, banned: Array | None = None) -> Iterator[int]:
    """Yields ids drawn from softmax(logits / temperature), stepping the model between draws, without end.

    state: one sequence, not changed; logits (V,): what it predicts. top_k 0 is all; then the smallest set that holds
    top_p of the probability; temperature 0 takes the likeliest. banned (n,) ids are never drawn. One seed gives one
    sequence. Raises ValueError for values outside their range.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature = {temperature}; a number of at least 0 was expected")
    if top_k < 0:
        raise ValueError(f"top_k = {top_k}; 0 for all, or a whole number of at least 1, was expected")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p = {top_p} is outside (0, 1]")
    return _draw(model, state, logits, temperature, top_k, top_p, np.random.default_rng(seed), banned)


def _draw(model: PrefixModel, state: State, logits: Array, temperature: float, top_k: int, top_p: float,
          rng: np.random.Generator, banned: Array | None) -> Iterator[int]:
    stepper = model.stepper(state)
    p, order = np.empty(len(logits), np.float64), np.empty(len(logits), np.int32)
    allowed, banned = np.array(logits, np.float32), np.zeros(0, np.int64) if banned is None else banned
    top_k = min(top_k, len(logits))
    while True:
        allowed[banned] = -np.inf
        drawn = int(_core.sample(allowed, temperature, top_k, top_p, rng.random(), p, order))
        yield drawn
        allowed = stepper.step(drawn)[0]
