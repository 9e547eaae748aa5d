"""Products of few rows, weights in bytes, and a step of an LSTM layer, on every instruction set."""

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, normal

pytestmark = pytest.mark.usefixtures("isa")

SHAPES = [(1, 1), (3, 5), (8, 16), (17, 33), (64, 65), (33, 130), (7, 64), (256, 97), (515, 66), (1030, 3), (9, 2050)]


def product(x, matrix, bias=None, fill=np.nan):
    out = np.full((len(x), matrix.shape[1]), fill, F)
    _core.product(out, x, matrix, bias)
    return out


def bytes_of(rng, rows, columns):
    return rng.integers(-127, 128, (rows, columns)).astype(np.int8), rng.uniform(0.001, 0.01, columns).astype(F)


def on_every_isa(compute):
    """The result of `compute`, the same bytes whatever the instruction set."""
    before, results = _core.isa(), []
    for name in _core.available_isas():
        _core.use_isa(name)
        results.append(compute())
    _core.use_isa(before)
    assert len({result.tobytes() for result in results}) == 1
    return results[0]


def test_products_by_hand() -> None:
    x, weights = np.array([[1, 2], [3, -1]], F), np.array([[1, 10, 100], [2, 20, 200]], F)
    wanted = [[5, 50, 500], [1, 10, 100]]
    assert product(x, _core.Matrix(weights)).tolist() == wanted
    assert product(x, _core.Matrix(np.ascontiguousarray(weights.T), None, True)).tolist() == wanted
    assert product(x, _core.Matrix(weights), np.array([0.5, 0, -1], F)).tolist() == [[5.5, 50, 499], [1.5, 10, 99]]
    assert _core.Matrix(weights).shape == (2, 3)
    assert _core.Matrix(np.ascontiguousarray(weights.T), None, True).shape == (2, 3)


def test_bytes_by_hand() -> None:
    """x is one number a row, so that rounding it to 16 bits of its largest magnitude is exact."""
    x, scale = np.array([[3], [0], [-0.5]], F), np.array([0.5, 2], F)
    matrix = _core.Matrix(np.array([[4, -127]], np.int8), scale)
    np.testing.assert_allclose(product(x, matrix), [[6, -762], [0, 0], [-1, 127]], rtol=1e-6)
    table = np.array([[1, 2], [3, -4], [5, 6]], np.int8)
    out = np.full((3, 2), np.nan, F)
    _core.int8_rows(out, table, np.array([0.5, 0.25, 1], F), np.array([1, -1, 0], np.int64))
    assert out.tolist() == [[0.75, -1], [0, 0], [0.5, 1]]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 8, 11])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_against_float64(rows: int, shape: tuple[int, int], transposed: bool) -> None:
    rng = np.random.default_rng(rows)
    x, weights, bias = normal(rng, rows, shape[0]), normal(rng, *shape), normal(rng, shape[1])
    laid = np.ascontiguousarray(weights.T) if transposed else weights
    matrix = _core.Matrix(laid, None, transposed)
    got = on_every_isa(lambda: product(x, matrix, bias))
    wanted = x.astype(float) @ weights.astype(float) + bias
    np.testing.assert_allclose(got, wanted, rtol=0, atol=4e-7 * np.sqrt(shape[0]) * max(1, abs(wanted).max(initial=0)))
    for index in range(rows):   # a row's bytes do not depend on its neighbours
        assert product(x[index: index + 1], matrix, bias).tobytes() == got[index].tobytes()
    laid[:] = 2 * laid          # the weights are referred to, not copied
    np.testing.assert_allclose(product(x, matrix), 2 * (wanted - bias), rtol=0, atol=1e-4 * shape[0])


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bytes_against_float64(rows: int, shape: tuple[int, int]) -> None:
    """Integers are summed exactly: all that is lost is the rounding of x, and of the last additions."""
    rng = np.random.default_rng(rows)
    x, (weights, scale), bias = normal(rng, rows, shape[0]), bytes_of(rng, *shape), normal(rng, shape[1])
    matrix = _core.Matrix(weights, scale)
    got = on_every_isa(lambda: product(x, matrix, bias))
    rounded = x.astype(float)
    for first in range(0, shape[0], 512):
        run = rounded[:, first: first + 512]
        unit = np.abs(run).max(axis=1, keepdims=True) / 32767
        run[:] = np.rint(run / np.where(unit > 0, unit, 1)) * unit
    wanted = rounded @ (weights.astype(float) * scale) + bias
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * max(1, abs(wanted).max(initial=0)))
    exact = x.astype(float) @ (weights.astype(float) * scale) + bias
    np.testing.assert_allclose(got, exact, rtol=0, atol=1e-4 * max(1, abs(exact).max(initial=0)))
    by_row = _core.Matrix(np.ascontiguousarray(weights.T), scale, True)
    assert product(x, by_row, bias).tobytes() == got.tobytes()
    for index in range(rows):
        assert product(x[index: index + 1], matrix, bias).tobytes() == got[index].tobytes()


