"""Gathers and sums along packed sequences: by hand, then float64 loops over one sequence at a time."""


import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, normal

pytestmark = pytest.mark.usefixtures("isa")



def packing(lengths: list[int]) -> tuple[np.ndarray, list[list[int]]]:
    """Sizes of the steps, and the rows of each sequence; lengths never grow."""
    size = [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]
    first = np.concatenate([[0], np.cumsum(size)]).astype(int)
    return np.array(size, np.uintp), [[int(first[t]) + s for t in range(n)] for s, n in enumerate(lengths)]


LENGTHS = [[], [1], [3], [1, 1], [5, 3, 3, 1], [4, 2, 0], [9, 8, 1, 0, 0]]
CASES = [(lengths, flagged) for lengths in LENGTHS for flagged in (False, True)]


def random_case(lengths: list[int], flagged: bool) -> tuple[np.random.Generator, np.ndarray | None, int]:
    rng = np.random.default_rng(sum(lengths) + 7)
    count = sum(lengths)
    starts = (rng.random(count) < 0.4).astype(np.uint8) if flagged else None
    return rng, starts, count


def test_gather_and_scatter_by_hand() -> None:
    table = np.array([[1, 2], [3, 4], [5, 6]], F)
    row = np.array([2, -1, 0, 2])
    out = np.full((4, 2), 9, F)
    _core.gather(out, table, row)
    assert out.tolist() == [[5, 6], [0, 0], [1, 2], [5, 6]]
    _core.scatter_add(table, out, row)
    assert table.tolist() == [[2, 4], [3, 4], [15, 18]]
    _core.gather(out[:0], table, row[:0])
    _core.gather(np.empty((1, 0), F), np.empty((3, 0), F), row[:1])


@pytest.mark.parametrize("width", [1, 3, 16, 33])
def test_gather_and_scatter_against_numpy(width: int) -> None:
    rng = np.random.default_rng(width)
    table, row = normal(rng, 6, width), rng.integers(-1, 6, 50)
    row[-1] = 5
    out, kept = np.empty((50, width), F), row >= 0
    _core.gather(out, table, row)
    np.testing.assert_array_equal(out, np.where(kept[:, None], table[row], 0))
    wanted = table.astype(np.float64)
    np.add.at(wanted, row[kept], out[kept])
    _core.scatter_add(table, out, row)
    np.testing.assert_allclose(table, wanted, rtol=1e-5, atol=1e-5)


def test_packed_sums_by_hand() -> None:
    """Two sequences, of lengths 3 and 1; the first begins a new document at its last token."""
    size, starts = np.array([2, 1, 1], np.uintp), np.array([0, 0, 0, 1], np.uint8)
    table, row = np.array([[1], [10], [100]], F), np.array([0, 1, 2, 1])
    carry, out = np.array([[1000], [2000]], F), np.empty((4, 1), F)
    _core.prefix_sum(out, carry, table, np.array([0.5], F), row, starts, size)
    assert out.ravel().tolist() == [1001.5, 2010.5, 1101.5, 10.5]
    assert carry.ravel().tolist() == [10, 2010]
    dtable, dout = np.zeros((3, 1), F), np.array([[1], [2], [4], [8]], F)
    _core.suffix_sum(dtable, np.zeros((2, 1), F), dout, row, starts, size)
    assert dtable.ravel().tolist() == [5, 10, 4]
    sums, lanes = np.empty((4, 2, 1), F), np.array([[[8], [8]], [[4], [4]]], F)
    rate, x = np.array([0.5, 0], F), np.array([[1], [2], [3], [4]], F)
    _core.decayed_sum(sums, lanes, x, rate, starts, size)
    assert sums.reshape(4, 2).tolist() == [[5, 1], [4, 2], [5.5, 3], [4, 4]]
    assert lanes.ravel().tolist() == [4, 4, 4, 2]
    dx, dsums = np.zeros((4, 1), F), np.ones((4, 2, 1), F)
    _core.decayed_sum_back(dx, np.zeros((2, 2, 1), F), dsums, rate, starts, size)
    assert dx.ravel().tolist() == [2.5, 2, 2, 2]


