"""Ids that are drawn, as text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from fastlm.text.tokens import RAW_UNITS, TOKENIZER
from fastlm.text.vocabulary import Vocabulary

_CONTEXT = 4     # tokens before a new one by which a tokenizer tells how that is written, a blank before it for example
_CHARACTER = 8   # tokens that a character may take at most; after more, what is no character is written as U+FFFD


def texts_of(vocabulary: Vocabulary, ids: Iterator[int], count: int, prompt: str, held: int = 0,
             end: int | None = None, documents: int | None = None) -> Iterator[str]:
    """Yield the text of the first `count` ids, whole characters at a time; where a document ends a line ends too.

    prompt: the text before, after which a space stands before a first word. held: bytes at the end of the prompt that
    are drawn again; pieces of nothing else do not count. end: the id that ends a document; documents: after how many of
    them the text ends, None for no end. The end of the last one is not written.
    """
    limited = _Documents(ids, end, documents)
    if vocabulary.unit == TOKENIZER:
        pieces = _decoded(vocabulary, limited, count, prompt)
    else:
        pieces = _joined(vocabulary, limited, count, prompt, held)
    yield from _without_last_end(pieces, limited) if documents else pieces


class _Documents:
    """Ids up to the end of so many documents; ``ended``: whether all of them have ended."""

    def __init__(self, ids: Iterator[int], end: int | None, documents: int | None) -> None:
        self._ids, self._end, self._left, self.ended = ids, end, documents, False

    def __iter__(self) -> Iterator[int]:
        for id in self._ids:
            if id == self._end and self._left is not None:
                self._left -= 1
                if not self._left:
                    self.ended = True
                    return
            yield id


def _without_last_end(pieces: Iterator[str], documents: _Documents) -> Iterator[str]:
    """Yield pieces, but for the end of the last line where that ends the last document."""
    kept = ""
    for piece in pieces:
        piece = kept + piece
        kept = "\n" if piece.endswith("\n") else ""
        if piece := piece[:len(piece) - len(kept)]:
            yield piece
    if kept and not documents.ended:
        yield kept


def _joined(vocabulary: Vocabulary, ids: _Documents, count: int, prompt: str, held: int) -> Iterator[str]:
    apart = bool(prompt) and not prompt[-1].isspace()
    line_ended = False
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    drawn = iter(ids)
    while count > 0 and (i := next(drawn, None)) is not None:
        token = vocabulary.tokens[i] or ""
        count -= held < len(token.encode("utf-8", "surrogateescape")) or not held
        if i == vocabulary.end_of_document:
            piece = decoder.decode(b"", True)
            piece += "" if line_ended and not piece else "\n"
        elif vocabulary.unit in RAW_UNITS:
            raw = token.encode("utf-8", "surrogateescape")
            piece = decoder.decode(raw[held:])
            held = max(0, held - len(raw))
        elif vocabulary.unit == "word" and token != "\n":
            piece, apart = (" " if apart else "") + token, True
        else:
            piece, apart = token, False
        if piece:
            line_ended = piece.endswith("\n")
            yield piece


def _decoded(vocabulary: Vocabulary, ids: _Documents, count: int, prompt: str) -> Iterator[str]:
    """Yield the text of ids as the user's tokenizer decodes them, each after the few before it."""
    known = vocabulary.read(prompt).tolist()[-_CONTEXT:] if prompt else []
    new: list[int] = []
    line_ended = False
    for _, i in zip(range(count), ids, strict=False):
        if i == vocabulary.end_of_document:
            if not line_ended:
                yield "\n"
            known, new, line_ended = [], [], True
            continue
        new.append(i)
        before, text = vocabulary.decode(known), vocabulary.decode(known + new)
        if text.endswith("\ufffd") and len(new) < _CHARACTER:
            continue
        known, new = (known + new)[-_CONTEXT:], []
        if text[len(before):]:
            line_ended = text.endswith("\n")
            yield text[len(before):]


def until(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield pieces of a text up to the first of some strings in it; what may be its beginning is kept back.

    >>> "".join(until(iter(["a b", "c ", "d. e", "f"]), ["d.", "ef"]))
    'a bc '
    """
    if not stops:
        yield from pieces
        return
    kept = ""
    for piece in pieces:
        kept += piece
        found = min((at for stop in stops if (at := kept.find(stop)) >= 0), default=-1)
        if found >= 0:
            if found:
                yield kept[:found]
            return
        begun = max(_begun(kept, stop) for stop in stops)
        if len(kept) > begun:
            yield kept[:len(kept) - begun]
            kept = kept[len(kept) - begun:]
    if kept:
        yield kept


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text begin a string."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
