"""PrefixState: the state of a language model in the middle of a document, read token by token."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch, State, equal_rows
from fastlm.models.base import PrefixModel
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_ADVANCED_TOGETHER = 256   # tokens read in one pass: enough for fast matrix products, and little memory


class PrefixState:
    """The state of a model after the tokens read so far, from which it predicts the next token.

    ``lm.start()`` makes one. Reading one more token costs one update, however long the prefix is. ``copy()`` makes an
    independent state; states can be compared and pickled. The model itself is never changed. ``tokens``: how many
    tokens were read.

    >>> state = lm.start()                                   # doctest: +SKIP
    >>> logp = state.step("I"); logp = state.step("am")      # doctest: +SKIP
    >>> float(logp[lm.vocabulary.id("a")])                   # doctest: +SKIP
    """

    __slots__ = ("_model", "_row", "_stepper", "_vocabulary", "tokens")

    def __init__(self, model: PrefixModel, vocabulary: Vocabulary, state: State | None = None,
                 row: Any = None, tokens: int = 0) -> None:
        """Begin a document, or go on from a `state` of the model and the `row` (1, D) that its `forward` gave there."""
        self._model, self._vocabulary, self.tokens = model, vocabulary, tokens
        self._stepper = model.stepper(model.start(1) if state is None else state)
        # The row is in a buffer of the stepper, which the next step overwrites.
        self._row = self._stepper.advance(vocabulary.boundary) if row is None else row

    def step(self, token: str | int, out: Array | None = None) -> Array:
        """Read one token and return the log-probabilities of the next one.

        token: its text or its id; a text that is not in the vocabulary is read as ``<unk>``. out (V,) float32: where
        the result is written to; None for a new array. Returns ln p of every token (V,) float32. Raises ValueError for
        a text that is not exactly one token, and IndexError for an id outside the vocabulary.
        """
        self.advance(token)
        return self.log_probabilities(out)

    def advance(self, token: str | int) -> None:
        """Read one token, as `step` does, without computing the log-probabilities of all tokens."""
        self._row = self._stepper.advance(self._id(token) if isinstance(token, str) else operator.index(token))
        self.tokens += 1

    def _id(self, token: str) -> int:
        vocabulary = self._vocabulary
        if token in vocabulary and (vocabulary.unit not in ("char", "byte") or len(token) == 1):
            return vocabulary.id(token)
        ids = vocabulary.read(token)
        if len(ids) != 1:
            raise ValueError(f"{token!r} is {len(ids)} tokens; step reads one, read() any number")
        return int(ids[0])

    def read(self, text: str) -> Array:
        """Read a text of any number of tokens and return the log-probabilities (V,) of the next token."""
        return self.read_ids(self._vocabulary.read(text))

    def read_ids(self, ids: Array) -> Array:
        """Read ids (n,) in one pass and return the log-probabilities (V,) of the next token."""
        self.advance_ids(ids)
        return self.log_probabilities()

    def advance_ids(self, ids: Array) -> None:
        """Read ids (n,), as `read_ids` does, without computing the log-probabilities."""
        model = self._model
        ids = model.check(ids)
        state = self._stepper.state
        for first in range(0, len(ids), _ADVANCED_TOGETHER):
            part = ids[first: first + _ADVANCED_TOGETHER]
            rows, state = model.forward(Batch.one(part), state)
            self._row = rows.value[-1:].copy()
        self._stepper = model.stepper(state)
        self.tokens += len(ids)

    def log_probabilities(self, out: Array | None = None) -> Array:
        """Return ln p of every possible next token (V,) float32, in `out` where an array is given."""
        model = self._model
        if out is None:
            out = np.empty(model.vocab_size, np.float32)
        rows = out[None]
        model.head.write(rows, self._row)
        _core.log_softmax(rows, rows)
        return out

    def next_tokens(self, k: int = 5) -> list[tuple[str, float]]:
        """Return the k most likely next tokens with their probabilities, the most likely first."""
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        ids, log_probabilities = self._model.head.top(self._row, k)
        return name_tokens(self._vocabulary, ids[0], log_probabilities[0])

    def copy(self) -> PrefixState:
        """Return an independent state of the same prefix."""
        return PrefixState(self._model, self._vocabulary, self.state.copy(), self._row.copy(), self.tokens)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, PrefixState) and self.state == other.state
                and equal_rows(self._row, other._row))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return PrefixState, (self._model, self._vocabulary, self.state, self._row, self.tokens)

    @property
    def state(self) -> State:
        """The state of the model, which is plain data."""
        return self._stepper.state

    @property
    def logits(self) -> Array:
        """The logits (V,) float32 of the next token."""
        out = np.empty((1, self._model.vocab_size), np.float32)
        self._model.head.write(out, self._row)
        return out[0]


def name_tokens(vocabulary: Vocabulary, ids: Array, log_probabilities: Array) -> list[tuple[str, float]]:
    """Return [(token, probability), ...] for ids (k,) and their log-probabilities (k,) in nats.

    Ids that have no token, as where a vocabulary has gaps, are left out.
    """
    tokens = [vocabulary.name(i) for i in ids.tolist()]
    named = zip(tokens, np.exp(log_probabilities).tolist(), strict=True)
    return [(token, p) for token, p in named if token is not None]
