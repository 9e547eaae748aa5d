"""Products of many rows: the kernel on every instruction set, and NumPy's in its place."""

import importlib
import threading

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, normal

product = importlib.import_module("fastlm.autodiff.matmul")   # the package offers a primitive of this name

SIZES = [0, 1, 2, 5, 6, 7, 15, 16, 17, 48, 63, 64, 65, 95, 97, 130, 255, 256, 257, 300, 515]


def multiplied(out, a, b, adds=False):
    _core.dense_product(out, a, b, np.full(_core.ROOM, np.nan, F), adds)
    return out


def laid(rng, rows, columns, order):
    """(rows, columns) in rows, in columns, or a part of a larger matrix of either kind."""
    if order == "rows":
        return normal(rng, rows, columns)
    if order == "columns":
        return normal(rng, columns, rows).T
    if order == "part of rows":
        return normal(rng, rows + 2, columns + 3)[1: rows + 1, 2: columns + 2]
    return normal(rng, columns + 3, rows + 2)[2: columns + 2, 1: rows + 1].T


def test_products_by_hand(isa) -> None:
    a, b = np.array([[1, 2], [3, -1], [0, 5]], F), np.array([[1, 10, 100], [2, 20, 200]], F)
    wanted = [[5, 50, 500], [1, 10, 100], [10, 100, 1000]]
    columns = np.asfortranarray
    for left in (a, columns(a)):
        for right in (b, columns(b)):
            assert multiplied(np.full((3, 3), np.nan, F), left, right).tolist() == wanted
            assert multiplied(np.full((3, 3), 0.5, F), left, right, True).tolist() == (np.array(wanted) + 0.5).tolist()
    assert multiplied(np.full((2, 2), np.nan, F), a[:2, :0], b[:0, :2]).tolist() == [[0, 0], [0, 0]]
    assert multiplied(np.full((2, 2), 7, F), a[:2, :0], b[:0, :2], True).tolist() == [[7, 7], [7, 7]]


@pytest.mark.parametrize("seed", range(12))
def test_products_against_float64(isa, seed: int) -> None:
    rng = np.random.default_rng(seed)
    orders = ["rows", "columns", "part of rows", "part of columns"]
    for case in range(16):
        rows, inner, columns = rng.choice(SIZES, 3)
        a, b = laid(rng, rows, inner, orders[case % 4]), laid(rng, inner, columns, orders[case // 4])
        around = normal(rng, rows + 1, columns + 2)
        before, out = around.copy(), around[:rows, 1: columns + 1]
        got = multiplied(out, a, b, case % 3 == 0).copy()
        wanted = a.astype(float) @ b.astype(float) + (before[:rows, 1: columns + 1] if case % 3 == 0 else 0)
        near = 4e-7 * np.sqrt(inner + 1) * max(1, abs(wanted).max(initial=0))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=near)
        out[:] = before[:rows, 1: columns + 1]
        assert around.tobytes() == before.tobytes()                             # nothing beside the result was written


def test_a_row_does_not_depend_on_its_neighbours(isa) -> None:
    rng = np.random.default_rng(5)
    a, b = normal(rng, 203, 301), normal(rng, 301, 70)
    whole = multiplied(np.empty((203, 70), F), a, b)
    for first, last in ((0, 1), (0, 97), (5, 12), (96, 203), (202, 203)):
        assert multiplied(np.empty((last - first, 70), F), a[first:last], b).tobytes() == whole[first:last].tobytes()
    assert multiplied(np.empty((203, 19), F), a, b[:, 50:69]).tobytes() == whole[:, 50:69].tobytes()


def test_the_same_bytes_on_both_vector_sets() -> None:
    sets = [name for name in _core.available_isas() if name != "portable"]
    if len(sets) < 2:
        pytest.skip("this processor has not both AVX2 and AVX-512")
    before, results = _core.isa(), set()
    rng = np.random.default_rng(6)
    a, b, out = normal(rng, 61, 530).T, normal(rng, 67, 61).T, normal(rng, 530, 67)
    for name in sets:
        _core.use_isa(name)
        results.add(multiplied(out.copy(), a, b, True).tobytes())
    _core.use_isa(before)
    assert len(results) == 1


@pytest.mark.parametrize("ours", [False, True])
def test_either_product_serves(ours: bool) -> None:
    rng = np.random.default_rng(7)
    for rows, inner, columns in ((19, 70, 300), (9, 70, 300), (300, 5, 9), (1, 1, 1), (0, 3, 4), (3, 4, 0),
                                 (2, 3, 40_000), (70_000, 2, 3)):
        a, b = normal(rng, inner, rows).T, normal(rng, inner, columns)
        out = normal(rng, rows, columns + 1)[:, 1:]
        wanted = a.astype(float) @ b
        before = out.astype(float)
        product.product(out, a, b, adds=True, ours=ours)
        np.testing.assert_allclose(out, before + wanted, rtol=0, atol=1e-4)
        product.product(out, a, b, ours=ours)
        np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-4)


