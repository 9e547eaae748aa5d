"""A corpus cut into training batches, each in a fixed number of shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastlm.batch import Batch
from fastlm.text.corpus import Corpus
from fastlm.text.stored import following, preceding

Array = np.ndarray
_SHORT_DOCUMENT = 4   # sequences long, at most: longer ones would make steps of very different lengths


@dataclass(frozen=True)
class Shard:
    """The part of a batch that one thread works on.

    ``batch``: the N tokens to read; ``targets`` (N,) int32: the token that follows each of them, -1 where nothing is to
    be predicted; ``positions`` (N,) int64: which token of the corpus each of them is.
    """

    batch: Batch
    targets: Array
    positions: Array


def read_and_predict(corpus: Corpus) -> tuple[Array, Array, Array]:
    """Return the inputs (N,) int32, targets (N,) int32 and document starts (N,) uint8 of a whole corpus.

    With a boundary token every document is read after that token, and its first token is predicted too: the targets are
    the corpus itself. Without one the first j tokens of a document predict its token j + 1, and after its last token
    nothing is predicted: the target is -1.
    """
    ids = corpus.ids
    firsts = corpus.first_tokens()
    starts = np.zeros(len(ids), np.uint8)
    starts[firsts] = 1
    if corpus.boundary is not None:
        inputs = preceding(ids)
        inputs[firsts] = corpus.boundary
        return inputs, ids, starts
    targets = following(ids)
    targets[firsts - 1] = -1   # the last tokens of documents; -1, before the first one, is the last of the text
    return ids, targets, starts


class StreamBatches:
    """Batches of a long text, which is read in `batch_size` stretches side by side.

    A batch is the next `sequence_length` tokens of every stretch, and the state is carried from batch to batch.
    ``per_epoch``: how many batches the text makes. ``batches[step]`` gives the shards of one step.
    """

    carries = True

    def __init__(self, corpus: Corpus, batch_size: int, sequence_length: int, shards: int, seed: int) -> None:
        self.inputs, self.targets, self.starts = read_and_predict(corpus)
        self.batch_size, self.sequence_length = batch_size, sequence_length
        self.shards = min(shards, batch_size)
        self.length = -(-len(self.inputs) // batch_size)
        self._firsts = [part * self.length for part in np.array_split(np.arange(batch_size), self.shards)]
        self.per_epoch = -(-self.length // sequence_length)

    def __getitem__(self, step: int) -> list[Shard]:
        first = step % self.per_epoch * self.sequence_length
        steps = np.arange(first, min(first + self.sequence_length, self.length))
        out = []
        for firsts in self._firsts:   # where each stretch of a shard begins
            at = steps[:, None] + firsts[None, :]
            beyond = at >= len(self.inputs)   # the last stretch may be shorter: padding is read and never predicted
            at[beyond] = 0
            targets = self.targets[at]
            targets[beyond] = -1
            out.append(Shard(Batch.rectangle(self.inputs[at], self.starts[at]), targets.reshape(-1), at.reshape(-1)))
        return out


class DocumentBatches:
    """Batches of whole short documents, drawn in a new order in every epoch, so that no gradient is cut off.

    tokens: about how many a batch holds. ``per_epoch``: how many batches the corpus makes. ``batches[step]`` gives the
    shards of one step.
    """

    carries = False

    def __init__(self, corpus: Corpus, tokens: int, shards: int, seed: int) -> None:
        self.inputs, self.targets, _ = read_and_predict(corpus)
        self.edges = corpus.offsets
        self.documents = np.flatnonzero(np.diff(corpus.offsets) > 0)
        self.shards, self.seed = shards, seed
        mean = len(self.inputs) / len(self.documents)
        self.together = max(1, min(len(self.documents), round(tokens / mean)))
        self.per_epoch = -(-len(self.documents) // self.together)
        self._epoch, self._order = -1, self.documents

    def __getitem__(self, step: int) -> list[Shard]:
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.documents)
        chosen = self._order[index * self.together: (index + 1) * self.together]
        out = []
        for part in np.array_split(chosen, min(self.shards, len(chosen))):
            spans = [slice(self.edges[document], self.edges[document + 1]) for document in part]
            batch = Batch.of([self.inputs[span] for span in spans])
            positions = Batch.of([np.arange(span.start, span.stop) for span in spans]).ids
            out.append(Shard(batch, Batch.of([self.targets[span] for span in spans]).ids, positions))
        return out


def has_short_documents(corpus: Corpus, sequence_length: int) -> bool:
    """Return whether all documents are short enough to be read whole, by `DocumentBatches`, when a step of a longer
    text goes back through `sequence_length` tokens."""
    return int(np.diff(corpus.offsets).max(initial=0)) <= _SHORT_DOCUMENT * sequence_length
