"""Products with gate panels and LSTM layers along time, against float64 on every instruction set."""

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, Panels, close, normal

pytestmark = pytest.mark.usefixtures("isa")
FOUR = Panels(4)

SHAPES = [(1, 1, 1), (2, 3, 5), (7, 5, 16), (6, 17, 17), (13, 64, 33), (5, 80, 48), (300, 9, 20), (97, 65, 31)]


def test_panels_by_hand() -> None:
    weight = np.arange(8, dtype=F).reshape(1, 8)            # one row, two units: i0 i1 f0 f1 g0 g1 o0 o1
    got = FOUR.packed(weight)
    assert got.shape == (1, 1, 64)
    assert got[0, 0, [0, 1, 16, 17, 32, 33, 48, 49]].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert got.sum() == 28                                   # and zeros elsewhere
    out = np.full((1, 2, 64), np.nan, F)
    _core.panel_product(out, np.array([[2], [10]], F), got, np.ones(8, F))
    assert out[0, 0, [0, 1, 16, 49]].tolist() == [1, 3, 5, 15]
    assert out[0, 1, [0, 1, 16, 49]].tolist() == [1, 11, 21, 71]
    back = np.array([[5]], F)
    one = FOUR.of(np.array([[1, 1, 0, 0, 0, 0, 0, 2]], F))
    _core.panel_product_back(back, one, FOUR.packed_back(weight))
    assert back.tolist() == [[5 + 1 * 0 + 1 * 1 + 2 * 7]]


