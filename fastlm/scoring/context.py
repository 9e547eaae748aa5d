"""The figures of a text after a context: -log p(text | context)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from fastlm.batch import Batch
from fastlm.models import PrefixModel
from fastlm.scoring.documents import score_blocks
from fastlm.text.blocks import Block, Meter, read_blocks
from fastlm.text.scan import IdBuffer
from fastlm.text.sources.containers import texts
from fastlm.text.sources.strings import text_bytes
from fastlm.text.vocabulary import Vocabulary
from fastlm.workers import Workers

Array = np.ndarray
_ENDS = {"line": re.compile("\n"), "blank-line": re.compile("\n[ \t\r]*\n")}   # of documents


def score_after(model: PrefixModel, vocabulary: Vocabulary, context: str, text: str, documents: str,
                meter: Callable[[], Meter], workers: Workers, end: bool = True) -> Iterator[tuple[Block, Array]]:
    """Yield the blocks of a text with the losses (N,) of its tokens after a context.

    It is -log p(context text) + log p(context): both are read as the beginning of one document, words with white space
    between them. Where the tokens at the seam are others than those of the context by itself, as where a piece spans
    it, the first loss has the difference. meter: returns a new one. end: whether what ends a document counts too; if
    not, the text is the beginning of one that goes on. Raises ValueError for an empty text.
    """
    context = last_document(context, documents)
    if vocabulary.unit == "word" and context and not context[-1].isspace() and not text[:1].isspace():
        context += " "
    before = vocabulary.read(context)
    blocks = read_blocks(texts([context + text]), vocabulary, documents, meter()) if end \
        else iter([_open_block(vocabulary, context + text, meter())])
    first = next(blocks)
    same = _common(before, first.ids)
    given = np.concatenate([np.array([vocabulary.boundary], np.int32), before[:same]])
    state = model.forward(Batch.one(given[:-1]), None)[1] if same else model.start(1)
    spanned = np.concatenate([given[-1:], before[same:]])
    rest = model.score_on(spanned[:-1], spanned[1:], state)[0].sum() if same < len(before) else 0.0
    after = _without(first, same, context, _figures(meter(), vocabulary, context))
    scored = score_blocks(model, chain([after], blocks), vocabulary.boundary, workers, state, int(given[-1]))
    for block, losses in scored:
        if block is after and len(losses):
            losses[0] -= rest
        yield block, losses


def _open_block(vocabulary: Vocabulary, text: str, meter: Meter) -> Block:
    """Return a text as the beginning of a document that goes on."""
    read, buffer = vocabulary.as_read(text), IdBuffer()
    vocabulary.scan(read, buffer)
    ids = buffer.finish()
    unknown = vocabulary.settle(ids, "the text", read)
    return Block(ids, np.array([0, len(ids)]), False, True, unknown, np.array([len(read)]),
                 _figures(meter, vocabulary, text))


def last_document(context: str, documents: str) -> str:
    """Return what follows the last end of a document in a context.

    >>> last_document("I am\\nyou are", "line"), last_document("I am\\nyou are", "file")
    ('you are', 'I am\\nyou are')
    """
    ends = [match.end() for match in _ENDS[documents].finditer(context)] if documents in _ENDS else []
    return context[ends[-1]:] if ends else context


def _common(a: Array, b: Array) -> int:
    """Return how many ids at the beginning of both are equal."""
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


def _figures(meter: Any, vocabulary: Vocabulary, context: str) -> Array:
    """Return the meter's figures (k, 1) of a document that begins with the context and goes on."""
    whole = context.rstrip() if vocabulary.unit == "word" else context
    ids = vocabulary.read(whole)
    ids = np.where(ids == vocabulary.unknown, -1, ids)
    meter.add(text_bytes(whole, "the context", vocabulary.unit), ids, None, False)
    return meter.take()


def _without(block: Block, tokens: int, context: str, figures: Array) -> Block:
    """Return a block without the first tokens of its first document, which are those of a context."""
    offsets, sizes, of_text = block.offsets.copy(), block.bytes.copy(), block.figures.copy()
    offsets[1:] -= tokens
    sizes[0] -= len(context.encode("utf-8", "surrogateescape"))
    of_text[:, :1] -= figures
    unknown = block.unknown_at[block.unknown_at >= tokens] - tokens
    return replace(block, ids=block.ids[tokens:], offsets=offsets, goes_on=True, unknown_at=unknown, bytes=sizes,
                   figures=of_text)