def test_positions_and_last_ids_by_hand() -> None:
    size, starts = np.array([2, 1, 1], np.uintp), np.array([0, 0, 0, 1], np.uint8)
    ids, row, position = np.array([4, 3, 2, 1], np.int32), np.empty(4, np.int64), np.array([1, 2])
    _core.position_rows(row, position, ids, starts, size, 3, 5)
    assert row.tolist() == [5 + 4, 10 + 3, 10 + 2, 1]
    assert position.tolist() == [1, 3]
    _core.position_rows(row, position, ids, None, size, 3, 5)
    assert row.tolist() == [5 + 4, -1, 10 + 2, -1]
    out, carry = np.empty((4, 3), np.int64), np.array([[7, 8], [9, -1]])
    _core.last_ids(out, carry, ids, starts, size)
    assert out.tolist() == [[4, 7, 8], [3, 9, -1], [2, 4, 7], [1, -1, -1]]
    assert carry.tolist() == [[1, -1], [3, 9]]
    only = np.empty((4, 1), np.int64)
    _core.last_ids(only, np.empty((2, 0), np.int64), ids, None, size)
    assert only.ravel().tolist() == ids.tolist()


@pytest.mark.parametrize(("lengths", "flagged"), CASES)
@pytest.mark.parametrize("biased", [False, True])
def test_prefix_sum_against_float64(lengths: list[int], flagged: bool, biased: bool) -> None:
    rng, starts, count = random_case(lengths, flagged)
    size, sequences = packing(lengths)
    table, row = normal(rng, 4, 19), rng.integers(-1, 4, count)
    bias = normal(rng, 19) if biased else None
    carry, dout = normal(rng, len(lengths), 19), normal(rng, count, 19)
    wanted, sums = np.zeros((count, 19)), carry.astype(np.float64)
    dtable = np.zeros((4, 19))
    for s, rows in enumerate(sequences):
        for n in rows:
            if starts is not None and starts[n]:
                sums[s] = 0
            if row[n] >= 0:
                sums[s] += table[row[n]]
            wanted[n] = sums[s] + (0 if bias is None else bias)
        later = np.zeros(19)
        for n in reversed(rows):
            later += dout[n]
            if row[n] >= 0:
                dtable[row[n]] += later
            if starts is not None and starts[n]:
                later[:] = 0
    out, got = np.empty((count, 19), F), np.zeros((4, 19), F)
    _core.prefix_sum(out, carry, table, bias, row, starts, size)
    np.testing.assert_allclose(out, wanted, atol=2e-5)
    np.testing.assert_allclose(carry, sums, atol=2e-5)
    _core.suffix_sum(got, np.zeros_like(carry), dout, row, starts, size)
    np.testing.assert_allclose(got, dtable, atol=5e-5)


@pytest.mark.parametrize(("lengths", "flagged"), CASES)
def test_decayed_sum_against_float64(lengths: list[int], flagged: bool) -> None:
    rng, starts, count = random_case(lengths, flagged)
    size, sequences = packing(lengths)
    rate, x = np.array([0.9, 0, 0.5], F), normal(rng, count, 7)
    carry, dout = normal(rng, len(lengths), 3, 7), normal(rng, count, 3, 7)
    sums, wanted, dx = carry.astype(np.float64), np.zeros((count, 3, 7)), np.zeros((count, 7))
    for s, rows in enumerate(sequences):
        for n in rows:
            if starts is not None and starts[n]:
                sums[s] = 0
            sums[s] = rate[:, None] * sums[s] + x[n]
            wanted[n] = sums[s]
        later = np.zeros((3, 7))
        for n in reversed(rows):
            later += dout[n]
            dx[n] = later.sum(axis=0)
            later *= 0 if starts is not None and starts[n] else rate[:, None]
    out, got = np.empty((count, 3, 7), F), np.zeros((count, 7), F)
    _core.decayed_sum(out, carry, x, rate, starts, size)
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    np.testing.assert_allclose(carry, sums, atol=1e-5)
    _core.decayed_sum_back(got, np.zeros_like(carry), dout, rate, starts, size)
    np.testing.assert_allclose(got, dx, atol=2e-5)


