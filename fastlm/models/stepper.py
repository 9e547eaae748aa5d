"""Reading token by token in place: a model, the state of its sequences, and what it predicts after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlm.batch import Batch, State

if TYPE_CHECKING:
    from fastlm.models.prefix import PrefixModel
    from fastlm.models.recurrent import Recurrent

Array = np.ndarray


class Stepper:
    """S sequences under a prefix model, read one token a step. Made by ``model.stepper(state)``.

    ``read`` moves it on and gives the rows that ``model.predictor`` reads, ``step`` their logits. What they return
    lies in buffers of the stepper's own, which the next call writes over. This class calls ``model.read``; a model may
    offer one that allocates nothing. It belongs to one thread at a time. Weights changed in place are seen.

    >>> stepper = model.stepper(model.start())               # doctest: +SKIP
    >>> logits = stepper.step(5)                             # doctest: +SKIP
    """

    def __init__(self, model: PrefixModel, state: State) -> None:
        self.model = model
        self._state = state
        self._logits: Array | None = None

    def read(self, ids: Array | int) -> Array:
        """Reads one more token of every sequence, ids (S,) or one int -> rows (S, D) for `model.predictor`.

        Raises what `PrefixModel.step` raises; the state is then as it was.
        """
        array = self.model.check_step(ids, len(self._state))
        rows, self._state = self.model.read(Batch(array, np.array([len(array)], np.uintp), len(array)), self._state)
        return rows.value

    def step(self, ids: Array | int) -> Array:
        """`read`, and the logits (S, V) of what follows."""
        rows = self.read(ids)
        if self._logits is None:
            self._logits = np.empty((len(self._state), self.model.vocab_size), np.float32)
        self.model.predictor.write(self._logits, rows)
        return self._logits

    @property
    def state(self) -> State:
        """The state reached, which later steps do not change."""
        return self._state


class OwnStepper(Stepper):
    """A `Stepper` of recurrent layers that moves a copy of their state on in place."""

    def __init__(self, model: Recurrent, state: State) -> None:
        super().__init__(model, state.copy())
        self._ids = np.empty(len(state), np.int64)
        self._embedding, self._lookback = model.embedding, model.lookback.stepper(state)
        self._first = np.empty((len(state), model.embedding.shape[1]), np.float32)

    def read(self, ids: Array | int) -> Array:
        if type(ids) is int and 0 <= ids < self.model.vocab_size and len(self._ids) == 1:
            self._ids[0] = ids
        else:
            self._ids[:] = self.model.check_step(ids, len(self._ids))
        self._embedding.gather(self._first, self._ids)
        x = self._along()
        return x if self._lookback is None else self._lookback.added(x)

    def _along(self) -> Array:
        """Moves every layer on by what the first one reads, `_first`; the rows (S, H) of the last."""
        raise NotImplementedError

    def end(self) -> State:
        """The state itself, for a stepper that takes no more steps."""
        if self._lookback is not None:
            self._state.arrays.update(self._lookback.state())
        return self._state

    @property
    def state(self) -> State:
        return self.end().copy()
