"""The log-likelihood of documents under any prefix model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch, State
from fastlm.models import Factored, KneserNey, Mixture, PrefixModel
from fastlm.workers import Workers, stop_if_asked

if TYPE_CHECKING:
    from fastlm.text.blocks import Block

Array = np.ndarray
TOGETHER = 32        # documents, or runs of short ones, that are read side by side
LONG = 256           # tokens of documents that are not joined to others; an assumption
PART = 1 << 16       # tokens of a very long document that one thread scores, about; an assumption
LAST = 1 << 10       # tokens before it from which its state is guessed; an assumption
AHEAD = 16           # parts of a document whose rows are in memory while they are predicted from; an assumption
_FIGURES = 7         # of a document


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text: by its tokens alone, and with everything else that the text is.

    Of the tokens, as they are compared for one fixed vocabulary (Penn Treebank's figures are such): ``nats``, the
    negative log-likelihood of all of them, where an unknown one counts as ``<unk>``; ``tokens``, how many, ends of
    lines included; ``unknown``, how many the vocabulary lacks; ``per_token`` (tokens,) float64, the loss of each in
    turn, in nats; None where it was not asked for.

    Of exactly the bytes of the text, to compare models of any vocabulary and unit: ``spelling_nats``, what unknown
    tokens cost beyond ``<unk>``, which is how they are spelt, less where a model that has never seen one gives it too
    little; ``spacing_nats``, which white space stands between words; ``bytes``, the text as UTF-8; ``words``,
    its blank-separated words and ends of lines. ``total_nats`` is all three together, which an arithmetic coder needs
    too; `bits_per_byte` and `perplexity_per_word` follow from it.

    Scores are equal where their figures are. ``dataclasses.asdict`` gives the figures without ``per_token``.

    >>> Score(nats=4 * np.log(2), tokens=2, unknown=0, bytes=4, per_token=np.full(2, 2 * np.log(2))).perplexity
    4.0
    """

    nats: float
    tokens: int
    unknown: int
    bytes: int
    per_token: InitVar[Array | None] = None
    spelling_nats: float = 0.0
    spacing_nats: float = 0.0
    words: int = 0

    def __post_init__(self, per_token: Array | None) -> None:
        object.__setattr__(self, "per_token", per_token)   # no field: it is no figure, and does not compare

    @property
    def nats_per_token(self) -> float:
        """Mean loss of a token in nats, by the closed vocabulary; nan where there are no tokens."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(nats_per_token), of the closed vocabulary. It does not compare models of different vocabularies."""
        return float(np.exp(self.nats_per_token))

    @property
    def total_nats(self) -> float:
        """-log of the likelihood of exactly these bytes, given how many they are: tokens, spellings and spacing."""
        return self.nats + self.spelling_nats + self.spacing_nats

    @property
    def bits_per_byte(self) -> float:
        """The bits that an ideal coder needs for exactly this text, divided by its bytes; nan where there are none.

        It compares models of any unit and vocabulary. An arithmetic coder driven by the model, `fastlm.compress`,
        reaches it. Where several sequences of pieces spell the same text, it is that of the one that is read. With a
        tokenizer that changes texts, or has an unknown token, it is only that of what the tokenizer keeps.
        """
        return self.total_nats / math.log(2) / self.bytes if self.bytes else math.nan

    @property
    def perplexity_per_word(self) -> float:
        """exp(total_nats / words), which compares models of any unit and vocabulary; nan where there are no words."""
        return float(np.exp(self.total_nats / self.words)) if self.words else math.nan


