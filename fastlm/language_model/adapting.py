"""Prefix states, and models that go on learning from what they read."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from fastlm.generation.held import Names
from fastlm.language_model.parts import Parts
from fastlm.models.cache import CACHES, CacheModel
from fastlm.prefix_state import PrefixState
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import one_thread_products


class Adapting(Parts):
    """Begins documents, with or without a cache of what is read."""

    def start(self, adapt: bool = False) -> PrefixState:
        """Return the prefix state at the beginning of a document, from which tokens are read one by one.

        Parameters
        ----------
        adapt : bool, default False
            Whether the state also learns from the tokens that it reads.

        Returns
        -------
        PrefixState

        Example
        -------
        >>> state = lm.start()                                   # doctest: +SKIP
        >>> log_probabilities = state.step("the")                # doctest: +SKIP
        """
        if adapt:
            return self.adapting().start()
        return PrefixState(self.model, self.vocabulary)

    @cached_property
    def _names(self) -> Names:
        """How tokens are written, and which fit the rest of a text."""
        return Names(self.vocabulary)

    def adapting(self) -> Self:
        """Return a language model that learns from each document as it reads it: the one that ``adapt=True`` uses.

        Returns
        -------
        LanguageModel
            A new one around the same vocabulary and weights, with a cache of the document. This one stays as it is.
        """
        model = self.model if isinstance(self.model, CacheModel) else self.adaptive or self._cache()
        return type(self)(self.vocabulary, model, self.history, self.plan, dict(self.card), self.spelling)

    def fit_adapt(self, source: Any, documents: str | None = None, **reading: Any) -> Self:
        """Fit how much ``adapt=True`` trusts the document that is being read, on a text that the model has not seen.

        The model file keeps these weights. Without ``adapt=True`` nothing changes.

        Parameters
        ----------
        source : as in `evaluate`
            Held-out text. The training text will not do: the model knows it too well to need its cache.
        documents : "file", "line" or "blank-line", default None
            What a document is; None for what it was in training.
        reading
            As in `evaluate`.

        Returns
        -------
        LanguageModel
            This one.

        Raises
        ------
        ValueError, TypeError, OSError
            For a text that cannot be read, as in `evaluate`.

        Example
        -------
        >>> lm.fit_adapt("held_out.txt").perplexity("test.txt", adapt=True)     # doctest: +SKIP
        """
        corpus = Corpus.read(source, self.vocabulary, documents or self.documents, **reading)
        inputs, targets, starts = read_and_predict(replace(corpus, boundary=self.boundary))
        with one_thread_products():
            self.adaptive = self._cache().fit(inputs, targets, starts)
        return self

    def _cache(self) -> CacheModel:
        return CacheModel(len(self.vocabulary), self.model, **CACHES[self.vocabulary.unit])