def test_every_thread_has_its_own_room() -> None:
    rng = np.random.default_rng(8)
    pairs = [(normal(rng, 200, 300), normal(rng, 300, 100 + index)) for index in range(4)]
    results: dict[int, bool] = {}

    def run(index: int) -> None:
        a, b = pairs[index]
        out = np.empty((200, b.shape[1]), F)
        first = multiplied(out.copy(), a, b).tobytes()
        same = True
        for _ in range(20):
            product.product(out, a, b, ours=True)
            same &= out.tobytes() == first
        results[index] = same
    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), True)


def test_wider_products_are_those_of_avx512(isa) -> None:
    if isa != "avx512":
        assert not _core.multiplies_wider()


def test_the_product_is_chosen_when_it_is_needed(monkeypatch, isa) -> None:
    """By the instruction set in use then, not by the one of the import. The two kinds add up in different orders, so
    that the bytes say which one it was."""
    rng = np.random.default_rng(9)
    a, b = normal(rng, 64, 515), normal(rng, 515, 48)

    def made(rows: int, ours: bool | None = None) -> bytes:
        out = np.empty((rows, 48), F)
        product.product(out, a[:rows], b, ours=ours)
        return out.tobytes()
    assert made(64, ours=True) != made(64, ours=False)
    assert made(64) == made(64, ours=_core.multiplies_wider())
    for wider in (True, False):
        monkeypatch.setattr(_core, "multiplies_wider", lambda wider=wider: wider)
        assert made(64) == made(64, ours=wider)
        assert made(15) == np.matmul(a[:15], b).tobytes()   # so few rows are not worth packing for


Z = np.zeros


@pytest.mark.parametrize("message, out, a, b, room", [
    ("b has shape (3, 5), expected (2, 5)", Z((4, 5), F), Z((4, 2), F), Z((3, 5), F), _core.ROOM),
    ("out has shape (4, 6), expected (4, 5)", Z((4, 6), F), Z((4, 2), F), Z((2, 5), F), _core.ROOM),
    ("room has 7 elements, expected 65536", Z((4, 5), F), Z((4, 2), F), Z((2, 5), F), 7),
    ("a has strides of 32 and 8 bytes; 4 along rows or columns was expected", Z((4, 5), F), Z((4, 8), F)[:, ::2],
     Z((4, 5), F), _core.ROOM),
    ("b has strides of -20 and 4 bytes; 4 along rows or columns was expected", Z((4, 5), F), Z((4, 2), F),
     Z((2, 5), F)[::-1], _core.ROOM),
    ("a has strides of 0 and 4 bytes; 4 along rows or columns was expected", Z((4, 5), F),
     np.broadcast_to(Z(2, F), (4, 2)), Z((2, 5), F), _core.ROOM),
    ("out has strides of 4 and 16 bytes; 4 along rows was expected", Z((5, 4), F).T, Z((4, 2), F), Z((2, 5), F),
     _core.ROOM),
])
def test_what_does_not_fit_is_refused(message: str, out, a, b, room: int) -> None:
    with pytest.raises(ValueError) as caught:
        _core.dense_product(out, a, b, Z(room, F))
    assert str(caught.value) == message
