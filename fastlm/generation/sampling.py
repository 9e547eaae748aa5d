"""Sampling from a prefix model: one step of the model for each token drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.base import PrefixModel

Array = np.ndarray
Mask = Array | Callable[[list[int]], Array]   # which tokens (V,) bool may be drawn; or what says so after these ids


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from softmax(logits / temperature).

    temperature 0 always takes the most likely id. top_k: only the top_k most likely ids are drawn, 0 for all; top_p: of
    these only the smallest set of most likely ids with this probability; min_p: only ids that have at least this share
    of the probability of the most likely one. repetition_penalty: p of an id is divided by it for every time that it
    has followed the same last `repeated` tokens before; 1 for none.

    Raises ValueError for a number outside its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repeated: int = 3

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature = {self.temperature}; a number of at least 0 was expected")
        if self.top_k < 0:
            raise ValueError(f"top_k = {self.top_k}; 0 for all, or a whole number of at least 1, was expected")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p = {self.top_p} is outside (0, 1]")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p = {self.min_p} is outside [0, 1]")
        if not self.repetition_penalty >= 1:
            raise ValueError(f"repetition_penalty = {self.repetition_penalty}; a number of at least 1 was expected")


class Sampler:
    """Draws the tokens of one sequence, one after another.

    rng: whose next number decides each; vocab_size: V. banned (n,): ids that are never drawn; allowed: which may be,
    None for all. read: the ids before the first one, of which repetitions are told.
    """

    def __init__(self, sampling: Sampling, rng: np.random.Generator, vocab_size: int, banned: Array | None = None,
                 allowed: Mask | None = None, read: Sequence[int] = ()) -> None:
        self._sampling, self._rng, self._allowed = sampling, rng, allowed
        self._banned = np.zeros(0, np.int64) if banned is None else banned
        self._p, self._order = np.empty(vocab_size, np.float64), np.empty(vocab_size, np.int32)
        self._logits = np.empty(vocab_size, np.float32)
        self._top_k = min(sampling.top_k, vocab_size)
        self.drawn: list[int] = []
        self._past: list[int] = []
        self._followed: dict[tuple[int, ...], dict[int, int]] = {}   # how often each id came after some
        for id in read:
            self._remember(id)

    def draw(self, logits: Array) -> int:
        """Return the next id, where the model predicts logits (V,)."""
        sampling, out = self._sampling, self._logits
        np.copyto(out, logits)
        if sampling.repetition_penalty > 1:
            for id, times in self._followed.get(self._last(), {}).items():
                out[id] -= times * np.log(sampling.repetition_penalty)
        out[self._banned] = -np.inf
        if self._allowed is not None:
            mask = self._allowed(self.drawn) if callable(self._allowed) else self._allowed
            out[~self._checked(mask)] = -np.inf
        if sampling.min_p > 0 and sampling.temperature > 0:
            out[out < out.max() + sampling.temperature * np.log(sampling.min_p)] = -np.inf
        drawn = int(_core.sample(out, sampling.temperature, self._top_k, sampling.top_p, self._rng.random(), self._p,
                                 self._order))
        self.drawn.append(drawn)
        self._remember(drawn)
        return drawn

    def _checked(self, mask: Array) -> Array:
        found = np.asarray(mask)
        if found.dtype != bool or found.shape != self._logits.shape:
            raise ValueError(f"allowed is {found.dtype} {found.shape}; bool {self._logits.shape} was expected")
        if not found.any():
            raise ValueError("allowed lets no token be drawn; at least one was expected")
        return found

    def _last(self) -> tuple[int, ...]:
        return tuple(self._past[max(0, len(self._past) - self._sampling.repeated):])

    def _remember(self, id: int) -> None:
        if self._sampling.repetition_penalty > 1:
            times = self._followed.setdefault(self._last(), {})
            times[id] = times.get(id, 0) + 1
            self._past.append(id)


def sample_ids(model: PrefixModel, state: State, logits: Array, sampler: Sampler, end: int | None = None,
               boundary: int | None = None) -> Iterator[int]:
    """Yield ids without an end, each read before the next is drawn.

    state: that of one sequence, which is not changed; logits (V,): what the model predicts there. end: the id after
    which a new document begins, with nothing read but `boundary`; None for none.
    """
    stepper = model.stepper(state)
    while True:
        drawn = sampler.draw(logits)
        yield drawn
        if drawn == end:
            stepper = model.stepper(model.start(1))
        logits = stepper.step(drawn if drawn != end or boundary is None else boundary)[0]


def sample_together(model: PrefixModel, states: Sequence[State], logits: Array, samplers: Sequence[Sampler], count: int,
                    ended: Callable[[int, int], bool], end: int | None, boundary: int) -> None:
    """Let samplers draw at most `count` ids each, of S sequences that are read side by side.

    states: one for each, none of which is changed; logits (S, V): what the model predicts there. ended(s, id): whether
    sequence s needs no more after this id. end, boundary: as in `sample_ids`.
    """
    stepper, active = model.stepper(State.stack(states)), [True] * len(samplers)
    logits = np.array(logits, np.float32)
    for _ in range(count):
        ids = np.full(len(samplers), boundary, np.int32)
        begin = []
        for s, sampler in enumerate(samplers):
            if active[s]:
                drawn = sampler.draw(logits[s])
                active[s] = not ended(s, drawn)
                if drawn == end:
                    begin.append(s)
                else:
                    ids[s] = drawn
        if not any(active):
            return
        if begin:
            state = stepper.state
            stepper = model.stepper(State.stack([model.start(1) if s in begin else state.select([s])
                                                 for s in range(len(samplers))]))
        logits = stepper.step(ids)
