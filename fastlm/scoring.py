"""Log-likelihood of documents under any prefix model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray
_TOGETHER = 32       # documents read side by side


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text. Every target token counts once, end-of-line tokens included.

    ``nats``: -log likelihood in all; ``tokens``: targets scored; ``unknown``: how many of them are outside the
    vocabulary and were scored as ``<unk>``; ``bytes``: UTF-8 bytes of the text; ``per_token`` (tokens,) float64: nats
    of each target in turn.

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
        """Mean nats a target token; nan where there is none."""
        return self.nats / self.tokens if self.tokens else float("nan")

    @property
    def perplexity(self) -> float:
        """exp(nats_per_token)."""
        return float(np.exp(self.nats_per_token))

    @property
    def bits_per_byte(self) -> float:
        """Bits of -log2 likelihood a byte of the text, comparable between vocabularies."""
        return self.nats / np.log(2) / self.bytes if self.bytes else float("nan")


def score_sequences(model: PrefixModel, inputs: Sequence[Array], targets: Sequence[Array],
                    workers: Workers) -> list[Array]:
    """Nats of every target: one float64 array a sequence, as long as its targets.

    inputs[i] (n,) int32 is read token by token from a fresh state; targets[i] (n,) int32 is what follows each.
    Sequences are read side by side, sorted by length; the figures do not depend on the number of threads.
    """
    order = sorted(range(len(inputs)), key=lambda index: -len(inputs[index]))
    groups = [order[first: first + _TOGETHER] for first in range(0, len(order), _TOGETHER)]
    out: list[Array] = [np.zeros(0)] * len(inputs)

    def read(group: list[int]) -> None:
        together = []
        for index in group:
            if model.scores_directly(inputs[index], targets[index]):
                out[index] = model.score(inputs[index], targets[index])
            else:
                together.append(index)
        if together:
            found = _read_together(model, [inputs[index] for index in together], [targets[index] for index in together])
            for index, nats in zip(together, found, strict=True):
                out[index] = nats
    workers.run([lambda group=group: read(group) for group in groups])  # type: ignore[misc]
    return out


def _read_together(model: PrefixModel, inputs: list[Array], targets: list[Array]) -> list[Array]:
    tape = Tape(record=False)
    state: State | None = None
    out = [np.empty(len(sequence)) for sequence in targets]
    head = model.head
    steps = max(1, model.rows_together() // len(inputs))
    for first in range(0, max(map(len, inputs)), steps):
        stop_if_asked()   # documents may be long
        part = slice(first, first + steps)
        batch = Batch.of([sequence[part] for sequence in inputs])
        wanted = np.empty(len(batch), np.int32)
        packed = Batch.of([sequence[part] for sequence in targets])
        wanted[:] = packed.ids
        with tape:
            x, state = model.forward(batch, state)
            for index, piece in enumerate(batch.unpack(head.nats(x, wanted))):
                out[index][part] = piece
    return out
