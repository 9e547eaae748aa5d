"""Vocabularies and tokenizers, each made of the other."""

from __future__ import annotations

from typing import Any

from fastlm.text.tokenizers.tokenizer import Tokenizer
from fastlm.text.tokens import TOKENIZER
from fastlm.text.vocabulary import Vocabulary


def with_tokenizer(vocabulary: Vocabulary, tokenizer: Any) -> Vocabulary:
    """Return a vocabulary whose texts are cut by an object: the tokenizer that the vocabulary was made by, given again.

    Raises TypeError for what is no tokenizer, ValueError for one that has other tokens, and for a vocabulary that needs
    none.
    """
    if vocabulary.unit != TOKENIZER or vocabulary.origin is None:
        raise ValueError(f"tokenizer is a {type(tokenizer).__name__}; the model's unit is {vocabulary.unit!r}, which "
                         "needs none")
    origin = vocabulary.origin.given(Tokenizer.of(tokenizer), vocabulary.tokens)
    return Vocabulary(vocabulary.tokens, vocabulary.unit, vocabulary.counts, vocabulary.normalize, None,
                      vocabulary.end_of_document, origin)