def score_documents(model: PrefixModel, inputs: Array, targets: Array, offsets: Array, workers: Workers,
                    together: int = TOGETHER, long: int = LONG) -> Array:
    """Return the loss -ln p (N,) float64 of every target of documents that follow one another; 0 for a target -1.

    inputs (N,) int32: each document, inputs[offsets[d]:offsets[d+1]] of offsets (D+1,), is read from an empty prefix;
    targets (N,) int32: the token after each input. Documents of `long` tokens or more are scored one by one, or
    `together` of them side by side; shorter ones are joined to runs, several documents after one another, of which as
    many are read side by side. Very long ones are scored as `score_long` does, for networks where there is but one. The
    figures do not depend on the number of threads.
    """
    out, sizes = np.zeros(len(inputs)), np.diff(offsets)
    alone = np.flatnonzero(sizes >= long)
    # Networks read several documents side by side in less time than one after the other.
    in_parts = (sizes[alone] >= 2 * PART) & (state_is_recent(model) or len(alone) == 1)
    for d in alone[in_parts].tolist():
        span = slice(offsets[d], offsets[d + 1])
        out[span] = score_long(model, inputs[span], targets[span], None, workers)[0]
    grouped = alone[~in_parts]
    order = grouped[np.argsort(-sizes[grouped], kind="stable")].tolist()
    groups: list[list[slice]] = [[slice(offsets[d], offsets[d + 1]) for d in order[first: first + together]]
                                 for first in range(0, len(order), together)]
    length = max(long, model.rows_together() // together)
    runs = [run for first, last in pairwise([-1, *alone.tolist(), len(sizes)])
            for run in _runs(offsets[first + 1: last + 1], length)]
    groups += [runs[first: first + together] for first in range(0, len(runs), together)]
    starts = np.zeros(len(inputs), np.uint8)
    starts[offsets[:-1][sizes > 0]] = 1

    def score_group(group: list[slice]) -> None:
        stepped = []
        for span in group:
            x, y = inputs[span], targets[span]
            if not starts[span][1:].any() and model.scores_directly(x, y):
                out[span] = model.score(x, y)
            else:
                stepped.append(span)
        if stepped:
            nll = score_together(model, *([array[span] for span in stepped] for array in (inputs, targets, starts)))
            for span, array in zip(stepped, nll, strict=True):
                out[span] = array
    workers.map(score_group, groups)
    return out


def state_is_recent(model: PrefixModel) -> bool:
    """Return whether a model's state depends on little more than the last tokens: n-grams, and several of them mixed.

    >>> state_is_recent(KneserNey(9, order=3))
    True
    """
    if isinstance(model, Mixture):
        return all(map(state_is_recent, model.parts))
    return isinstance(model, KneserNey | Factored)


def score_long(model: PrefixModel, inputs: Array, targets: Array, state: State | None, workers: Workers,
               part: int = PART, last: int = LAST) -> tuple[Array, State | None]:
    """Return what `model.score_on` does, part by part on all threads.

    For n-grams the state before a part of about `part` tokens is guessed: it is what the `last` tokens before it give
    by themselves. Each guess is then compared with the state that the part before has reached, and where it is wrong,
    as within a word of a thousand letters that n-grams ask for, the part is scored anew. Other models are scored as
    `score_ahead` does. The figures do not depend on the number of threads.
    """
    together = model.rows_together()
    length = -(-part // together) * together
    parts = [slice(first, first + length) for first in range(0, len(inputs), length)]
    if not state_is_recent(model) and type(model).score_on is PrefixModel.score_on:
        return score_ahead(model, inputs, targets, state, workers)
    if len(parts) < 2 or not state_is_recent(model):
        return model.score_on(inputs, targets, state)

    def score_part(span: slice) -> tuple[State | None, Array, State | None]:
        before = slice(max(0, span.start - last), span.start)
        begin = model.score_on(inputs[before], targets[before], None)[1] if span.start else state
        return begin, *model.score_on(inputs[span], targets[span], begin)
    found = workers.map(score_part, parts) if workers.threads > 1 else [None] * len(parts)
    nats, reached = np.empty(len(inputs)), state
    for span, guessed in zip(parts, found, strict=True):
        if guessed is not None and guessed[0] == reached:
            nats[span], reached = guessed[1:]
        else:
            nats[span], reached = model.score_on(inputs[span], targets[span], reached)
    return nats, reached


def score_ahead(model: PrefixModel, inputs: Array, targets: Array, state: State | None,
                workers: Workers) -> tuple[Array, State | None]:
    """Return what `PrefixModel.score_on` does: the rows of some parts are computed one after the other, which takes
    little of the time, and are then predicted from on all threads."""
    nats, together = np.empty(len(inputs)), model.rows_together()
    parts = [slice(first, first + together) for first in range(0, len(inputs), together)]

    def predict(span: slice, rows: Any) -> None:
        with Tape(record=False):
            nats[span] = model.head.nats(rows, targets[span])
    for first in range(0, len(parts), AHEAD):
        some, rows = parts[first: first + AHEAD], []
        for span in some:
            stop_if_asked()
            of_part, state = model.forward(Batch.one(inputs[span]), state)
            rows.append(of_part)
        workers.map(predict, some, rows)
    return nats, state


def score_blocks(model: PrefixModel, blocks: Iterable[Block], boundary: int,
                 workers: Workers) -> Iterator[tuple[Block, Array]]:
    """Yield every block of a text with the losses (N,) of its tokens; documents are read after the boundary token.

    A document that goes on in the next block is scored from the state that it has reached.
    """
    state: State | None = None
    last = boundary
    for block in blocks:
        ids, inputs = block.ids, np.empty_like(block.ids)
        inputs[1:] = ids[:-1]
        inputs[block.offsets[:-1][np.diff(block.offsets) > 0]] = boundary
        begin = int(block.offsets[1]) if block.goes_on else 0
        end = max(begin, int(block.offsets[-2])) if block.unended else len(ids)
        if begin:
            inputs[0] = last
        nats = np.empty(len(ids))
        nats[:begin], state = score_long(model, inputs[:begin], ids[:begin], state, workers)
        middle = block.offsets[block.goes_on: len(block.offsets) - block.unended]
        nats[begin:end] = score_documents(model, inputs[begin:end], ids[begin:end], middle - begin, workers)
        if not (block.goes_on and block.unended and len(block.offsets) == 2):
            state, last = None, boundary
        if end < len(ids):
            nats[end:], state = score_long(model, inputs[end:], ids[end:], None, workers)
        if block.unended and len(ids) > block.offsets[-2]:
            last = int(ids[-1])
        yield block, nats


Scored = Iterable[tuple["Block", Array]]
Escape = Callable[["Block", Array], Array]


def total(scored: Scored, escape: Escape, per_token: bool) -> Score:
    """Return the figures of all blocks that `score_blocks` yields together.

    The blocks' own figures are the nats of spelling and of spacing and the words of each document. escape: returns for
    a block and its losses what each token costs more, (N,), because unknown ones are spelt. per_token: whether to keep
    every loss. Raises ValueError where the blocks hold no token.
    """
    figures, kept = np.zeros(_FIGURES), []
    for block, losses in scored:
        figures += _by_document(block, losses, escape).sum(1)
        if per_token:
            kept.append(losses)
    if not figures[1]:
        raise ValueError("the corpus is empty: there is no token in it")
    return _score(figures.tolist(), np.concatenate(kept) if per_token else None)


def by_document(scored: Scored, escape: Escape) -> Iterator[Score]:
    """Yield the figures of one document after another of the blocks that `score_blocks` yields, of empty ones too; the
    arguments are those of `total`."""
    before = np.zeros(_FIGURES)   # of the document that goes on in the next block
    for block, losses in scored:
        figures = _by_document(block, losses, escape)
        figures[:, 0] += before
        ended = figures.shape[1] - block.unended
        before = figures[:, -1].copy() if block.unended else np.zeros(_FIGURES)
        for one in figures[:, :ended].T.tolist():
            yield _score(one)


def _by_document(block: Block, losses: Array, escape: Escape) -> Array:
    """Return the figures (7, D) of each document: nats, tokens, unknown, bytes, spelling, spacing, words."""
    nats, more = (np.diff(np.concatenate([[0.0], np.cumsum(values)])[block.offsets])
                  for values in (losses, escape(block, losses)))
    spelling, spacing, words = block.figures
    unknown = np.diff(np.searchsorted(block.unknown_at, block.offsets))
    return np.stack([nats, np.diff(block.offsets), unknown, block.bytes, spelling + more, spacing, words])


def _score(figures: Sequence[float], per_token: Array | None = None) -> Score:
    nats, tokens, unknown, size, spelling, spacing, words = figures
    return Score(nats, int(tokens), int(unknown), int(size), per_token, spelling, spacing, int(words))


def _runs(offsets: Array, length: int) -> list[slice]:
    """Return runs of whole documents, which begin and end at offsets, of about `length` tokens each."""
    if len(offsets) < 2 or offsets[0] == offsets[-1]:
        return []
    cuts = np.searchsorted(offsets, np.arange(offsets[0] + length, offsets[-1], length))
    ends = {*offsets[cuts].tolist(), int(offsets[0]), int(offsets[-1])}   # np.unique would import numpy.ma, 30 ms
    return [slice(first, last) for first, last in pairwise(sorted(ends))]


def score_together(model: PrefixModel, inputs: Sequence[Array], targets: Sequence[Array],
                   starts: Sequence[Array] | None = None) -> list[Array]:
    """Return the loss -ln p of every target of sequences, a float64 array for each, by `model.forward` over all of them
    side by side.

    inputs, targets: int32 arrays, one of each for a sequence; starts: uint8, 1 where a document begins; None where that
    is at the beginning of each sequence alone.
    """
    tape = Tape(record=False)
    state: State | None = None
    out = [np.empty(len(sequence)) for sequence in targets]
    head = model.head
    steps = max(1, model.rows_together() // len(inputs))
    for first in range(0, max(map(len, inputs)), steps):
        stop_if_asked()   # here too, since documents may be long
        part = slice(first, first + steps)
        batch = Batch.of([sequence[part] for sequence in inputs])
        wanted = Batch.of([sequence[part] for sequence in targets]).ids
        if starts is not None:
            batch.starts = Batch.of([sequence[part] for sequence in starts]).ids.astype(np.uint8)
        with tape:
            rows, state = model.forward(batch, state)
            for index, nll in enumerate(batch.unpack(head.nats(rows, wanted))):
                out[index][part] = nll
    return out