def test_extreme_rows_of_bytes() -> None:
    """The largest sums that fit; zeros, tiny numbers, and what is not finite."""
    weights, scale = np.full((1024, 65), -127, np.int8), np.ones(65, F)
    matrix = _core.Matrix(weights, scale)
    np.testing.assert_allclose(product(np.full((1, 1024), -2, F), matrix), 2 * 127 * 1024, rtol=1e-6)
    assert (product(np.zeros((1, 1024), F), matrix) == 0).all()
    assert (product(np.full((1, 1024), 1e-38, F), matrix) == 0).all()
    for bad in (np.nan, np.inf, -np.inf):
        x = np.zeros((3, 1024), F)
        x[1, 1000] = bad
        out = product(x, matrix)
        assert np.isnan(out[1]).all() and (out[[0, 2]] == 0).all()


def test_a_step_of_a_layer_by_hand() -> None:
    """x = 1, h = 2, c = 1: gates before the nonlinearities i = 0, f = 0, g = ln 3 / 2, o = 0, so tanh g = 1/2."""
    half = np.log(3) / 2
    weights, recurrent = np.array([[1, 2, 0, 4]], F), np.array([[-1, -1, 0, -2.5]], F)
    h, c = np.array([[2]], F), np.array([[1]], F)
    _core.lstm_step(h, c, np.empty((1, 4), F), np.ones((1, 1), F), _core.Matrix(weights), _core.Matrix(recurrent),
                    np.array([1, 0, half, 1], F))
    np.testing.assert_allclose(c, [[0.75]], rtol=1e-6)
    np.testing.assert_allclose(h, [[0.5 * np.tanh(0.75)]], rtol=1e-6)


@pytest.mark.parametrize("sequences", [0, 1, 3, 8])
@pytest.mark.parametrize("width, hidden", [(1, 1), (3, 5), (9, 17), (20, 33), (64, 256)])
@pytest.mark.parametrize("in_bytes", [False, True])
def test_a_step_against_float64(sequences: int, width: int, hidden: int, in_bytes: bool) -> None:
    rng = np.random.default_rng(hidden)
    x, h, c = normal(rng, sequences, width), normal(rng, sequences, hidden) * 0.3, normal(rng, sequences, hidden)
    bias = normal(rng, 4 * hidden)
    if in_bytes:
        weights, recurrent = bytes_of(rng, width, 4 * hidden), bytes_of(rng, hidden, 4 * hidden)
        matrices = _core.Matrix(*weights), _core.Matrix(*recurrent)
        values = [rounded.astype(float) * scale for rounded, scale in (weights, recurrent)]
    else:
        floats = normal(rng, width, 4 * hidden), normal(rng, hidden, 4 * hidden)
        matrices, values = tuple(map(_core.Matrix, floats)), [array.astype(float) for array in floats]
    i, f, g, o = np.split(x.astype(float) @ values[0] + h.astype(float) @ values[1] + bias, 4, axis=1)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))
    cell = sigmoid(f) * c.astype(float) + sigmoid(i) * np.tanh(g)
    wanted = np.concatenate([cell, sigmoid(o) * np.tanh(cell)], axis=1)

    def step():
        after, cells = h.copy(), c.copy()
        _core.lstm_step(after, cells, np.full((sequences, 4 * hidden), np.nan, F), x, *matrices, bias)
        return np.concatenate([cells, after], axis=1)
    np.testing.assert_allclose(on_every_isa(step), wanted, rtol=0, atol=1e-3 if in_bytes else 1e-5)


