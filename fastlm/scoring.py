"""The log-likelihood of documents under any prefix model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray
_TOGETHER = 32       # documents that are read side by side


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


def score_sequences(model: PrefixModel, inputs: Sequence[Array], targets: Sequence[Array],
                    workers: Workers) -> list[Array]:
    """Return the loss -ln p of every target: a float64 array (n,) for each sequence.

    inputs[i] (n,) int32 is read from an empty prefix; targets[i] (n,) int32 holds the token after each input. Sequences
    are sorted by length and read side by side; the figures do not depend on the number of threads.
    """
    order = sorted(range(len(inputs)), key=lambda index: -len(inputs[index]))
    groups = [order[first: first + _TOGETHER] for first in range(0, len(order), _TOGETHER)]
    out: list[Array] = [np.zeros(0)] * len(inputs)

    def score_group(group: list[int]) -> None:
        together = []
        for index in group:
            if model.scores_directly(inputs[index], targets[index]):
                out[index] = model.score(inputs[index], targets[index])
            else:
                together.append(index)
        if together:
            nll = score_together(model, [inputs[index] for index in together], [targets[index] for index in together])
            for index, array in zip(together, nll, strict=True):
                out[index] = array
    workers.map(score_group, groups)
    return out


def score_together(model: PrefixModel, inputs: Sequence[Array], targets: Sequence[Array]) -> list[Array]:
    """Return what `score_sequences` returns, by `model.forward` over all sequences side by side."""
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
        with tape:
            rows, state = model.forward(batch, state)
            for index, nll in enumerate(batch.unpack(head.nats(rows, wanted))):
                out[index][part] = nll
    return out
