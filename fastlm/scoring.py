"""The log-likelihood of documents under any prefix model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import InitVar, dataclass
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
    """How well a model predicts a text: by its tokens alone, and with everything else that the text is.

    Of the tokens, as they are compared for one fixed vocabulary (Penn Treebank's figures are such): ``nats``, the
    negative log-likelihood of all of them, where an unknown one counts as ``<unk>``; ``tokens``, how many, ends of
    lines included; ``unknown``, how many the vocabulary lacks; ``per_token`` (tokens,) float64, the loss of each in
    turn, in nats.

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
    per_token: InitVar[Array]
    spelling_nats: float = 0.0
    spacing_nats: float = 0.0
    words: int = 0

    def __post_init__(self, per_token: Array) -> None:
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
        reaches it. Where several sequences of pieces spell the same text, it is that of the one that is read.
        """
        return self.total_nats / math.log(2) / self.bytes if self.bytes else math.nan

    @property
    def perplexity_per_word(self) -> float:
        """exp(total_nats / words), which compares models of any unit and vocabulary; nan where there are no words."""
        return float(np.exp(self.total_nats / self.words)) if self.words else math.nan


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
