"""Which held-out tokens a mixture is weighed by."""

import numpy as np

from fastlm import Corpus
from fastlm.auto.evaluate import nll_by_part, spread, stretches_of
from fastlm.auto.policy import Policy
from fastlm.models import KneserNey, Mixture


def stretches(sizes: list[int], most: int, length: int) -> list[tuple[int, int]]:
    corpus = Corpus.from_ids([[1] * size for size in sizes])
    return [(stretch.start, stretch.stop) for stretch in stretches_of(corpus, most, length)]


def test_all_tokens_where_there_are_no_more() -> None:
    assert stretches([3, 0, 7], 10, 4) == stretches([3, 0, 7], 99, 4) == [(0, 3), (3, 7), (7, 10)]
    assert stretches([1], 1, 4) == [(0, 1)]


def test_the_first_tokens_of_long_documents() -> None:
    """Half of the tokens are wanted: five of ten, eight of sixteen."""
    assert stretches([10, 16], 13, 4) == [(0, 4), (4, 5), (10, 14), (14, 18)]


def test_some_of_many_documents() -> None:
    """A quarter of the tokens is wanted: of documents of two tokens every fourth, of documents of a hundred one
    stretch of ten in every forty tokens."""
    assert stretches([2] * 8, 4, 4) == [(2, 4), (10, 12)]
    found = stretches([100] * 10, 50, 10)
    assert found == [(0, 10), (200, 210), (400, 410), (600, 610), (800, 810)]
    found = stretches([5] * 10_000, 500, 32)
    assert len(found) == 100 and found[1][0] - found[0][0] == 500


def test_an_order_in_which_the_first_ones_lie_apart() -> None:
    assert [spread(count) for count in (0, 1, 2, 5)] == [[], [0], [0, 1], [0, 4, 2, 1, 3]]
    assert sorted(spread(1000)) == list(range(1000))


def test_when_the_time_is_over_what_was_read_is_returned() -> None:
    """Eight groups of a stretch of 32 tokens each; after the third has begun there is no time for more."""
    ids = np.random.default_rng(0).integers(0, 5, 256).astype(np.int32)
    mixture, corpus = Mixture(5, [KneserNey(5, order=2).fit([ids]), KneserNey(5, order=1)]), Corpus.from_ids([ids])
    policy, asked = Policy(stretches_at_once=1, shortest_weighed=32), []

    def is_over() -> bool:
        asked.append(1)
        return len(asked) > 2
    whole = nll_by_part(mixture, corpus, 1, 256, policy)
    part = nll_by_part(mixture, corpus, 1, 256, policy, is_over)
    assert whole.positions.tolist() == list(range(255)) and whole.nll.shape == (2, 255)   # nothing follows the last
    assert part.positions.tolist() == [*range(32), *range(64, 96), *range(128, 160)]
    assert np.array_equal(part.nll, whole.nll[:, part.positions]) and len(asked) == 7
    assert nll_by_part(mixture, corpus, 1, 256, policy, lambda: True).positions.tolist() == list(range(32))


def test_a_large_vocabulary_is_read_in_smaller_groups() -> None:
    """Of 320 logits a stretch of 32 tokens has no more than two of five tokens."""
    ids = np.zeros(256, np.int32)
    mixture, sizes = Mixture(5, [KneserNey(5, order=1)]), []
    forward = mixture.forward
    mixture.forward = lambda batch: (sizes.append(len(batch)), forward(batch))[1]   # type: ignore[method-assign]
    nll_by_part(mixture, Corpus.from_ids([ids]), 1, 256, Policy(weighed_logits=320, shortest_weighed=32))
    assert sizes == [64] * 4
    nll_by_part(mixture, Corpus.from_ids([ids]), 1, 256, Policy(weighed_logits=1, shortest_weighed=32))
    assert sizes[4:] == [32] * 8
