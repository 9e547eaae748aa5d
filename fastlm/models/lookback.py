"""What followed where a document was in a like place before: attention of recurrent layers to their own past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff import Parameter, Variable, attention
from fastlm.batch import Batch, State
from fastlm.models.initial import uniform as uniform_draws

Array = np.ndarray
_PLACES = 64   # more than there are, at first


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
        if not isinstance(options, dict):
            raise ValueError(f"lookback = {options!r}; a dictionary of width and window was expected")
        chosen: dict[str, Any] = {"width": 32, "window": 512} | options
        if extra := options.keys() - {"width", "window"}:
            raise ValueError(f"lookback has {sorted(extra)}; width and window were expected")
        for name, value in chosen.items():
            if not isinstance(value, int) or not 1 <= value < 1 << 31:
                raise ValueError(f"lookback {name} = {value!r}; a whole number from 1 to 2^31 - 1 was expected")
        self.width, self.window = chosen["width"], chosen["window"]
        self.slopes = np.array([1 / self.window], np.float32)

        def uniform(*shape: int) -> Array:
            return uniform_draws(rng, shape, 1) / np.float32(np.sqrt(shape[0]))
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

    def stepper(self, state: State) -> LookbackStepper | None:
        """What reads on from a state row by row, None where nothing looks back."""
        return LookbackStepper(self, state) if self.width else None


class LookbackStepper:
    """`Lookback.added` for one row of every sequence at a time.

    Keys and values (S, places, width) end at the same place in all sequences, so that what is seen is one stretch of
    them. Where there is no place left there come to be twice as many, up to 2 window; then what may still be seen moves
    to the front.
    """

    def __init__(self, lookback: Lookback, state: State) -> None:
        self._lookback = lookback
        self._length, self._key, past = state["length"].copy(), state["key"].copy(), state["past"]
        sequences, self._at, width = past.shape[0], past.shape[1], lookback.width
        self._keys = np.zeros((sequences, self._at + _PLACES, width), np.float32)
        self._values = np.zeros_like(self._keys)
        for own, length, keys, values in zip(past, self._length.tolist(), self._keys, self._values, strict=True):
            keys[self._at - length: self._at] = own[:length, :width]
            values[self._at - length: self._at] = own[:length, width:]
        self._qkv = np.empty((sequences, 3 * width), np.float32)
        self._out: Array | None = None

    def added(self, x: Array) -> Array:
        """x (S, H) with what is found added, in a buffer that the next call writes over."""
        lookback, width = self._lookback, self._lookback.width
        if self._at == self._keys.shape[1]:
            self._make_room()
        lookback.qkv.multiply(self._qkv, x)
        self._keys[:, self._at], self._values[:, self._at] = self._key, self._qkv[:, 2 * width:]
        self._key[:] = self._qkv[:, width: 2 * width]
        self._at += 1
        np.minimum(self._length + 1, lookback.window, out=self._length)
        seen = slice(self._at - int(self._length.max()), self._at)
        scores = np.matmul(self._keys[:, seen], self._qkv[:, :width, None])[:, :, 0] / np.float32(np.sqrt(width))
        scores -= lookback.slopes * np.arange(scores.shape[1] - 1, -1, -1, dtype=np.float32)
        if (self._length < scores.shape[1]).any():   # documents that began later
            scores[np.arange(scores.shape[1]) < scores.shape[1] - self._length[:, None]] = -np.inf
        _core.log_softmax(scores, scores)
        found = np.matmul(np.exp(scores, out=scores)[:, None], self._values[:, seen])[:, 0]
        if self._out is None:
            self._out = np.empty(x.shape, np.float32)
        lookback.mix.multiply(self._out, found)
        self._out += x
        return self._out

    def _make_room(self) -> None:
        places, kept = self._at, min(self._at, self._lookback.window - 1)
        if places < 2 * self._lookback.window:
            places = min(2 * self._lookback.window, 2 * places)
        for name in ("_keys", "_values"):
            old, new = getattr(self, name), np.zeros((len(self._key), places, self._lookback.width), np.float32)
            new[:, :kept] = old[:, self._at - kept: self._at]
            setattr(self, name, new)
        self._at = kept

    def state(self) -> dict[str, Array]:
        """What `Lookback.added` carries on."""
        width, kept = self._lookback.width, np.minimum(self._length, self._lookback.window - 1)
        past = np.zeros((len(kept), int(kept.max(initial=0)), 2 * width), np.float32)
        for own, length, keys, values in zip(past, kept.tolist(), self._keys, self._values, strict=True):
            own[:length, :width] = keys[self._at - length: self._at]
            own[:length, width:] = values[self._at - length: self._at]
        return {"length": kept, "key": self._key.copy(), "past": past}
