"""Where the tokens of a text stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from fastlm.text.tokens import TOKENIZER
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_BLANKS = {b" ", b"\t", b"\n", b"\v", b"\f", b"\r"}
_WORDS = re.compile(rb"\n|[^ \t\n\v\f\r]+")
_WORDS_WITH_TABS = re.compile(rb"\n|[^ \t\n\r]+")   # see `Vocabulary.tabs_inside`
_BEFORE = 4          # tokens by which a tokenizer tells how the next one is written
_CHARACTER = 8       # tokens that a character may take at most


def spans(vocabulary: Vocabulary, text: bytes, ids: Array) -> tuple[Array, Array]:
    """Return where each of the ids (n,) of a text begins and ends in it, in characters, (n,) int64 each.

    The token is text[begin:end]. Ends of lines and documents that are not written are empty, and so are the first
    pieces of a character that is made of several, which belongs to the last one.

    >>> [each.tolist() for each in spans(Vocabulary(["a", "\\n", "bc"]), b"a  bc", np.array([0, 2, 1]))]
    [[0, 3, 5], [1, 5, 5]]
    """
    begin, end = _of_words(vocabulary, text, ids) if vocabulary.unit == "word" else _of_parts(vocabulary, text, ids)
    # How many characters are whole up to each byte.
    first = np.frombuffer(text, np.uint8) & 0xC0 != 0x80
    whole = np.concatenate([[0], np.cumsum(np.append(first[1:], True))]) if len(text) else np.zeros(1, np.int64)
    return whole[begin], np.maximum(whole[begin], whole[end])


def _of_words(vocabulary: Vocabulary, text: bytes, ids: Array) -> tuple[Array, Array]:
    found = (_WORDS_WITH_TABS if vocabulary.tabs_inside else _WORDS).finditer(text)
    match, out = next(found, None), []
    for id in ids.tolist():
        ends_line = id == vocabulary.end_of_line
        while match is not None and not ends_line and match.group() == b"\n":
            match = next(found, None)             # an end of line that is no token
        if match is None or id == vocabulary.end_of_document or (ends_line and match.group() != b"\n"):
            at = len(text) if match is None else match.start()
            out.append((at, at))
        else:
            out.append(match.span())
            match = next(found, None)
    return _columns(out)


def _of_parts(vocabulary: Vocabulary, text: bytes, ids: Array) -> tuple[Array, Array]:
    out, at = [], 0
    for written in _written(vocabulary, ids):
        if written is None:                       # an unknown character, which blanks are not where they are known
            while text[at:at + 1] in _BLANKS and text[at:at + 1].decode() in vocabulary:
                at += 1
            size = 1
            while at + size < len(text) and text[at + size] & 0xC0 == 0x80:
                size += 1
        else:
            size = len(written)
            while not text.startswith(written, at) and text[at:at + 1] in _BLANKS:
                at += 1                           # blanks between documents, which are no tokens
        out.append((min(at, len(text)), min(at + size, len(text))))
        at = out[-1][1]
    return _columns(out)


def _written(vocabulary: Vocabulary, ids: Array) -> list[bytes | None]:
    """Return how each token is written, nothing for the end of a document, None for an unknown character."""
    if vocabulary.unit == TOKENIZER:
        return list(_decoded(vocabulary, ids.tolist()))
    special = {vocabulary.end_of_document: b"", vocabulary.unknown: None}
    return [special[id] if id in special else (vocabulary.name(id) or "").encode("utf-8", "surrogateescape")
            for id in ids.tolist()]


def _decoded(vocabulary: Vocabulary, ids: list[int]) -> Iterator[bytes]:
    """Yield how each id is written after the few before it; the last token of a character has all of it."""
    known: list[int] = []
    new: list[int] = []
    for id in ids:
        if id == vocabulary.end_of_document:
            known, new = [], []
            yield b""
            continue
        new.append(id)
        before, text = vocabulary.decode(known), vocabulary.decode(known + new)
        if text.endswith("\ufffd") and len(new) < _CHARACTER:
            yield b""
            continue
        known, new = (known + new)[-_BEFORE:], []
        yield text[len(before):].encode("utf-8", "surrogateescape")


def _columns(pairs: list[tuple[int, int]]) -> tuple[Array, Array]:
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
