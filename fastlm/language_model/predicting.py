"""The next tokens and words after a context."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch
from fastlm.generation.words import WordSearch, continuations
from fastlm.language_model.adapting import Adapting
from fastlm.prefix_state import PrefixState, name_tokens
from fastlm.scoring.context import last_document
from fastlm.text.tokens import TOKENIZER

Array = np.ndarray


class Predicting(Adapting):
    """Predicts what comes next."""

    def next_tokens(self, context: str, k: int = 5, prefix: str = "") -> list[tuple[str, float]]:
        """Return the most likely next tokens after a context.

        Parameters
        ----------
        context : str
            The beginning of a document; an empty string for none. A word is expected to be whole: "I am a" is followed
            by the next word. `next_words` completes one that has begun.
        k : int, default 5
            How many tokens; at least 1.
        prefix : str, default ""
            Only tokens that begin so. Their probabilities stay those after the context alone.

        Returns
        -------
        list of (str, float)
            Tokens with their probabilities, the most likely first; fewer than k where there are fewer.

        Raises
        ------
        ValueError
            For k below 1, or a context that cannot be encoded.

        Example
        -------
        >>> lm.next_tokens("I am a", k=2)                        # doctest: +SKIP
        [('machine', 0.61), ('man', 0.07)]
        """
        state = self._state_after(context)
        if not prefix:
            return state.next_tokens(k)
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        fit = np.array([id for id, token in enumerate(self.vocabulary.tokens) if (token or "").startswith(prefix)],
                       np.int64)
        log_probabilities = state.log_probabilities()[fit]
        best = np.argsort(-log_probabilities, kind="stable")[:k]
        return name_tokens(self.vocabulary, fit[best], log_probabilities[best])

    def next_words(self, context: str = "", prefix: str = "", k: int = 5) -> list[tuple[str, float]]:
        """Return the most likely next words, whatever the unit of the model is, or ends of a word that has begun.

        Calls whose contexts grow, as while somebody types, read only what is new.

        Parameters
        ----------
        context : str, default ""
            The beginning of a document, whose last word is whole.
        prefix : str, default ""
            What has been typed of the next word.
        k : int, default 5
            How many words; at least 1.

        Returns
        -------
        list of (str, float)
            Whole words that begin with the prefix, the most likely first, with their probabilities given the context
            and the prefix; fewer than k where there are fewer. Of characters, bytes and pieces a word is a run of
            letters, digits, apostrophes and hyphens, of words it is a token.

        Raises
        ------
        ValueError
            For k below 1, or a context that cannot be encoded.

        Example
        -------
        >>> lm.next_words("see you", prefix="t", k=3)            # doctest: +SKIP
        [('tomorrow', 0.31), ('then', 0.2), ('there', 0.11)]
        """
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        state, gap = self._before_word(context)
        return self._words.next_words(state, prefix, k, gap)

    def complete(self, context: str = "", n: int = 3, words: int = 3) -> list[tuple[str, float]]:
        """Return the likeliest continuations of a text by a beam search over words.

        Parameters
        ----------
        context : str, default ""
            The beginning of a document. Where it ends with a letter, that word may be gone on with.
        n : int, default 3
            How many continuations; at least 1.
        words : int, default 3
            How many words each has, the one that is gone on with included; at least 1.

        Returns
        -------
        list of (str, float)
            What follows the context, with its probability given that, the most likely first; fewer than n where there
            are fewer.

        Raises
        ------
        ValueError
            For n or words below 1, or a context that cannot be encoded.

        Example
        -------
        >>> lm.complete("see you to", n=2)                       # doctest: +SKIP
        [('morrow at the', 0.02), ('day and the', 0.01)]
        """
        if n < 1 or words < 1:
            raise ValueError(f"n = {n}, words = {words}; at least 1 each was expected")
        begun = re.search(r"\S*\Z" if self.vocabulary.unit == "word" else r"[\w'\u2019-]*\Z", context)
        typed = begun.group() if begun else ""
        before = context[:len(context) - len(typed)]
        state, gap = self._before_word(before)
        apart = " " if before and not typed and not before[-1].isspace() else ""
        return [(apart + text, p) for text, p in continuations(self._words, state, typed, gap, n, words)]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: not what has been read last, nor the table of words."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_words", "_names")}
        return kept | {"_last_read": ("", None)}

    @cached_property
    def _words(self) -> WordSearch:
        return WordSearch(self.vocabulary, self._names)

    def _before_word(self, context: str) -> tuple[PrefixState, bool]:
        """Return the state after a context whose last word is whole, and whether a blank is still to come."""
        context, unit = last_document(context, self.documents), self.vocabulary.unit
        if unit in ("piece", TOKENIZER) and context.endswith(" "):
            return self._state_after(context[:-1]), True    # a piece begins with the blank before its word
        return self._state_after(context), unit != "word" and bool(context) and not context[-1].isspace()

    def _state_after(self, context: str) -> PrefixState:
        """Return the state after a context, which the last one may be the beginning of."""
        read, state = self._last_read
        more = context[len(read):]
        whole = not more or more[0].isspace() or not read or (
            self.vocabulary.unit in ("char", "byte") and not unicodedata.combining(more[0]))
        if state is None or not context.startswith(read) or not whole:
            more, state = context, self.start()
        state = state.copy()
        state.advance_ids(self.vocabulary.read(more))
        self._last_read = context, state
        return state.copy()

    def predict_all(self, text: str, k: int | None = 5) -> Any:
        """Predict the next token after every prefix of a text, in one pass.

        Parameters
        ----------
        text : str
            The beginning of a document, of n tokens.
        k : int, default 5
            How many tokens after each prefix; at least 1. None for the probabilities of all tokens.

        Returns
        -------
        list of n lists of (str, float), or array (n, V) float32
            Item j is what follows the first j + 1 tokens: the k most likely tokens, as `next_tokens` returns them, or
            with k=None the probabilities of all V tokens of the vocabulary.

        Raises
        ------
        ValueError
            For k below 1, or a text that cannot be encoded.

        Example
        -------
        >>> lm.predict_all("I am a machine", k=1)[1]             # doctest: +SKIP
        [('a', 0.34)]
        """
        if k is not None and k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        ids, head, state = self.vocabulary.read(text), self.model.head, self.start().state
        together = self.model.rows_together()
        together = together if k else max(1, min(together, (1 << 22) // len(self.vocabulary)))
        likeliest: list[list[tuple[str, float]]] = []
        p = np.empty((0 if k else len(ids), len(self.vocabulary)), np.float32)
        for first in range(0, len(ids), together):
            part = ids[first: first + together]
            x, state = self.model.forward(Batch.one(part), state)
            if k:
                likeliest += [name_tokens(self.vocabulary, *row) for row in zip(*head.top(x.value, k), strict=True)]
            else:
                _core.log_softmax(p[first: first + together], head.logits(x).value)
        return likeliest if k else np.exp(p, out=p)

    def top(self, log_probabilities: Array, k: int) -> list[tuple[str, float]]:
        """Name the most likely of the log-probabilities that a `PrefixState` returns.

        Parameters
        ----------
        log_probabilities : array (V,) float32
            Of every token of the vocabulary, in nats.
        k : int
            How many tokens; at least 1.

        Returns
        -------
        list of (str, float)
            Tokens with their probabilities, the most likely first.

        Raises
        ------
        ValueError
            For k below 1.

        Example
        -------
        >>> lm.top(lm.start().step("the"), k=3)                  # doctest: +SKIP
        """
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        best = _core.top_k(np.ascontiguousarray(log_probabilities, np.float32), min(k, len(log_probabilities)))
        return name_tokens(self.vocabulary, best, log_probabilities[best])

    # adapting -----------------------------------------------------------------------------------------------------
