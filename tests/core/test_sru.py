"""Simple recurrent units and root mean square normalisation, by hand and against float64 on every instruction set."""

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, normal

pytestmark = pytest.mark.usefixtures("isa")



def test_a_unit_by_hand() -> None:
    """c = 4 before; f = 3/4, x = 8, r = 1/2, so c = 3 + 2 and h = 5/2; then a new document, f = r = 1/2, x = 6."""
    log3 = np.log(3)
    gates, carry = np.array([[log3, 8, 0], [0, 6, 0]], F), np.array([[4]], F)
    h, c, size, starts = np.empty((2, 1), F), np.empty((2, 1), F), np.ones(2, np.uintp), np.array([0, 1], np.uint8)
    _core.sru_forward(h, c, gates, carry, starts, size)
    np.testing.assert_allclose(c, [[5], [3]], rtol=1e-6)
    np.testing.assert_allclose(h, [[2.5], [1.5]], rtol=1e-6)
    assert carry[0, 0] == c[1, 0]
    # back, dh = 2 and 4. Second row: dc = 2: df = 2 (0 - 6)/4, dx = 1, dr = 4 * 3/4. First: dc = 1, nothing from later
    _core.sru_backward(gates, np.zeros((1, 1), F), np.array([[2], [4]], F), c, np.array([[4]], F), starts, size)
    np.testing.assert_allclose(gates, [[(4 - 8) * 3 / 16, 1 / 4, 2 * 5 / 4], [-3, 1, 3]], rtol=1e-6)


