"""The log-likelihood of documents under any prefix model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


def score_blocks(model: PrefixModel, blocks: Iterable[Block], boundary: int, workers: Workers,
                 state: State | None = None, last: int | None = None) -> Iterator[tuple[Block, Array]]:
    """Yield every block of a text with the losses (N,) of its tokens; documents are read after the boundary token.

    A document that goes on in the next block is scored from the state that it has reached. state, last: where the first
    block goes on, the state before the last token read, and this token.
    """
    last = boundary if last is None else last
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