@pytest.mark.parametrize(("lengths", "flagged"), CASES)
@pytest.mark.parametrize("window", [1, 2, 5])
def test_last_ids_and_positions_against_lists(lengths: list[int], flagged: bool, window: int) -> None:
    rng, starts, count = random_case(lengths, flagged)
    size, sequences = packing(lengths)
    ids = rng.integers(0, 11, count).astype(np.int32)
    carry, position = np.full((len(lengths), window - 1), -1), np.zeros(len(lengths), np.int64)
    out, row = np.empty((count, window), np.int64), np.empty(count, np.int64)
    _core.last_ids(out, carry, ids, starts, size)
    _core.position_rows(row, position, ids, starts, size, 3, 11)
    for s, rows in enumerate(sequences):
        read: list[int] = []
        for n in rows:
            if starts is not None and starts[n]:
                read = []
            assert row[n] == (len(read) * 11 + ids[n] if len(read) < 3 else -1)
            read.append(int(ids[n]))
            assert out[n].tolist() == (read[::-1] + [-1] * window)[:window]
        assert position[s] == len(read)
        assert carry[s].tolist() == (read[::-1] + [-1] * window)[: window - 1]


def test_bytes_added_by_hand() -> None:
    table = np.array([[[1, 2], [255, 0]], [[10, 20], [30, 40]]], np.uint8)
    scale, out = np.array([[1, 0.5], [-2, 4], [0, 1]], F), np.ones((3, 2), F)
    _core.add_bytes(out, scale, table, np.array([1, 0, 0]), 0.5)
    assert out.tolist() == [[1 + 0.5 * (255 + 15), 1 + 0.5 * 20], [1 + 0.5 * 38, 1 + 0.5 * 76], [6, 11]]
    dscale = np.full((3, 2), 0.25, F)
    _core.add_bytes_back(dscale, np.array([[1, 2], [0, 3], [1, 1]], F), table, np.array([1, 0, 0]), 0.5)
    assert dscale.tolist() == [[127.75, 55.25], [3.25, 30.25], [1.75, 15.25]]


def added_bytes(rows: int, tables: int, width: int) -> list[np.ndarray]:
    """Both ways, beside float64."""
    rng = np.random.default_rng(width)
    table, row = rng.integers(0, 256, (tables, 5, width)).astype(np.uint8), rng.integers(0, 5, rows)
    row[-1:] = 4
    scale, out, dout, dscale = (normal(rng, rows, n) for n in (tables, width, width, tables))
    read = table[:, row].astype(float)
    wanted = out - np.einsum("nk,knv->nv", scale.astype(float), read) / 16
    wanted_back = dscale - np.einsum("nv,knv->nk", dout.astype(float), read) / 16
    _core.add_bytes(out, scale, table, row, -1 / 16)
    _core.add_bytes_back(dscale, dout, table, row, -1 / 16)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-5 * tables)
    np.testing.assert_allclose(dscale, wanted_back, rtol=0, atol=2e-5 * (width + 1))
    return [out, dscale]


@pytest.mark.parametrize("rows, tables, width", [(0, 1, 3), (1, 0, 3), (1, 1, 1), (7, 3, 66), (5, 2, 16), (9, 1, 31),
                                                 (4, 3, 33), (3, 2, 250)])
def test_bytes_added_beside_float64_and_on_every_isa(isa: str, rows: int, tables: int, width: int) -> None:
    here = added_bytes(rows, tables, width)
    _core.use_isa("portable")
    portable = added_bytes(rows, tables, width)
    _core.use_isa(isa)
    assert [array.tobytes() for array in here] == [array.tobytes() for array in portable]


@pytest.mark.parametrize("message, error, change", [
    ("out has shape (2, 4), expected (2, 3)", ValueError, {"out": np.zeros((2, 4), F)}),
    ("scale has shape (2, 2), expected (2, 1)", ValueError, {"scale": np.zeros((2, 2), F)}),
    ("row[1] = 4 is outside the table of 4 rows", IndexError, {"row": np.array([0, 4])}),
    ("row[0] = -1 is outside the table of 4 rows", IndexError, {"row": np.array([-1, 0])}),
])
def test_bytes_that_do_not_fit_are_refused(message: str, error: type, change: dict[str, np.ndarray]) -> None:
    fits = {"out": np.zeros((2, 3), F), "scale": np.zeros((2, 1), F), "table": np.zeros((1, 4, 3), np.uint8),
            "row": np.array([0, 3])} | change
    with pytest.raises(error) as caught:
        _core.add_bytes(**fits, unit=1.0)
    assert str(caught.value) == message
    back = {"dscale": fits["scale"], "dout": fits["out"], "table": fits["table"], "row": fits["row"]}
    with pytest.raises(error) as caught:
        _core.add_bytes_back(**back, unit=1.0)
    assert str(caught.value) == message.replace("out has", "dout has").replace("scale has", "dscale has")
