"""n-grams as rows of a table: the kernel against Python's integers, and what a network makes of them."""

import numpy as np
import pytest

import fastlm
from fastlm import _core, models
from fastlm.batch import Batch
from tests import oracle


def rows_of(last, orders, buckets):
    out = np.full((len(last), len(orders)), -7, np.int64)
    _core.hashed_rows(out, np.array(last, np.int64), np.array(orders, np.int64), buckets)
    return out


def test_rows_by_hand() -> None:
    """The first number of SplitMix64 seeded with 0 is 0xE220A8397B1DCDAF: id 0 alone, 16294208416658607535."""
    got = rows_of([[0, -1], [0, 0], [-1, -1]], [1, 2], 1000)
    assert got[0].tolist() == [535, -1]
    assert got[1, 0] == 535 and 1000 <= got[1, 1] < 2000
    assert got[2].tolist() == [-1, -1]


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("orders", [[1], [2, 3], [1, 4, 5], [5]])
@pytest.mark.parametrize("buckets", [1, 5, 1 << 16, 10**12 + 39])
def test_rows_are_pythons(isa: str, orders: list[int], buckets: int) -> None:
    before = _core.isa()
    _core.use_isa(isa)
    rng = np.random.default_rng(buckets % 1000)
    ids = rng.integers(0, 2**31 - 1, 40)
    place = oracle.layout([40]), np.zeros(40), np.full((1, orders[-1] - 1), -1)
    wanted, _ = oracle.hashed_rows(ids, orders, buckets, *place)
    last, _ = oracle.last_ids(ids, orders[-1], *place)
    np.testing.assert_array_equal(rows_of(last, orders, buckets), wanted)
    _core.use_isa(before)


@pytest.mark.parametrize("orders, buckets, message", [
    ([0], 5, "order[0] = 0, expected 1 to 2"), ([3], 5, "order[0] = 3, expected 1 to 2"),
    ([2, 2], 5, "order[1] = 2, expected 3 to 2"), ([1], 0, "buckets = 0, expected at least 1"),
])
def test_messages(orders, buckets, message) -> None:
    with pytest.raises(ValueError) as caught:
        rows_of([[1, 2]], orders, buckets)
    assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"^row has shape \(2, 1\), expected \(1, 1\)$"):
        _core.hashed_rows(np.zeros((2, 1), np.int64), np.zeros((1, 2), np.int64), np.ones(1, np.int64), 5)


def test_only_the_rows_met_are_trained() -> None:
    model = models.LSTM(5, hidden=4, ngrams={"orders": [2], "buckets": 1000, "width": 3})
    assert (model.parameters["ngrams"].value == 0).all()   # an n-gram never met says nothing
    ids = [0, 1, 2, 3, 0, 1, 2, 4]
    fastlm.Trainer(model, batch_size=1, sequence_length=8).fit([ids], epochs=3)
    moved = np.flatnonzero(np.abs(model.parameters["ngrams"].value).max(1))
    met, _ = oracle.hashed_rows(np.array(ids), [2], 1000, oracle.layout([8]), np.zeros(8), np.full((1, 1), -1))
    assert moved.tolist() == sorted(set(met[1:-1].ravel().tolist()))   # the last token is only predicted


def test_an_n_gram_is_told_from_the_same_words_in_another_order() -> None:
    model = models.FeedForward(5, context=1, width=3, hidden=4, ngrams={"orders": [2], "buckets": 64, "width": 3})
    model.parameters["ngrams"].value[:] = np.random.default_rng(0).normal(size=(64, 3))
    rows = [model.logits(Batch.of([ids]))[0].value[-1] for ids in ([1, 3], [2, 3], [3])]
    assert all((a != b).any() for a, b in ((rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2])))


def test_a_model_file_keeps_them(tmp_path) -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["\n", "a", "b", "<unk>"]),
                              models.GRU(4, hidden=3, ngrams={"orders": [2, 3], "buckets": 9, "width": 2}))
    lm.model.parameters["ngrams"].value[:] = np.random.default_rng(1).normal(size=(18, 2))
    lm.save(tmp_path / "m.fastlm")
    again = fastlm.load(tmp_path / "m.fastlm")
    ids = [1, 2, 1, 0, 2]
    assert again.model.config() == lm.model.config()
    assert (again.model.log_probabilities(ids) == lm.model.log_probabilities(ids)).all()
    rounded = again.quantized().model.log_probabilities(ids)
    assert 0 < np.abs(rounded - lm.model.log_probabilities(ids)).max() < 0.1
