"""The C kernels through the binding: values worked out by hand, then float64 NumPy, for every ISA."""

import math

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, Panels, normal

pytestmark = pytest.mark.usefixtures("isa")

SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 257]


def floats(*values: float) -> np.ndarray:
    return np.array(values, F)


def ulps(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance from the float64 values, in units of the last place of float32."""
    if got.size == 0:
        return 0.0
    return float(np.max(np.abs(got - wanted) / np.spacing(np.abs(wanted).astype(F))))


# Softmax


def softmax64(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)


def test_softmax_by_hand() -> None:
    x = np.array([[0, math.log(3)], [-np.inf, 5]], F)
    out = np.empty_like(x)
    _core.softmax(out, x)
    np.testing.assert_allclose(out, [[0.25, 0.75], [0, 1]], rtol=2e-7)
    assert out[1].tolist() == [0, 1]
    _core.log_softmax(out, x)
    np.testing.assert_allclose(out, [[-math.log(4), math.log(0.75)], [-np.inf, 0]], rtol=2e-7)


def test_losses_by_hand() -> None:
    x = np.array([[0, math.log(3)], [7, 8]], F)
    target = np.array([0, -1], np.int32)
    loss = np.full(2, np.nan)
    _core.cross_entropy(loss, x, target)
    np.testing.assert_allclose(loss, [math.log(4), 0], rtol=1e-7)
    gradient, loss = x.copy(), np.full(2, np.nan)
    _core.softmax_cross_entropy(gradient, loss, target, 10)
    np.testing.assert_allclose(loss, [math.log(4), 0], rtol=1e-7)
    np.testing.assert_allclose(gradient, [[-7.5, 7.5], [0, 0]], rtol=1e-6)
    gradient, loss = x.copy(), np.full(2, np.nan)
    _core.softmax_squared(gradient, loss, target, 10)
    np.testing.assert_allclose(loss, [1.125, 0], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-5.625, 5.625], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("width", [n for n in SIZES if n])
@pytest.mark.parametrize("rows", [0, 1, 3, 66])
def test_softmax_against_float64(rows: int, width: int) -> None:
    rng = np.random.default_rng(width)
    x = 3 * normal(rng, rows, width)
    target = rng.integers(-1, width, rows).astype(np.int32)
    if rows:
        target[-1] = width - 1
    kept = target >= 0
    p = softmax64(x)
    onehot = np.zeros_like(p)
    onehot[kept, target[kept]] = 1
    out, loss, same_loss = np.empty_like(x), np.full(rows, np.nan), np.full(rows, np.nan)
    _core.softmax(out, x)
    np.testing.assert_allclose(out, p, rtol=2e-6)
    in_place = x.copy()
    _core.softmax(in_place, in_place)
    assert in_place.tobytes() == out.tobytes()
    _core.log_softmax(out, x)
    np.testing.assert_allclose(out, np.log(p), rtol=1e-6, atol=1e-6)
    nats = np.where(kept, -np.log(p[np.arange(rows), target]), 0)
    _core.cross_entropy(loss, x, target)
    np.testing.assert_allclose(loss, nats, atol=1e-6)
    gradient = x.copy()
    _core.softmax_cross_entropy(gradient, same_loss, target, 0.5)
    assert same_loss.tobytes() == loss.tobytes()
    np.testing.assert_allclose(gradient, 0.5 * (p - onehot) * kept[:, None], atol=2e-7)
    gradient = x.copy()
    _core.softmax_squared(gradient, loss, target, 0.5)
    error = (p - onehot) * kept[:, None]
    np.testing.assert_allclose(loss, (error**2).sum(axis=1), atol=1e-6)
    inner = error - (error * p).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, p * inner * kept[:, None], atol=5e-7)


def test_softmax_of_extreme_logits() -> None:
    x = np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4], [0, -86.9, -88]], F)
    out, loss, target = np.empty_like(x), np.empty(3), np.array([1, 0, 2], np.int32)
    _core.softmax(out, x)
    np.testing.assert_allclose(out[:2], [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-6)
    assert out[2, 1] == pytest.approx(math.exp(-float(F(86.9))), rel=1e-6, abs=0)
    assert out[2, 2] == 0
    _core.cross_entropy(loss, x, target)
    np.testing.assert_allclose(loss, [20000 + math.log(2), math.log(3), 88], rtol=1e-9)
    _core.softmax_cross_entropy(x, loss, target, 1)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x[0], [0.5, -1, 0.5], rtol=1e-6)


@pytest.mark.parametrize("width", [1, 5, 20, 65])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_softmax_does_not_hide_nan(width: int, value: float) -> None:
    for place in range(width):
        x = np.zeros((2, width), F)
        x[0, place] = value
        out = np.empty_like(x)
        _core.softmax(out, x)
        assert np.isnan(out[0]).any()
        np.testing.assert_allclose(out[1], 1 / width, rtol=1e-6)


def test_exponentials_over_their_range() -> None:
    """Against a logit of 0, every other one has the probability exp(x) but for the sum, which all of them share."""
    x = np.concatenate([[0], np.linspace(-86.9, 0, 100001) - 30, [-np.inf, -1e30]]).astype(F)[None]
    x[x < -86.9] = -np.inf
    out = np.empty_like(x)
    _core.softmax(out, x)
    wanted = softmax64(x)
    assert ulps(out[wanted > 0], wanted[wanted > 0]) < 4
    assert not out[wanted == 0].any()


def test_sums_of_long_rows() -> None:
    x = 3 * normal(np.random.default_rng(0), 3, 50_001)
    x[1] = 0
    loss = np.empty(3)
    _core.cross_entropy(loss, x, np.full(3, 50_000, np.int32))
    np.testing.assert_allclose(loss, -np.log(softmax64(x)[:, -1]), rtol=0, atol=2e-7)


@pytest.mark.parametrize("width", [1, 5, 16, 65, 130])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_share_a_loop_but_nothing_else(width: int, value: float) -> None:
    """A row of NaN, of inf or of -inf is NaN, its neighbours what they are by themselves, ignored rows zero."""
    x, target = 3 * normal(np.random.default_rng(width), 40, width), np.full(40, width - 1, np.int32)
    bad, ignored = [0, 7, 31, 32, 39], [1, 7, 33]
    x[bad], target[ignored] = value, -1
    for kernel in (_core.softmax, _core.log_softmax):
        out, alone = np.empty_like(x), np.empty_like(x)
        kernel(out, x)
        for n in range(40):
            kernel(alone[n:n + 1], x[n:n + 1].copy())
        np.testing.assert_array_equal(out, alone)
        assert np.isnan(out[bad]).all() and np.isfinite(np.delete(out, bad, 0)).all()
    for fused in (_core.softmax_cross_entropy, _core.softmax_squared):
        gradient, loss, nats = x.copy(), np.full(40, 7.0), np.full(40, 7.0)
        fused(gradient, loss, target, 0.5)
        assert not gradient[ignored].any() and not loss[ignored].any()
        unheeded = [n for n in bad if n not in ignored]
        assert np.isnan(gradient[unheeded]).all() and np.isnan(loss[unheeded]).all()
        assert np.isfinite(np.delete(gradient, bad, 0)).all()
    _core.softmax_cross_entropy(gradient := x.copy(), loss, target, 0.5)
    _core.cross_entropy(nats, x, target)
    np.testing.assert_array_equal(nats, loss)
    for n in set(range(40)) - {7}:
        _core.softmax_cross_entropy(one := x[n:n + 1].copy(), loss[:1], target[n:n + 1], 0.5)
        np.testing.assert_array_equal(one[0], gradient[n])


# Elementwise


def test_elementwise_by_hand() -> None:
    out = floats(1, 2, 3)
    _core.add(out, floats(10, 20, 30))
    assert out.tolist() == [11, 22, 33]
    _core.multiply(out, out, floats(2, 0, -1))
    assert out.tolist() == [22, 0, -33]
    _core.multiply_add(out, floats(1, 2, 3), floats(1, 1, 2))
    assert out.tolist() == [23, 2, -27]
    _core.relu(out, out)
    assert out.tolist() == [23, 2, 0]
    dx = floats(1, 1, 1)
    _core.relu_back(dx, floats(5, 6, 7), out)
    assert dx.tolist() == [6, 7, 1]
    dx = floats(1, 1)
    _core.tanh_back(dx, floats(2, 4), floats(0.5, -1))
    assert dx.tolist() == [2.5, 1]
    dx = floats(1, 1)
    _core.sigmoid_back(dx, floats(2, 4), floats(0.5, 1))
    assert dx.tolist() == [1.5, 1]
    rows = np.array([[1, 2], [3, 4], [5, 6]], F)
    _core.add_bias(rows, floats(10, 20))
    assert rows.tolist() == [[11, 22], [13, 24], [15, 26]]
    total = floats(1, 2)
    _core.sum_rows(total, rows)
    assert total.tolist() == [40, 74]
    assert _core.sum_squares(floats(1, 2, 3)) == 14
    out = floats(1, 2, 3)
    assert _core.add_sum_squares(out, floats(1, 1, -5)) == 4 + 9 + 4
    assert out.tolist() == [2, 3, -2]


@pytest.mark.parametrize("n", SIZES)
def test_elementwise_against_float64(n: int) -> None:
    rng = np.random.default_rng(n)
    x, a, b, start = (2 * normal(rng, n) for _ in range(4))
    d = np.float64
    out = np.empty_like(x)
    _core.tanh(out, x)
    assert ulps(out, np.tanh(x.astype(d))) < 3
    _core.sigmoid(out, x)
    assert ulps(out, 1 / (1 + np.exp(-x.astype(d)))) < 3
    s, t = 1 / (1 + np.exp(-a)), np.tanh(a)
    for kernel, inputs, wanted in [
        (_core.add, (a,), start + a),
        (_core.multiply_add, (a, b), start + a.astype(d) * b),
        (_core.tanh_back, (b, t), start + b.astype(d) * (1 - t.astype(d) ** 2)),
        (_core.sigmoid_back, (b, s), start + b.astype(d) * s * (1 - s.astype(d))),
        (_core.relu_back, (b, np.maximum(a, 0)), start + b * (a > 0)),
    ]:
        out = start.copy()
        kernel(out, *inputs)
        np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-6)
    assert _core.sum_squares(x) == pytest.approx(np.sum(x.astype(d) ** 2), rel=1e-12)
    out = start.copy()
    assert _core.add_sum_squares(out, x) == _core.sum_squares(start + x)
    assert out.tobytes() == (start + x).tobytes()


def test_tanh_and_sigmoid_over_their_range() -> None:
    x = np.concatenate([np.linspace(-20, 20, 100001), np.geomspace(1e-30, 1, 1001)]).astype(F)
    out = np.empty_like(x)
    _core.tanh(out, x)
    assert ulps(out, np.tanh(x.astype(np.float64))) < 3
    _core.sigmoid(out, x)
    assert ulps(out, 1 / (1 + np.exp(-x.astype(np.float64)))) < 3
    ends = floats(-np.inf, -200, 200, np.inf, -0.0, np.nan)
    out = np.empty_like(ends)
    _core.tanh(out, ends)
    np.testing.assert_array_equal(out, [-1, -1, 1, 1, 0, np.nan])
    assert np.signbit(out[4])
    _core.sigmoid(out, ends)
    np.testing.assert_array_equal(out, [0, 0, 1, 1, 0.5, np.nan])
    _core.relu(out, ends)
    np.testing.assert_array_equal(out, [0, 0, 200, np.inf, 0, np.nan])


@pytest.mark.parametrize("width", [0, 1, 5, 255, 256, 257, 600])
def test_sum_rows_against_float64(width: int) -> None:
    dx = normal(np.random.default_rng(width), 9, width)
    dbias = np.ones(width, F)
    _core.sum_rows(dbias, dx)
    np.testing.assert_allclose(dbias, 1 + dx.sum(axis=0, dtype=np.float64), rtol=1e-6, atol=1e-6)


def test_dropout() -> None:
    x = np.ones((100, 1001), F)
    out, again = np.empty_like(x), np.full_like(x, 2)
    _core.dropout(out, x, 0.75, 7, 0)
    assert set(np.unique(out)) == {F(0), F(1) / F(0.75)}
    assert abs((out > 0).mean() - 0.75) < 0.007
    for axis in (0, 1):
        assert np.ptp((out > 0).mean(axis=axis)) < 0.6
    _core.dropout(again, x, 0.75, 7, 1)
    np.testing.assert_array_equal(again, 2 + out)
    other = np.empty_like(x)
    _core.dropout(other, x, 0.75, 8, 0)
    assert abs(((other > 0) & (out > 0)).mean() - 0.75**2) < 0.007
    _core.dropout(out, x, 1, 7, 0)
    np.testing.assert_array_equal(out, x)


# LSTM


def test_lstm_by_hand() -> None:
    gates, h, c = np.zeros((1, 4), F), np.empty((1, 1), F), np.empty((1, 1), F)
    _core.lstm_gates(h, c, gates, np.array([[0, 0, 100, 0]], F), np.array([[2]], F))
    np.testing.assert_allclose(gates, [[0.5, 0.5, 1, 0.5]])
    np.testing.assert_allclose(c, [[1.5]])
    np.testing.assert_allclose(h, [[0.5 * math.tanh(1.5)]], rtol=1e-6)


def lstm64(gates: np.ndarray, c_prev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = np.split(gates, 4, axis=1)
    c = c_prev / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    return np.tanh(c) / (1 + np.exp(-o)), c


def lstm_back(gates: np.ndarray, dc: np.ndarray, dh: np.ndarray, c: np.ndarray, c_prev: np.ndarray) -> np.ndarray:
    """The gates' gradient in one time step, which takes no product."""
    batch, width = dh.shape
    steps, unused = Panels(4).of(gates), np.zeros(64 * -(-width // 16) * 16 * -(-width // 16), F)
    _core.lstm_backward(steps, dh.copy(), dc, c, c_prev, unused, None, np.array([batch] if batch else [], np.uintp))
    return Panels(4).matrix(steps, width)


@pytest.mark.parametrize("width", [n for n in SIZES if n])
@pytest.mark.parametrize("first", [False, True])
def test_lstm_against_float64(width: int, first: bool) -> None:
    rng = np.random.default_rng(width)
    batch = width % 4
    x, recurrent = normal(rng, batch, 4 * width), normal(rng, batch, 4 * width)
    c_prev, dh, dc_after = (normal(rng, batch, width) for _ in range(3))
    if first:
        c_prev[:] = 0
    before = None if first else c_prev
    gates, h, c = x.copy(), np.empty_like(dh), np.empty_like(dh)
    _core.lstm_gates(h, c, gates, None if first else recurrent, before)
    pre = x.astype(np.float64) + (0 if first else recurrent)
    wanted_h, wanted_c = lstm64(pre, c_prev)
    np.testing.assert_allclose(h, wanted_h, atol=1e-6)
    np.testing.assert_allclose(c, wanted_c, atol=1e-6)

    def scalar(pre: np.ndarray, c_prev: np.ndarray) -> np.ndarray:
        h, c = lstm64(pre, c_prev)
        return (h * dh + c * dc_after).astype(np.float64)

    step, dc = 1e-6, dc_after.copy()
    dgates = lstm_back(gates, dc, dh, c, c_prev)
    for gate in range(4):
        moved = np.zeros_like(pre)
        moved[:, gate * width : (gate + 1) * width] = step
        slope = (scalar(pre + moved, c_prev) - scalar(pre - moved, c_prev)) / (2 * step)
        np.testing.assert_allclose(dgates[:, gate * width : (gate + 1) * width], slope, atol=2e-6)
    wide = c_prev.astype(np.float64)
    slope = (scalar(pre, wide + step) - scalar(pre, wide - step)) / (2 * step)
    np.testing.assert_allclose(dc, slope, atol=2e-6)
    if not first:
        gates = x.copy()
        _core.lstm_gates(h, c_prev, gates, recurrent, c_prev)
        assert c_prev.tobytes() == c.tobytes()


# Optimisers


def test_optimisers_by_hand() -> None:
    p, g = floats(1), floats(2)
    _core.sgd(p, g, _core.Rate(lr=0.1, scale=0.5, l2=0.1, decay=0.5))  # d = 1.1; p = 0.95 - 0.11
    assert (p.tolist(), g.tolist()) == ([pytest.approx(0.84)], [0])
    p, v, g = floats(1), floats(1), floats(2)
    _core.momentum(p, v, g, _core.Rate(lr=0.1, momentum=0.9))  # v = 0.9 + 2
    assert (p[0], v[0], g[0]) == (pytest.approx(0.71), pytest.approx(2.9), 0)
    p, a, g = floats(1), floats(16), floats(3)
    _core.adagrad(p, a, g, _core.Rate(lr=0.1, epsilon=1))  # a = 25; p = 1 - 0.3 / 6
    assert (p[0], a[0], g[0]) == (pytest.approx(0.95), 25, 0)
    p, m, v, g = floats(1), floats(0), floats(0), floats(2)
    rate = _core.Rate(lr=0.1, decay=0.5, correct1=0.1, correct2=0.001, epsilon=2)
    _core.adamw(p, m, v, g, rate)  # m/c1 = 2, v/c2 = 4; p = 0.95 - 0.1 * 2 / (2 + 2)
    assert (p[0], m[0], v[0], g[0]) == (pytest.approx(0.9), pytest.approx(0.2), pytest.approx(0.004), 0)


RATE = {"lr": 0.03, "scale": 0.7, "l2": 0.2, "decay": 0.1, "momentum": 0.8, "epsilon": 1e-3, "correct1": 0.4,
        "correct2": 0.3}


def moved64(method: str, p: np.ndarray, state: list[np.ndarray], g: np.ndarray) -> list[np.ndarray]:
    p, g, *state = (a.astype(np.float64) for a in (p, g, *state))
    d = RATE["scale"] * g + RATE["l2"] * p
    shrunk = p * (1 - RATE["lr"] * RATE["decay"])
    if method == "sgd":
        return [shrunk - RATE["lr"] * d]
    if method == "momentum":
        v = RATE["momentum"] * state[0] + d
        return [shrunk - RATE["lr"] * v, v]
    if method == "adagrad":
        a = state[0] + d * d
        return [shrunk - RATE["lr"] * d / (np.sqrt(a) + RATE["epsilon"]), a]
    m, v = 0.9 * state[0] + 0.1 * d, 0.999 * state[1] + 0.001 * d * d
    moved = RATE["lr"] * (m / RATE["correct1"]) / (np.sqrt(v / RATE["correct2"]) + RATE["epsilon"])
    return [shrunk - moved, m, v]


METHODS = {"sgd": 0, "momentum": 1, "adagrad": 1, "adamw": 2}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_optimisers_against_float64(method: str, n: int) -> None:
    rng = np.random.default_rng(n)
    p, g = normal(rng, n), normal(rng, n)
    state = [normal(rng, n) ** 2 for _ in range(METHODS[method])]
    wanted = moved64(method, p, state, g)
    getattr(_core, method)(p, *state, g, _core.Rate(**RATE))
    for got, value in zip([p, *state], wanted, strict=True):
        np.testing.assert_allclose(got, value, rtol=2e-5, atol=1e-6)
    assert not g.any()


@pytest.mark.parametrize("method", METHODS)
def test_optimisers_move_only_the_rows_named(method: str) -> None:
    rng = np.random.default_rng(3)
    arrays = [normal(rng, 7, 5) ** 2 for _ in range(METHODS[method] + 2)]
    p, *state, g = arrays
    before = [a.copy() for a in arrays]
    rows = np.array([6, 0, 3])
    wanted = moved64(method, p[rows], [s[rows] for s in state], g[rows])
    getattr(_core, method + "_rows")(p, *state, g, rows, _core.Rate(**RATE))
    for got, value in zip([p, *state], wanted, strict=True):
        np.testing.assert_allclose(got[rows], value, rtol=2e-5, atol=1e-6)
    assert not g[rows].any()
    others = [1, 2, 4, 5]
    for got, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(got[others], old[others])


def test_rows_of_a_gradient() -> None:
    x, out = np.arange(6, dtype=F).reshape(3, 2), np.ones((3, 2), F)
    rows = np.array([2, 0])
    assert _core.sum_squares_rows(x, rows) == 0 + 1 + 16 + 25
    _core.add_rows(out, x, rows)
    assert out.tolist() == [[1, 2], [1, 1], [5, 6]]
    assert x.tolist() == [[0, 0], [2, 3], [0, 0]]
    _core.add_rows(out, x, np.array([], np.int64))


# Every instruction set gives the same bytes


def everything(n: int) -> bytes:
    """The bytes of what every kernel with arithmetic beyond one addition makes of random numbers."""
    rng = np.random.default_rng(n)
    x, y = 5 * normal(rng, 3, n), normal(rng, 3, n)
    out, loss, target = np.empty_like(x), np.empty(3), np.array([0, n - 1, -1], np.int32)
    got: list[bytes] = []
    for kernel in (_core.softmax, _core.log_softmax, _core.tanh, _core.sigmoid):
        kernel(out, x)
        got.append(out.tobytes())
    for fused in (_core.softmax_cross_entropy, _core.softmax_squared):
        gradient = x.copy()
        fused(gradient, loss, target, 0.3)
        got += [gradient.tobytes(), loss.tobytes()]
    total = np.zeros(n, F)
    _core.sum_rows(total, x)
    for back in (_core.tanh_back, _core.sigmoid_back, _core.multiply_add):
        back(out, x, y)
    _core.dropout(out, out, 0.6, n, 0)
    gates, h, c = normal(rng, 3, 4 * n), np.empty_like(x), np.empty_like(x)
    _core.lstm_gates(h, c, gates, None, y)
    dc = x.copy()
    dgates = lstm_back(gates, dc, y, c, y)
    for method, states in METHODS.items():
        p, gradient, state = x.copy(), y.copy(), [y * y for _ in range(states)]
        getattr(_core, method)(p, *state, gradient, _core.Rate(**RATE))
        got += [p.tobytes(), *(s.tobytes() for s in state)]
    sums = np.empty((3, 2, n), F)
    _core.decayed_sum(sums, np.zeros((2, 2, n), F), x, floats(0.7, 0.3), None, np.array([2, 1], np.uintp))
    arrays = [total, out, h, c, gates, dgates, dc, sums]
    return b"".join([*got, *(a.tobytes() for a in arrays), F(_core.sum_squares(x)).tobytes()])


@pytest.mark.parametrize("n", [n for n in SIZES if n])
def test_every_instruction_set_gives_the_same_bytes(n: int) -> None:
    here = everything(n)
    _core.use_isa("portable")
    assert everything(n) == here