@pytest.mark.parametrize("message, call", [
    ("x has shape (1, 3), expected (1, 2)", lambda m: _core.product(np.zeros((1, 5), F), np.zeros((1, 3), F), m, None)),
    ("out has shape (2, 5), expected (1, 5)",
     lambda m: _core.product(np.zeros((2, 5), F), np.zeros((1, 2), F), m, None)),
    ("bias has 4 elements, expected 5",
     lambda m: _core.product(np.zeros((1, 5), F), np.zeros((1, 2), F), m, np.zeros(4, F))),
    ("scale has 2 elements, expected 3", lambda m: _core.Matrix(np.zeros((2, 3), np.int8), np.zeros(2, F))),
    ("scale has 3 elements, expected 2", lambda m: _core.Matrix(np.zeros((2, 3), np.int8), np.zeros(3, F), True)),
    ("out has shape (1, 2), expected (1, 3)",
     lambda m: _core.int8_rows(np.zeros((1, 2), F), np.zeros((4, 3), np.int8), np.zeros(4, F), np.zeros(1, np.int64))),
    ("scale has 3 elements, expected 4",
     lambda m: _core.int8_rows(np.zeros((1, 3), F), np.zeros((4, 3), np.int8), np.zeros(3, F), np.zeros(1, np.int64))),
])
def test_what_does_not_fit_is_refused(message: str, call) -> None:
    with pytest.raises(ValueError) as caught:
        call(_core.Matrix(np.zeros((2, 5), F)))
    assert str(caught.value) == message


def test_rows_outside_the_table_are_refused() -> None:
    for row in (4, -2):
        with pytest.raises(IndexError, match=rf"^row\[1\] = {row} is outside the table of 4 rows$"):
            _core.int8_rows(np.zeros((2, 3), F), np.zeros((4, 3), np.int8), np.zeros(4, F), np.array([0, row]))


@pytest.mark.parametrize("name, message", [
    ("c", "c has shape (1, 3), expected (1, 2)"), ("gates", "gates has shape (1, 9), expected (1, 8)"),
    ("x", "x has shape (1, 4), expected (1, 3)"), ("input", "input has shape (3, 7), expected (3, 8)"),
    ("recurrent", "recurrent has shape (3, 8), expected (2, 8)"), ("bias", "bias has 9 elements, expected 8"),
])
def test_a_step_that_does_not_fit_is_refused(name: str, message: str) -> None:
    fits = {"h": np.zeros((1, 2), F), "c": np.zeros((1, 2), F), "gates": np.zeros((1, 8), F), "x": np.zeros((1, 3), F),
            "input": _core.Matrix(np.zeros((3, 8), F)), "recurrent": _core.Matrix(np.zeros((2, 8), F)),
            "bias": np.zeros(8, F)}
    wrong = {"c": np.zeros((1, 3), F), "gates": np.zeros((1, 9), F), "x": np.zeros((1, 4), F), "bias": np.zeros(9, F),
             "input": _core.Matrix(np.zeros((3, 7), F)), "recurrent": _core.Matrix(np.zeros((3, 8), F))}
    with pytest.raises(ValueError) as caught:
        _core.lstm_step(**fits | {name: wrong[name]})
    assert str(caught.value) == message
