"""A document being read: the state of one prefix under a language model."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch, State

if TYPE_CHECKING:
    from fastlm.language_model import LanguageModel

Array = np.ndarray


class PrefixState:
    """What the model knows after the tokens read so far, and the next-token distribution they lead to.

    Made by ``lm.start()``. Reading one more token costs one update, whatever the length of the prefix. ``copy()``
    forks; states compare, pickle and never share memory; the model itself is only read.

    >>> state = lm.start()                                   # doctest: +SKIP
    >>> logp = state.step("I"); logp = state.step("am")      # doctest: +SKIP
    >>> float(logp[lm.vocabulary.id("a")])                   # doctest: +SKIP
    """

    __slots__ = ("_language_model", "_row", "_stepper", "tokens")

    def __init__(self, language_model: LanguageModel, state: State, row: Array, tokens: int = 0) -> None:
        self._language_model = language_model
        self._stepper = language_model.model.stepper(state)
        self._row = row   # (1, D), what the model's predictor reads; a step leaves it in the stepper's buffer
        self.tokens = tokens

    def step(self, token: str | int, out: Array | None = None) -> Array:
        """Reads one token, by its text or its id; returns `log_probabilities(out)` of what follows it.

        A text that is no token of the vocabulary is read as ``<unk>``. Raises ValueError for a text of more or less
        than one token, IndexError for an id outside the vocabulary.
        """
        self.advance(token)
        return self.log_probabilities(out)

    def advance(self, token: str | int) -> None:
        """`step` without the distribution, of which `next_tokens` then works out no more than it needs."""
        self._row = self._stepper.read(self._id(token) if isinstance(token, str) else operator.index(token))
        self.tokens += 1

    def _id(self, token: str) -> int:
        vocabulary = self._language_model.vocabulary
        if token in vocabulary and (vocabulary.unit == "word" or len(token) == 1):
            return vocabulary.id(token)
        ids = vocabulary.encode(token)
        if len(ids) != 1:
            raise ValueError(f"{token!r} is {len(ids)} tokens; step reads one, read() any number")
        return int(ids[0])

    def read(self, text: str) -> Array:
        """Reads a text of any number of tokens; returns `log_probabilities()` of what follows it."""
        return self.read_ids(self._language_model.vocabulary.encode(text))

    def read_ids(self, ids: Array) -> Array:
        """Reads ids (n,) in one pass; returns `log_probabilities()` of what follows them."""
        self.advance_ids(ids)
        return self.log_probabilities()

    def advance_ids(self, ids: Array) -> None:
        """`read_ids` without the distribution."""
        model = self._language_model.model
        ids = model.check(ids)
        state = self._stepper.state
        for first in range(0, len(ids), 256):
            part = ids[first: first + 256]
            rows, state = model.read(Batch.one(part), state)
            self._row = rows.value[-1:].copy()
        self._stepper = model.stepper(state)
        self.tokens += len(ids)

    def log_probabilities(self, out: Array | None = None) -> Array:
        """log p of every next token (V,) float32, in nats; written to `out` where one is given."""
        model = self._language_model.model
        if out is None:
            out = np.empty(model.vocab_size, np.float32)
        rows = out[None]
        model.predictor.write(rows, self._row)
        _core.log_softmax(rows, rows)
        return out

    def next_tokens(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest next tokens with their probabilities, likeliest first."""
        return self._language_model.name_likeliest(self._row, k)

    def copy(self) -> PrefixState:
        """An independent twin."""
        return PrefixState(self._language_model, self.state.copy(), self._row.copy(), self.tokens)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, PrefixState) and self.state == other.state
                and np.array_equal(self._row, other._row))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return PrefixState, (self._language_model, self.state, self._row, self.tokens)

    @property
    def state(self) -> State:
        """The model's state: plain data."""
        return self._stepper.state

    @property
    def logits(self) -> Array:
        """The model's logits (V,) for the next token."""
        out = np.empty((1, self._language_model.model.vocab_size), np.float32)
        self._language_model.model.predictor.write(out, self._row)
        return out[0]
