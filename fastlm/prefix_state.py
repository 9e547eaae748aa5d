"""A document being read: the state of one prefix under a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    __slots__ = ("_language_model", "_logits", "state", "tokens")

    def __init__(self, language_model: LanguageModel, state: State, logits: Array, tokens: int = 0) -> None:
        self._language_model = language_model
        self.state = state
        self._logits = logits
        self.tokens = tokens

    def step(self, token: str | int) -> Array:
        """Reads one token, by its text or its id; returns `log_probabilities()` of what follows it.

        A text that is no token of the vocabulary is read as ``<unk>``. Raises ValueError for a text of more or less
        than one token, IndexError for an id outside the vocabulary.
        """
        if isinstance(token, str):
            ids = self._language_model.vocabulary.encode(token)
            if len(ids) != 1:
                raise ValueError(f"{token!r} is {len(ids)} tokens; step reads one, read() any number")
            token = int(ids[0])
        rows, self.state = self._language_model.model.step(self.state, int(token))
        self._logits = rows[0]
        self.tokens += 1
        return self.log_probabilities()

    def read(self, text: str) -> Array:
        """Reads a text of any number of tokens; returns `log_probabilities()` of what follows it."""
        return self.read_ids(self._language_model.vocabulary.encode(text))

    def read_ids(self, ids: Array) -> Array:
        """Reads ids (n,) in one pass."""
        model = self._language_model.model
        ids = model.check(ids)
        for first in range(0, len(ids), 256):
            part = ids[first: first + 256]
            logits, self.state = model.forward(Batch(part, np.ones(len(part), np.uintp), 1), self.state)
            self._logits = logits.value[-1].copy()
        self.tokens += len(ids)
        return self.log_probabilities()

    def log_probabilities(self) -> Array:
        """log p of every next token (V,) float32, in nats."""
        out = np.empty((1, len(self._logits)), np.float32)
        _core.log_softmax(out, np.ascontiguousarray(self._logits, np.float32)[None, :])
        return out[0]

    def next_tokens(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest next tokens with their probabilities, likeliest first."""
        return self._language_model.top(self.log_probabilities(), k)

    def copy(self) -> PrefixState:
        """An independent twin."""
        return PrefixState(self._language_model, self.state.copy(), self._logits.copy(), self.tokens)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, PrefixState) and self.state == other.state
                and np.array_equal(self._logits, other._logits))

    __hash__ = None  # type: ignore[assignment]

    @property
    def logits(self) -> Array:
        """The model's logits (V,) for the next token."""
        return self._logits
