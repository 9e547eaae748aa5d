"""The indicator vector and the positional one-hot matrix, by hand and at random."""

import numpy as np
import pytest

from fastlm.text import onehot


def test_indicator_of_the_worked_example() -> None:
    x = onehot.indicator([25, 7], 1001)
    assert x.shape == (1001,)
    assert x.dtype == np.float32
    assert np.flatnonzero(x).tolist() == [7, 25]
    assert x[7] == x[25] == 1


def test_indicator_forgets_order_and_repetition() -> None:
    assert onehot.indicator([2, 0, 2], 4).tolist() == [1, 0, 1, 0]
    assert onehot.indicator([], 2).tolist() == [0, 0]
    assert onehot.indicator([3], 4).tolist() == [0, 0, 0, 1]


def test_encode_by_hand() -> None:
    x = onehot.encode([2, 0, 2], vocab_size=3, max_length=4)
    assert x.shape == (3, 4)
    dense = [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]
    assert x.to_dense().tolist() == dense
    assert x.to_vector().tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0]
    data, indices, indptr = x.to_csr()
    assert data.tolist() == [1, 1, 1]
    assert indices.tolist() == [1, 0, 2]
    assert indptr.tolist() == [0, 1, 1, 3]
    assert [data.dtype, indices.dtype, indptr.dtype] == [np.float32, np.int32, np.int32]
    assert onehot.decode(x).tolist() == [2, 0, 2]


def test_encode_stops_at_max_length() -> None:
    x = onehot.encode([1, 0, 1, 1], vocab_size=2, max_length=2)
    assert onehot.decode(x).tolist() == [1, 0]
    assert x.to_dense().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("length", [0, 1, 5, 7, 12])
def test_the_ids_come_back_from_every_form(length: int) -> None:
    rng = np.random.default_rng(length)
    vocab_size, max_length = 11, 7
    ids = rng.integers(0, vocab_size, length)
    if length:
        ids[-1] = vocab_size - 1
    kept = ids[:max_length].tolist()
    x = onehot.encode(ids, vocab_size, max_length)
    oracle = np.zeros((vocab_size, max_length))
    for t, id in enumerate(kept):
        oracle[id, t] = 1
    assert (x.to_dense() == oracle).all()
    assert (x.to_vector() == oracle.T.ravel()).all()
    assert onehot.decode(x).tolist() == kept
    assert onehot.decode(x.to_dense()).tolist() == kept
    assert onehot.decode(x.to_vector(), vocab_size).tolist() == kept
    assert onehot.decode(x).dtype == np.int32


def test_to_csr_is_what_scipy_reads() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = onehot.encode(np.random.default_rng(3).integers(0, 9, 50), 9, 61)
    assert (sparse.csr_array(x.to_csr(), shape=x.shape).toarray() == x.to_dense()).all()


def test_encode_keeps_its_own_ids() -> None:
    ids = np.array([1, 2], np.int32)
    x = onehot.encode(ids, 3, 2)
    ids[0] = 0
    assert onehot.decode(x).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("vocab_size", "max_length", "message"),
    [
        (3, 0, "max_length = 0; expected at least 1"),
        (0, 4, "vocab_size = 0; expected at least 1"),
    ],
)
def test_extents_that_are_none(vocab_size: int, max_length: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        onehot.encode([], vocab_size, max_length)
    assert str(caught.value) == message


def test_an_id_past_max_length_is_checked_too() -> None:
    with pytest.raises(IndexError, match=r"^ids\[2\] = 3 is outside the vocabulary of 3$"):
        onehot.encode([0, 1, 3], 3, 2)
    with pytest.raises(IndexError, match=r"^ids\[1\] = 4 is outside the vocabulary of 4$"):
        onehot.indicator([0, 4], 4)


@pytest.mark.parametrize(
    ("dense", "column"),
    [
        ([[1, 1], [1, 0]], 0),  # two ones
        ([[1, 0.5], [0, 0]], 1),  # half of one
        ([[0, 1], [0, 0]], 1),  # after a zero column
        ([[1, 1], [2, 0]], 0),
    ],
)
def test_decode_of_what_is_not_one_hot(dense: list[list[float]], column: int) -> None:
    with pytest.raises(ValueError) as caught:
        onehot.decode(np.array(dense))
    assert str(caught.value) == f"column {column} of x is not one-hot, or follows a zero column"


def test_decode_of_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"^vocab_size = 3 does not cut 4 entries into columns$"):
        onehot.decode(np.zeros(4), 3)
    with pytest.raises(ValueError, match=r"^vocab_size = None does not cut 4 entries into columns$"):
        onehot.decode(np.zeros(4))
    with pytest.raises(ValueError, match=r"^x has the shape \(1, 1, 1\); expected \(\|V\|, T\) or \(\|V\| \* T,\)$"):
        onehot.decode(np.zeros((1, 1, 1)))