@pytest.mark.parametrize("rows, width, hidden", SHAPES)
def test_products_against_float64(rows: int, width: int, hidden: int) -> None:
    rng = np.random.default_rng(rows)
    x, weight, bias = normal(rng, rows, width), normal(rng, width, 4 * hidden), normal(rng, 4 * hidden)
    out = np.full((-(-hidden // 16), rows, 64), np.nan, F)
    _core.panel_product(out, x, FOUR.packed(weight), bias)
    close(FOUR.matrix(out, hidden), x.astype(float) @ weight + bias)
    if hidden % 16:
        assert (out[-1].reshape(rows, 4, 16)[:, :, hidden % 16:] == 0).all()

    gradient = normal(rng, rows, 4 * hidden)
    dpanels = FOUR.of(gradient)
    dx, dweight, dbias = normal(rng, rows, width), normal(rng, width, 4 * hidden), normal(rng, 4 * hidden)
    before = dx.copy(), dweight.copy(), dbias.copy()
    _core.panel_product_back(dx, dpanels, FOUR.packed_back(weight))
    _core.panel_weights(dweight, x, dpanels)
    _core.panel_sum(dbias, dpanels)
    close(dx, before[0] + gradient.astype(float) @ weight.T)
    close(dweight, before[1] + x.astype(float).T @ gradient)
    close(dbias, before[2] + gradient.astype(float).sum(0))


@pytest.mark.parametrize("filler", [7.0, -3e30])
def test_lanes_beyond_the_last_unit_count_nothing(filler: float) -> None:
    rng = np.random.default_rng(5)
    gradient, x, weight = normal(rng, 3, 20), normal(rng, 3, 2), normal(rng, 2, 20)
    results = []
    for dpanels in (FOUR.of(gradient), FOUR.of(gradient, filler)):
        dx, dweight, dbias = np.zeros((3, 2), F), np.zeros((2, 20), F), np.zeros(20, F)
        _core.panel_product_back(dx, dpanels, FOUR.packed_back(weight))
        _core.panel_weights(dweight, x, dpanels)
        _core.panel_sum(dbias, dpanels)
        results.append([dx.tobytes(), dweight.tobytes(), dbias.tobytes()])
    assert results[0] == results[1]


def test_scatter_by_row() -> None:
    rng = np.random.default_rng(6)
    values, row = normal(rng, 5, 72), np.array([2, 0, 2, 3, 2])
    out = FOUR.of(np.ones((4, 72), F))
    _core.panel_scatter(out, FOUR.of(values), row)
    wanted = np.ones((4, 72))
    np.add.at(wanted, row, values.astype(float))
    close(FOUR.matrix(out, 18), wanted)


def layer(rng, sizes, hidden, starts=None, rows=None):
    """Inputs, weights and carries of a layer, and what lstm_forward makes of them."""
    count = sum(sizes)
    case = {"inputs": normal(rng, rows or count, 4 * hidden), "recurrent": 0.7 * normal(rng, hidden, 4 * hidden),
            "hidden": normal(rng, sizes[0], hidden), "cell": normal(rng, sizes[0], hidden),
            "row": rng.integers(0, rows, count) if rows else None, "size": np.array(sizes, np.uintp),
            "starts": None if starts is None else np.array(starts, np.uint8)}
    out = {name: np.full((count, hidden), np.nan, F) for name in ("h", "c", "h_prev", "c_prev")}
    out["h_prev"][:sizes[0]], out["c_prev"][:sizes[0]] = case["hidden"], case["cell"]
    inputs = FOUR.of(case["inputs"])
    out["gates"] = np.full((inputs.shape[0], count, 64), np.nan, F) if rows else inputs
    _core.lstm_forward(out["h"], out["c"], out["gates"], out["h_prev"], out["c_prev"], FOUR.packed(case["recurrent"]),
                       inputs, case["row"], case["starts"], case["size"])
    return case, out


def layer64(case, inputs, recurrent):
    """The equations, step by step, in float64: h and c of every row."""
    size, width = case["size"].astype(int), len(recurrent)
    h, c = case["hidden"].astype(float), case["cell"].astype(float)
    all_h, all_c, n = [], [], 0
    for lanes in size:
        h, c = h[:lanes], c[:lanes]
        if case["starts"] is not None:
            fresh = case["starts"][n: n + lanes].astype(bool)
            h, c = np.where(fresh[:, None], 0, h), np.where(fresh[:, None], 0, c)
        i, f, g, o = np.split(inputs[n: n + lanes] + h @ recurrent, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        all_h.append(h)
        all_c.append(c)
        n += lanes
    assert all_h[0].shape[1] == width
    return np.concatenate(all_h), np.concatenate(all_c)


LAYERS = [((1,), 1, None, None), ((3, 2, 2, 1), 5, None, None), ((8, 8, 7), 33, None, 4),
          ((3, 3, 2), 17, (0, 1, 0, 0, 0, 1, 1, 0), None), ((13, 13), 48, (1,) + 25 * (0,), 3),
          ((65, 1), 16, None, None)]


@pytest.mark.parametrize("sizes, hidden, starts, rows", LAYERS)
def test_lstm_layer_against_float64(sizes, hidden, starts, rows) -> None:
    rng = np.random.default_rng(hidden)
    case, out = layer(rng, sizes, hidden, starts, rows)
    inputs = case["inputs"].astype(float) if rows is None else case["inputs"][case["row"]].astype(float)
    h, c = layer64(case, inputs, case["recurrent"].astype(float))
    np.testing.assert_allclose(out["h"], h, rtol=0, atol=2e-6)
    np.testing.assert_allclose(out["c"], c, rtol=0, atol=4e-6)

    from_above = normal(rng, len(h), hidden)
    gates, dh, dc = out["gates"], from_above.copy(), np.zeros((sizes[0], hidden), F)
    _core.lstm_backward(gates, dh, dc, out["c"], out["c_prev"], FOUR.packed_back(case["recurrent"]), case["starts"],
                        case["size"])
    dgates = FOUR.matrix(gates, hidden)
    for _ in range(12):                                      # central differences of sum(h * from_above)
        n, column = rng.integers(len(h)), rng.integers(4 * hidden)
        values = []
        for nudge in (1e-5, -1e-5):
            moved = inputs.copy()
            moved[n, column] += nudge
            values.append((layer64(case, moved, case["recurrent"].astype(float))[0] * from_above).sum())
        assert dgates[n, column] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=2e-5)


def test_a_gradient_does_not_cross_the_start_of_a_document() -> None:
    rng = np.random.default_rng(1)
    case, out = layer(rng, (2, 2, 2), 3, (0, 0, 1, 0, 0, 0))
    dh = np.zeros((6, 3), F)
    dh[2:] = normal(rng, 4, 3)
    _core.lstm_backward(out["gates"], dh, np.zeros((2, 3), F), out["c"], out["c_prev"],
                        FOUR.packed_back(case["recurrent"]), case["starts"], case["size"])
    assert (FOUR.matrix(out["gates"], 3)[0] == 0).all() and (dh[0] == 0).all()   # row 2 is the successor of row 0
    assert (FOUR.matrix(out["gates"], 3)[1] != 0).any()


def test_no_rows_at_all() -> None:
    none, panel = np.zeros((0, 3), F), np.zeros((1, 0, 64), F)
    weight = np.ones((3, 12), F)
    _core.lstm_forward(none, none, panel, none, none, FOUR.packed(weight), panel, None, None, np.zeros(0, np.uintp))
    _core.lstm_backward(panel, none, none, none, none, FOUR.packed_back(weight), None, np.zeros(0, np.uintp))
    _core.panel_product(panel, none, FOUR.packed(weight), np.zeros(12, F))
    dweight = weight.copy()
    _core.panel_weights(dweight, none, panel)
    assert (dweight == 1).all()


@pytest.mark.skipif("avx2" not in _core.available_isas() or "avx512" not in _core.available_isas(),
                    reason="the processor lacks one of the two")
@pytest.mark.parametrize("sizes, hidden, starts, rows", LAYERS)
def test_avx2_and_avx512_give_the_same_bytes(sizes, hidden, starts, rows) -> None:
    got = []
    for name in ("avx2", "avx512"):
        _core.use_isa(name)
        rng = np.random.default_rng(hidden)
        case, out = layer(rng, sizes, hidden, starts, rows)
        dh, dweight = normal(rng, *out["h"].shape), np.zeros_like(case["recurrent"])
        _core.lstm_backward(out["gates"], dh, np.zeros((sizes[0], hidden), F), out["c"], out["c_prev"],
                            FOUR.packed_back(case["recurrent"]), case["starts"], case["size"])
        _core.panel_weights(dweight, out["h_prev"], out["gates"])
        out["gates"] = FOUR.matrix(out["gates"], hidden)
        got.append([array.tobytes() for array in (*out.values(), dh, dweight)])
    assert got[0] == got[1]


def f(*shape):
    return np.zeros(shape, F)


SIZE = np.array([2, 1], np.uintp)
MESSAGES = {
    "w has 6 columns, expected a multiple of 4": lambda: _core.panel_pack(f(1, 3, 64), f(3, 6)),
    "out has shape (1, 3, 64), expected (2, 3, 64)": lambda: _core.panel_pack(f(1, 3, 64), f(3, 68)),
    "out has 64 elements, expected 1024": lambda: _core.panel_pack_back(f(64), f(3, 8)),
    "packed has shape (1, 4, 64), expected (1, 3, 64)": lambda: _core.panel_product(
        f(1, 2, 64), f(2, 3), f(1, 4, 64), f(8)),
    "bias has 9 elements, expected 8": lambda: _core.panel_product(f(1, 2, 64), f(2, 3), f(1, 3, 64), f(9)),
    "packed has 1 elements, expected 1024": lambda: _core.panel_product_back(f(2, 3), f(1, 2, 64), f(1)),
    "dw has shape (2, 8), expected (3, 8)": lambda: _core.panel_weights(f(2, 8), f(2, 3), f(1, 2, 64)),
    "dpanels has shape (1, 5, 64), expected (1, 2, 64)": lambda: _core.panel_weights(f(3, 8), f(2, 3), f(1, 5, 64)),
    "dbias has 7 elements, expected 4": lambda: _core.panel_sum(f(7), f(1, 2, 64)),
    "panels has shape (1, 3, 64), expected (1, 2, 64)": lambda: _core.panel_scatter(
        f(1, 2, 64), f(1, 3, 64), np.zeros(2, np.int64)),
    "row[1] = 2 is outside the table of 2 rows": lambda: _core.panel_scatter(
        f(1, 2, 64), f(1, 2, 64), np.array([0, 2])),
    "inputs has shape (1, 2, 64), expected (1, 3, 64)": lambda: forward(inputs=f(1, 2, 64)),
    "row has 2 elements, expected 3": lambda: forward(row=np.zeros(2, np.int64)),
    "row[2] = 3 is outside the table of 3 rows": lambda: forward(row=np.array([0, 1, 3])),
    "row[0] = -1 is outside the table of 3 rows": lambda: forward(row=np.array([-1, 1, 2])),
    "h_prev has shape (2, 2), expected (3, 2)": lambda: forward(h_prev=f(2, 2)),
    "c_prev has shape (3, 1), expected (3, 2)": lambda: forward(c_prev=f(3, 1)),
    "gates has shape (2, 3, 64), expected (1, 3, 64)": lambda: forward(gates=f(2, 3, 64)),
    "size adds up to 3 rows, expected 4": lambda: forward(h=f(4, 2)),
    "starts has 2 elements, expected 3": lambda: forward(starts=np.zeros(2, np.uint8)),
    "dc has shape (2, 3), expected (2, 2)": lambda: backward(dc=f(2, 3)),
    "packed has 1023 elements, expected 1024": lambda: backward(packed=f(1023)),
    "size[0] = 2 is more than the 1 sequences before it": lambda: backward(dc=f(1, 2)),
}


def forward(**changed):
    arguments = {"h": f(3, 2), "c": f(3, 2), "gates": f(1, 3, 64), "h_prev": f(3, 2), "c_prev": f(3, 2),
                 "packed": f(1, 2, 64), "inputs": f(1, 3, 64), "row": None, "starts": None, "size": SIZE}
    _core.lstm_forward(*(arguments | changed).values())


def backward(**changed):
    arguments = {"gates": f(1, 3, 64), "dh": f(3, 2), "dc": f(2, 2), "c": f(3, 2), "c_prev": f(3, 2),
                 "packed": f(1024), "starts": None, "size": SIZE}
    _core.lstm_backward(*(arguments | changed).values())


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: str) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message
