"""The pairs of the worked example, and what ids may be."""

import numpy as np
import pytest

from fastlm.text.pairs import as_ids, pairs

EXAMPLE = [25, 7, 100, 2, 10, 1000]


def test_pairs_of_the_worked_example() -> None:
    assert [(prefix.tolist(), target) for prefix, target in pairs(EXAMPLE)] == [
        ([25], 7),
        ([25, 7], 100),
        ([25, 7, 100], 2),
        ([25, 7, 100, 2], 10),
        ([25, 7, 100, 2, 10], 1000),
    ]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.uint16])
def test_prefixes_are_views(dtype: type) -> None:
    ids = np.array([3, 1, 2], dtype)
    for prefix, target in pairs(ids):
        assert prefix.base is ids
        assert prefix.dtype == dtype
        assert type(target) is int


@pytest.mark.parametrize("ids", [[], [5]])
def test_fewer_than_two_ids_make_no_pair(ids: list[int]) -> None:
    assert list(pairs(ids)) == []


def test_as_ids_does_not_copy_int32() -> None:
    ids = np.array([3, 1, 2], np.int32)
    assert np.shares_memory(as_ids(ids, 4), ids)
    assert as_ids([], 4).dtype == np.int32
    assert as_ids(np.arange(6)[::2]).tolist() == [0, 2, 4]
    assert as_ids(np.array([1, 2], ">i4")).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ids", "vocab_size", "message"),
    [
        ([0] * 17 + [70], 65, "ids[17] = 70 is outside the vocabulary of 65"),
        ([0, 65], 65, "ids[1] = 65 is outside the vocabulary of 65"),
        ([-1], 65, "ids[0] = -1 is outside the vocabulary of 65"),
        ([1, 2**31], None, "ids[1] = 2147483648 is outside the range 0 to 2147483647"),
        ([2**63], None, "ids[0] = 9223372036854775808 is outside the range 0 to 2147483647"),
        ([-5], None, "ids[0] = -5 is outside the range 0 to 2147483647"),
    ],
)
def test_an_id_out_of_range(ids: list[int], vocab_size: int | None, message: str) -> None:
    with pytest.raises(IndexError) as caught:
        as_ids(ids, vocab_size)
    assert str(caught.value) == message


def test_the_last_id_is_in_range() -> None:
    assert as_ids([64], 65).tolist() == [64]
    assert as_ids([2**31 - 1]).tolist() == [2**31 - 1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0.5], "ids are of the type float64; expected integers"),
        ([True], "ids are of the type bool; expected integers"),
        (["a"], "ids are of the type <U1; expected integers"),
        (np.empty(0), "ids are of the type float64; expected integers"),
        ([2**70], "ids are of the type object; expected integers"),
        ((n for n in (1, 2)), "ids are a generator; expected integers"),
        ("text", "ids are a str; expected integers"),
    ],
)
def test_ids_that_are_no_integers(ids: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        pairs(ids)
    assert str(caught.value) == message


@pytest.mark.parametrize(("ids", "shape"), [(np.zeros((2, 3), int), "(2, 3)"), (np.int32(3), "()")])
def test_ids_of_another_shape(ids: np.ndarray, shape: str) -> None:
    with pytest.raises(ValueError) as caught:
        pairs(ids)
    assert str(caught.value) == f"ids have the shape {shape}; expected one dimension"
