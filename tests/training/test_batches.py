"""A corpus cut into batches: every pair once an epoch, and what stands where by hand."""

from itertools import pairwise

import numpy as np
import pytest

import fastlm
from fastlm.training.batches import DocumentBatches, StreamBatches, read_and_predict


def text(batching: str) -> list[np.ndarray]:
    """Documents that are short, or a few that are long, empty ones among them."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 12, 60) if batching == "documents" else [200, 0, 1, 150]
    return [rng.integers(0, 13, int(n)).astype(np.int32) for n in lengths]


@pytest.mark.parametrize("batching", ["documents", "batch_size"])
@pytest.mark.parametrize("boundary", [None, 5])
def test_every_pair_is_seen_once_an_epoch(batching: str, boundary: int | None) -> None:
    corpus = fastlm.Corpus.from_ids(text(batching))
    corpus = fastlm.Corpus(corpus.ids, corpus.offsets, corpus.unknown_at, 0, boundary)
    kind = {"documents": DocumentBatches, "batch_size": StreamBatches}[batching]
    batches = kind(corpus, 7, 5, 3, 0) if batching == "batch_size" else kind(corpus, 40, 3, 0)
    wanted = sorted(pair for ids in corpus.documents() for pair in
                    pairwise(ids.tolist() if boundary is None else [boundary, *ids.tolist()]))
    for epoch in range(2):
        seen = []
        for step in range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch):
            for shard in batches[step]:
                kept = shard.targets >= 0
                seen += zip(shard.batch.ids[kept].tolist(), shard.targets[kept].tolist(), strict=True)
        assert sorted(seen) == wanted


def test_documents_are_read_after_a_boundary_or_as_they_are() -> None:
    corpus = fastlm.Corpus.from_ids([[1, 2], [], [3]])
    inputs, targets, starts = read_and_predict(corpus)
    assert (inputs.tolist(), targets.tolist(), starts.tolist()) == ([1, 2, 3], [2, -1, -1], [1, 0, 1])
    corpus = fastlm.Corpus(corpus.ids, corpus.offsets, corpus.unknown_at, 0, 9)
    inputs, targets, starts = read_and_predict(corpus)
    assert (inputs.tolist(), targets.tolist(), starts.tolist()) == ([9, 1, 9], [1, 2, 3], [1, 0, 1])


def test_lanes_by_hand() -> None:
    """Nine tokens in two batch_size of five, three at a time: the last place is padding."""
    batches = StreamBatches(fastlm.Corpus.from_ids([list(range(9))]), 2, 3, 1, 0)
    first, second = batches[0][0], batches[1][0]
    assert first.batch.ids.tolist() == [0, 5, 1, 6, 2, 7] and first.targets.tolist() == [1, 6, 2, 7, 3, 8]
    assert second.batch.ids.tolist() == [3, 8, 4, 0] and second.targets.tolist() == [4, -1, 5, -1]
    assert first.batch.starts.tolist() == [1, 0, 0, 0, 0, 0]
    assert batches.per_epoch == 2 and batches[2][0].batch.ids.tolist() == first.batch.ids.tolist()


def test_documents_are_drawn_in_another_order_every_epoch_and_for_every_seed() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = DocumentBatches(fastlm.Corpus.from_ids([[i] * 2 for i in range(30)]), 6, 1, seed)
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        return [batches[step][0].batch.ids.tolist() for step in steps]
    assert order(0, 0) == order(0, 0)
    assert len({str(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
