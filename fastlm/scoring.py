"""The log-likelihood of documents under any prefix model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray
_TOGETHER = 32       # documents, or runs of short ones, that are read side by side
_LONG = 256          # tokens of documents that are not joined to others; an assumption


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text. Every token counts once, end-of-line tokens included.

    ``nats``: the negative log-likelihood of the whole text; ``tokens``: how many tokens were scored; ``unknown``: how
    many of them are not in the vocabulary and were scored as ``<unk>``; ``bytes``: UTF-8 bytes of the text;
    ``per_token`` (tokens,) float64: the loss of each token in turn, in nats.

    >>> Score(nats=4 * np.log(2), tokens=2, unknown=0, bytes=4, per_token=np.full(2, 2 * np.log(2))).perplexity
    4.0
    """

    nats: float
    tokens: int
    unknown: int
    bytes: int
    per_token: Array = field(repr=False)

    @property
    def nats_per_token(self) -> float:
        """Mean loss of a token in nats; nan where there are no tokens."""
        return self.nats / self.tokens if self.tokens else float("nan")

    @property
    def perplexity(self) -> float:
        """exp(nats_per_token). It does not compare models of different vocabularies."""
        return float(np.exp(self.nats_per_token))

    @property
    def bits_per_byte(self) -> float:
        """-log2 of the likelihood, divided by the bytes of the text; nan where there are none.

        This compares models that predict every byte of the text: character and byte models of any alphabet where
        ``unknown`` is 0. It does **not** compare word models of different vocabularies: an unknown word pays only for
        ``<unk>`` and not for its spelling, and the kind of whitespace between words is not predicted at all, so a
        smaller vocabulary looks better than it is.
        """
        return self.nats / np.log(2) / self.bytes if self.bytes else float("nan")


def score_documents(model: PrefixModel, inputs: Array, targets: Array, offsets: Array, workers: Workers) -> Array:
    """Return the loss -ln p (N,) float64 of every target of documents that follow one another; 0 for a target -1.

    inputs (N,) int32: each document, inputs[offsets[d]:offsets[d+1]] of offsets (D+1,), is read from an empty prefix;
    targets (N,) int32: the token after each input. Long documents are scored one by one, or side by side; short ones
    are joined to runs, several documents after one another, which are read side by side. The figures do not depend on
    the number of threads.
    """
    out, sizes = np.zeros(len(inputs)), np.diff(offsets)
    long = np.flatnonzero(sizes >= _LONG)
    order = long[np.argsort(-sizes[long], kind="stable")].tolist()
    groups: list[list[slice]] = [[slice(offsets[d], offsets[d + 1]) for d in order[first: first + _TOGETHER]]
                                 for first in range(0, len(order), _TOGETHER)]
    length = max(_LONG, model.rows_together() // _TOGETHER)
    runs = [run for first, last in pairwise([-1, *long.tolist(), len(sizes)])
            for run in _runs(offsets[first + 1: last + 1], length)]
    groups += [runs[first: first + _TOGETHER] for first in range(0, len(runs), _TOGETHER)]
    starts = np.zeros(len(inputs), np.uint8)
    starts[offsets[:-1][sizes > 0]] = 1

    def score_group(group: list[slice]) -> None:
        together = []
        for span in group:
            x, y = inputs[span], targets[span]
            if not starts[span][1:].any() and model.scores_directly(x, y):
                out[span] = model.score(x, y)
            else:
                together.append(span)
        if together:
            nll = score_together(model, *([array[span] for span in together] for array in (inputs, targets, starts)))
            for span, array in zip(together, nll, strict=True):
                out[span] = array
    workers.map(score_group, groups)
    return out


def _runs(offsets: Array, length: int) -> list[slice]:
    """Return runs of whole documents, which begin and end at offsets, of about `length` tokens each."""
    if len(offsets) < 2 or offsets[0] == offsets[-1]:
        return []
    cuts = np.searchsorted(offsets, np.arange(offsets[0] + length, offsets[-1], length))
    ends = np.unique(np.concatenate([offsets[:1], offsets[cuts], offsets[-1:]]))
    return [slice(first, last) for first, last in pairwise(ends.tolist())]


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
