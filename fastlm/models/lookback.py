"""Lookback attention: recurrent layers that attend to their own past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff import Parameter, Variable, attention
from fastlm.batch import Batch, State
from fastlm.models.initial import uniform as uniform_draws

Array = np.ndarray
_ROOM = 64   # entries that a stepper has room for at first, beyond those of the state that it begins with


class Lookback:
    """Adds to every row x[n] of a document what attention finds among the document's last `window` rows:

        sum over j of softmax_j(x[n] Q . x[j - 1] K / sqrt(width) - (n - j) / window) x[j] V M

    The key of row j comes from row j - 1, so that attention leads a row to what followed similar rows earlier; the row
    before a document counts as zeros. One head. A layer of attention in a network that is not a transformer: Merity
    2019, "Single headed attention RNN"; keys one token behind their values, as in the induction heads of Olsson et al.
    2022, "In-context learning and induction heads". ``width``: of Q, K and V, 0 where `options` is None.
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
        """Return the arrays that the state of empty prefixes holds for the layer."""
        if not self.width:
            return {}
        return {"length": np.zeros(batch, np.int64), "key": np.zeros((batch, self.width), np.float32),
                "past": np.zeros((batch, 0, 2 * self.width), np.float32)}

    def added_to(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """Return x (N, H) plus what attention finds, or x itself without a lookback; put the new state into `after`."""
        if not self.width:
            return x
        spans = attention.Spans(batch, state["length"], self.window)
        qkv, after["key"] = attention.one_later(autodiff.matmul(x, self.qkv), slice(self.width, 2 * self.width), batch,
                                                state["key"])
        found, after["past"] = attention.attention(qkv, self.slopes, spans, state["past"])
        after["length"] = spans.after
        return autodiff.add(x, autodiff.matmul(found, self.mix))

    def stepper(self, state: State) -> LookbackStepper | None:
        """Return what computes `added_to` row by row from a state on, or None without a lookback."""
        return LookbackStepper(self, state) if self.width else None


class LookbackStepper:
    """Computes `Lookback.added_to` for one row of every sequence at a time, with keys and values kept in place.

    Keys and values (S, 1, room, width) of all sequences end at the same entry. Where the room is used up it doubles, up
    to 2 window entries; from then on the entries that may still be seen move to the front, once every `window` steps.
    """

    def __init__(self, lookback: Lookback, state: State) -> None:
        self._lookback = lookback
        self._length, self._key, past = state["length"].copy(), state["key"].copy(), state["past"]
        sequences, self._end, width = past.shape[0], past.shape[1], lookback.width
        self._reserve(self._end + _ROOM)
        for entries, length, keys, values in zip(past, self._length.tolist(), self._keys, self._values, strict=True):
            keys[0, self._end - length: self._end] = entries[:length, :width]
            values[0, self._end - length: self._end] = entries[:length, width:]
        self._qkv = np.empty((sequences, 3 * width), np.float32)
        self._found = np.empty((sequences, width), np.float32)
        self._out: Array | None = None

    def _reserve(self, room: int) -> None:
        self._keys = np.zeros((len(self._key), 1, room, self._lookback.width), np.float32)
        self._values = np.zeros_like(self._keys)
        self._score = np.empty(_core.attention_step_scratch(room), np.float32)

    def added_to(self, x: Array) -> Array:
        """Return x (S, H) plus what attention finds, in a buffer that the next call writes over."""
        lookback, width = self._lookback, self._lookback.width
        if self._end == self._keys.shape[2]:
            self._make_room()
        lookback.qkv.multiply(self._qkv, x)
        self._keys[:, 0, self._end], self._values[:, 0, self._end] = self._key, self._qkv[:, 2 * width:]
        self._key[:] = self._qkv[:, width: 2 * width]
        self._end += 1
        np.minimum(self._length + 1, lookback.window, out=self._length)
        _core.attention_step(self._found, self._score, self._qkv, self._keys, self._values, lookback.slopes,
                             self._length, self._end)
        if self._out is None:
            self._out = np.empty(x.shape, np.float32)
        lookback.mix.multiply(self._out, self._found)
        self._out += x
        return self._out

    def _make_room(self) -> None:
        room, kept = self._end, min(self._end, self._lookback.window - 1)
        if room < 2 * self._lookback.window:
            room = min(2 * self._lookback.window, 2 * room)
        keys, values = self._keys, self._values
        self._reserve(room)
        self._keys[:, :, :kept] = keys[:, :, self._end - kept: self._end]
        self._values[:, :, :kept] = values[:, :, self._end - kept: self._end]
        self._end = kept

    def state(self) -> dict[str, Array]:
        """Return the arrays that `Lookback.added_to` reads on from."""
        width, kept = self._lookback.width, np.minimum(self._length, self._lookback.window - 1)
        past = np.zeros((len(kept), int(kept.max(initial=0)), 2 * width), np.float32)
        for entries, length, keys, values in zip(past, kept.tolist(), self._keys, self._values, strict=True):
            entries[:length, :width] = keys[0, self._end - length: self._end]
            entries[:length, width:] = values[0, self._end - length: self._end]
        return {"length": kept, "key": self._key.copy(), "past": past}
