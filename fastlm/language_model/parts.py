"""What a language model is made of."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from fastlm.coding.spelling import Spelling
from fastlm.models.base import PrefixModel
from fastlm.models.cache import CacheModel
from fastlm.prefix_state import PrefixState
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.history import History, Plan


class Parts:
    """The vocabulary and the model of a `LanguageModel`, and what is known of both; the arguments are documented there.
    """

    def __init__(self, vocabulary: Vocabulary, model: PrefixModel, history: History | None = None,
                 plan: Plan | None = None, card: dict[str, Any] | None = None,
                 spelling: Spelling | None = None) -> None:
        if len(vocabulary) != model.vocab_size:
            raise ValueError(f"the vocabulary has {len(vocabulary)} ids and the model {model.vocab_size}; equal "
                             "numbers were expected")
        self.vocabulary, self.model = vocabulary, model
        self.history, self.plan, self.card = History() if history is None else history, plan, card or {}
        self.adaptive: CacheModel | None = None     # the cache model whose weights `fit_adapt` has fitted
        self.learnt_spelling = spelling
        self._last_read: tuple[str, PrefixState | None] = "", None

    @cached_property
    def spelling(self) -> Spelling:
        """How unknown tokens are spelt, and words spaced: as the text of the training has it, or as the vocabulary
        shows by itself."""
        learnt = self.learnt_spelling or Spelling.of_vocabulary(self.vocabulary)
        return learnt.beside(self.vocabulary)

    @property
    def boundary(self) -> int:
        """The id that is read before the first token of every document."""
        return self.vocabulary.boundary

    @property
    def documents(self) -> str:
        """What a document was in training: "file", "line" or "blank-line"; "file" where the card does not say."""
        return str(self.card.get("documents", "file"))

    def _end(self) -> int | None:
        """Return the id that ends a document, None where none does."""
        if self.vocabulary.end_of_document is None and self.documents == "line":
            return self.vocabulary.end_of_line
        return self.vocabulary.end_of_document

    def __repr__(self) -> str:
        return f"<LanguageModel of {len(self.vocabulary):,} {self.vocabulary.unit}s: {self.model!r}>"