def test_rms_norm_by_hand() -> None:
    out, scale, x = np.empty((2, 4), F), np.empty(2, F), np.array([[3, -3, 3, 3], [0, 0, 0, 0]], F)
    _core.rms_norm(out, scale, x)
    np.testing.assert_allclose(out, [[1, -1, 1, 1], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(scale, [1 / 3, 1000], rtol=1e-6)
    dx = np.ones((2, 4), F)
    _core.rms_norm_back(dx, np.array([[4, 0, 0, 0], [1, 2, 3, 4]], F), out, scale)   # mean of dout * out is 1
    np.testing.assert_allclose(dx, [[2, 4 / 3, 2 / 3, 2 / 3], [1001, 2001, 3001, 4001]], rtol=1e-5)


def test_relu_squared_by_hand() -> None:
    x, out, dx = np.array([-2, 0, 3, np.nan], F), np.empty(4, F), np.ones(4, F)
    _core.relu_squared(out, x)
    np.testing.assert_array_equal(out, [0, 0, 9, np.nan])
    _core.relu_squared_back(dx, np.full(4, 5, F), x)
    np.testing.assert_array_equal(dx, [1, 1, 31, 1])


@pytest.mark.parametrize("rows, width", [(0, 3), (1, 1), (3, 5), (2, 16), (5, 33), (4, 257)])
def test_rms_norm_against_float64(rows: int, width: int) -> None:
    rng = np.random.default_rng(width)
    x, dout, dx = (normal(rng, rows, width) for _ in range(3))
    out, scale, before = np.empty_like(x), np.empty(rows, F), dx.astype(float)
    _core.rms_norm(out, scale, x)
    size = np.sqrt((x.astype(float)**2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(out, x / size, rtol=1e-6, atol=1e-7)
    _core.rms_norm_back(dx, dout, out, scale)
    wanted = (dout - (dout * (x / size)).mean(1, keepdims=True) * (x / size)) / size
    np.testing.assert_allclose(dx, before + wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max(initial=0)))


LAYERS = [((1,), 1, None), ((3, 2, 2, 1), 5, None), ((3, 3, 2), 17, (0, 1, 0, 0, 0, 1, 1, 0)), ((8, 8, 7), 33, None),
          ((2, 1), 256, (0, 0, 1))]


def layer(sizes, width, starts):
    rng = np.random.default_rng(width)
    count, size = sum(sizes), np.array(sizes, np.uintp)
    flags = None if starts is None else np.array(starts, np.uint8)
    given, first, from_above = normal(rng, count, 3 * width), normal(rng, sizes[0], width), normal(rng, count, width)
    gates, carry = given.copy(), first.copy()
    h, c = np.full((2, count, width), np.nan, F)
    _core.sru_forward(h, c, gates, carry, flags, size)
    forward = gates.copy()
    dc = np.zeros((sizes[0], width), F)
    _core.sru_backward(gates, dc, from_above, c, first, flags, size)
    return given, first, from_above, (h, c, carry, forward, gates)


def layer64(gates, first, sizes, starts):
    """h of every row, and the last c of every lane, in float64."""
    c, n, out = first.astype(float), 0, []
    f, x, r = np.split(gates.astype(float), 3, axis=1)
    f, r = 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-r))
    for lanes in sizes:
        rows = slice(n, n + lanes)
        if starts is not None:
            c[:lanes] *= 1 - np.array(starts[n: n + lanes])[:, None]
        c[:lanes] = f[rows] * c[:lanes] + (1 - f[rows]) * x[rows]
        out.append(r[rows] * c[:lanes])
        n += lanes
    return np.concatenate(out), c


@pytest.mark.parametrize("sizes, width, starts", LAYERS)
def test_a_layer_against_float64(sizes, width, starts) -> None:
    given, first, from_above, (h, _, carry, _, found) = layer(sizes, width, starts)
    wanted, last = layer64(given, first, sizes, starts)
    np.testing.assert_allclose(h, wanted, rtol=0, atol=2e-6)
    np.testing.assert_allclose(carry, last, rtol=0, atol=2e-6)
    rng = np.random.default_rng(1)
    for _ in range(20):                                          # central differences of sum(h * from_above)
        n, column = rng.integers(len(h)), rng.integers(3 * width)
        moved = np.zeros(given.shape)
        moved[n, column] = 1e-5
        up, down = ((layer64(given + sign * moved, first, sizes, starts)[0] * from_above).sum() for sign in (1, -1))
        assert found[n, column] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("sizes, width, starts", LAYERS)
def test_every_isa_gives_the_same_bytes(sizes, width, starts) -> None:
    ours = [array.tobytes() for array in layer(sizes, width, starts)[3]]
    _core.use_isa("portable")
    assert [array.tobytes() for array in layer(sizes, width, starts)[3]] == ours


def test_no_rows_at_all() -> None:
    none, nothing = np.zeros((0, 3), F), np.zeros(0, np.uintp)
    carry = np.ones((2, 3), F)
    _core.sru_forward(none, none, np.zeros((0, 9), F), carry, None, nothing)
    _core.sru_backward(np.zeros((0, 9), F), np.zeros((2, 3), F), none, none, carry, None, nothing)
    assert (carry == 1).all()


def f(*shape):
    return np.zeros(shape, F)


SIZE = np.array([2, 1], np.uintp)
FORWARD = {"h": f(3, 2), "c": f(3, 2), "gates": f(3, 6), "carry": f(2, 2), "starts": None, "size": SIZE}
BACKWARD = {"gates": f(3, 6), "dc": f(2, 2), "dh": f(3, 2), "c": f(3, 2), "first": f(2, 2), "starts": None,
            "size": SIZE}


@pytest.mark.parametrize("message, call", [
    ("c has shape (3, 1), expected (3, 2)", lambda: _core.sru_forward(**FORWARD | {"c": f(3, 1)})),
    ("gates has shape (3, 5), expected (3, 6)", lambda: _core.sru_forward(**FORWARD | {"gates": f(3, 5)})),
    ("carry has shape (2, 3), expected (2, 2)", lambda: _core.sru_forward(**FORWARD | {"carry": f(2, 3)})),
    ("size[0] = 2 is more than the 1 sequences before it", lambda: _core.sru_forward(**FORWARD | {"carry": f(1, 2)})),
    ("size adds up to 3 rows, expected 4", lambda: _core.sru_forward(**FORWARD | {"h": f(4, 2)})),
    ("starts has 2 elements, expected 3", lambda: _core.sru_forward(**FORWARD | {"starts": np.zeros(2, np.uint8)})),
    ("gates has shape (2, 6), expected (3, 6)", lambda: _core.sru_backward(**BACKWARD | {"gates": f(2, 6)})),
    ("dc has shape (2, 3), expected (2, 2)", lambda: _core.sru_backward(**BACKWARD | {"dc": f(2, 3)})),
    ("c has shape (4, 2), expected (3, 2)", lambda: _core.sru_backward(**BACKWARD | {"c": f(4, 2)})),
    ("first has shape (1, 2), expected (2, 2)", lambda: _core.sru_backward(**BACKWARD | {"first": f(1, 2)})),
    ("out has shape (2, 3), expected (2, 4)", lambda: _core.rms_norm(f(2, 3), f(2), f(2, 4))),
    ("scale has 3 elements, expected 2", lambda: _core.rms_norm(f(2, 3), f(3), f(2, 3))),
    ("dout has shape (1, 3), expected (2, 3)", lambda: _core.rms_norm_back(f(2, 3), f(1, 3), f(2, 3), f(2))),
    ("out has shape (2, 2), expected (2, 3)", lambda: _core.rms_norm_back(f(2, 3), f(2, 3), f(2, 2), f(2))),
    ("scale has 1 elements, expected 2", lambda: _core.rms_norm_back(f(2, 3), f(2, 3), f(2, 3), f(1))),
    ("dout has 2 elements, expected 3", lambda: _core.relu_squared_back(f(3), f(2), f(3))),
    ("x has 4 elements, expected 3", lambda: _core.relu_squared(f(3), f(4))),
])
def test_messages(message: str, call) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
