"""Documents that are cut already: lists of tokens, and lists of ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlm.text.sources.paths import is_name
from fastlm.text.sources.strings import a_kind, shown, text_bytes
from fastlm.text.tokens import NEWLINE

_MOST_NUMBERS = 1 << 22   # ids of the largest alphabet of tokens that is still named number by number


@dataclass(frozen=True)
class IdLists:
    """Documents that are ids already: an iterator over sequences of integers (n,)."""

    documents: Iterator[Any]


@dataclass(frozen=True)
class TokenLists:
    """Documents that are lists of words."""

    documents: Iterator[Any]


def is_list(item: object) -> bool:
    """Return whether a document is a list of tokens or ids, rather than a text or a mapping."""
    return isinstance(item, list | tuple | range | np.ndarray) or type(item).__name__ == "array"


def of_lists(head: Sequence[Any], documents: Iterator[Any]) -> IdLists | TokenLists:
    """Return what documents that are lists hold, told by the first token of the first of them that has any.

    head: the first documents, which `documents` begins with. Raises TypeError for a token that is neither a word nor an
    integer, and ValueError where all words name files.
    """
    first = next((document[0] for document in head if len(document)), "")
    if isinstance(first, str):
        words = [word for document in head for word in document]
        if words and all(isinstance(word, str) and is_name(word) for word in words):
            raise ValueError(f"documents[0] is a list of names of files, {shown(first)} first; one list of them was "
                             "expected, or words")
        return TokenLists(documents)
    if isinstance(first, int | np.integer) and not isinstance(first, bool):
        return IdLists(documents)
    raise TypeError(f"documents[0] holds {a_kind(first)}; words or ids were expected in a list of lists")


def joined(tokens: Any, name: str, unit: str) -> bytes:
    """Return a list of words as a text with spaces between them. Raises TypeError for a unit that is not words, and for
    what is no string; ValueError for a word with whitespace in it, and for an empty one.

    >>> joined(["the", "cat"], "documents[0]", "word")
    b'the cat'
    """
    if unit != "word":
        raise TypeError(f'{name} is a list of tokens, which unit="word" reads; a text was expected for unit="{unit}"')
    words = list(tokens)
    for n, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"{name}: token {n} is {a_kind(word)}; a word was expected")
    text = text_bytes(" ".join(words), name, unit)
    if len(text.split()) != len(words):
        for n, word in enumerate(words):
            if word != "\n" and len(word.encode().split()) != 1:
                raise ValueError(f"{name}: token {n} is {shown(word)}; a word without whitespace was expected")
    return text


def named_by_numbers(ids: np.ndarray, end: int | None = None) -> tuple[list[str], str, np.ndarray]:
    """Return the tokens, the unit and the counts (V,) of a vocabulary that names each of the ids (n,), from 0 to the
    largest, by its number.

    end: the id that ends documents, which is named "\\n"; None for one after the largest. Raises ValueError where the
    largest id is far above the number of ids.

        >>> named_by_numbers(np.array([2, 0, 2]))
        (['0', '1', '2', '\\n'], 'word', array([1, 0, 2, 0]))
    """
    largest = max(int(ids.max(initial=-1)), -1 if end is None else end)
    if largest > max(_MOST_NUMBERS, len(ids)):
        raise ValueError(f"the largest of {len(ids):,} ids is {largest:,}; ids from 0 to about the number of different "
                         "tokens were expected")
    tokens = [*map(str, range(largest + 1)), *([NEWLINE] if end is None else [])]
    tokens[-1 if end is None else end] = NEWLINE
    return tokens, "word", np.bincount(ids, minlength=len(tokens))
