"""What followed where a document was in a like place before: attention of recurrent layers to their own past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm import attention, autodiff
from fastlm.autodiff import Parameter, Variable
from fastlm.batch import Batch, State

Array = np.ndarray


class Lookback:
    """Adds to every row x[n] of a document what it finds of the last `window` rows:

        sum over j of softmax_j(x[n] Q . x[j - 1] K / sqrt(width) - (n - j) / window) x[j] V M

    so that a row is led to what came after the rows that were like it. One head; x K is zero before a document. A layer
    of attention that is not transformer-like: Merity 2019, "Single headed attention RNN"; keys one token behind their
    values, as the heads have that Olsson et al. 2022, "In-context learning and induction heads", found.
    ``width``: of Q, K and V, 0 where `options` is None.
    """

    def __init__(self, options: dict[str, Any] | None, parameter: Callable[[str, Array], Parameter], hidden: int,
                 rng: np.random.Generator) -> None:
        """options: {"width": 32, "window": 512}; any of them may be left out."""
        self.width = 0
        if options is None:
            return
        chosen: dict[str, Any] = {"width": 32, "window": 512} | options
        if extra := options.keys() - {"width", "window"}:
            raise ValueError(f"lookback has {sorted(extra)}; width and window were expected")
        for name, value in chosen.items():
            if value < 1:
                raise ValueError(f"{name} = {value}; at least 1 was expected")
        self.width, self.window = int(chosen["width"]), int(chosen["window"])
        self.slopes = np.array([1 / self.window], np.float32)

        def uniform(*shape: int) -> Array:
            return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        self.qkv = parameter("lookback", uniform(hidden, 3 * self.width))
        self.mix = parameter("lookback_mix", uniform(self.width, hidden))

    def start(self, batch: int) -> dict[str, Array]:
        """What the state of empty prefixes holds for it."""
        if not self.width:
            return {}
        return {"length": np.zeros(batch, np.int64), "key": np.zeros((batch, self.width), np.float32),
                "past": np.zeros((batch, 0, 2 * self.width), np.float32)}

    def added(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """x (N, H) with what is found added, or x itself; puts what is to be carried on into `after`."""
        if not self.width:
            return x
        spans = attention.Spans(batch, state["length"], self.window)
        qkv, after["key"] = attention.one_later(autodiff.matmul(x, self.qkv), slice(self.width, 2 * self.width), batch,
                                                state["key"])
        found, after["past"] = attention.attention(qkv, self.slopes, spans, state["past"])
        after["length"] = spans.after
        return autodiff.add(x, autodiff.matmul(found, self.mix))
