"""Layers of gated recurrent units, and panels of three gates, against float64 on every instruction set."""

import numpy as np
import pytest

from fastlm import _core
from tests.core.cases import F, Panels, close, normal

pytestmark = pytest.mark.usefixtures("isa")
THREE = Panels(3)

LAYERS = [((1,), 1, None, None), ((3, 2, 2, 1), 5, None, None), ((8, 8, 7), 33, None, 4),
          ((3, 3, 2), 17, (0, 1, 0, 0, 0, 1, 1, 0), None), ((13, 13), 48, (1,) + 25 * (0,), 3),
          ((65, 1), 16, None, None)]


def test_panels_of_three_gates_by_hand() -> None:
    weight = np.arange(6, dtype=F).reshape(1, 6)            # one row, two units: r0 r1 z0 z1 n0 n1
    got = THREE.packed(weight)
    assert got.shape == (1, 1, 48)
    assert got[0, 0, [0, 1, 16, 17, 32, 33]].tolist() == [0, 1, 2, 3, 4, 5]
    assert got.sum() == 15


@pytest.mark.parametrize("rows, width, hidden", [(1, 1, 1), (7, 5, 16), (13, 64, 33), (300, 9, 20), (97, 65, 31)])
def test_products_of_three_gates_against_float64(rows: int, width: int, hidden: int) -> None:
    rng = np.random.default_rng(rows)
    x, weight, bias = normal(rng, rows, width), normal(rng, width, 3 * hidden), normal(rng, 3 * hidden)
    out = np.full((-(-hidden // 16), rows, 48), np.nan, F)
    _core.panel_product(out, x, THREE.packed(weight), bias)
    close(THREE.matrix(out, hidden), x.astype(float) @ weight + bias)
    gradient = normal(rng, rows, 3 * hidden)
    dpanels = THREE.of(gradient)
    dx, dweight, dbias = normal(rng, rows, width), normal(rng, width, 3 * hidden), normal(rng, 3 * hidden)
    before = dx.copy(), dweight.copy(), dbias.copy()
    _core.panel_product_back(dx, dpanels, THREE.packed_back(weight))
    _core.panel_weights(dweight, x, dpanels)
    _core.panel_sum(dbias, dpanels)
    close(dx, before[0] + gradient.astype(float) @ weight.T)
    close(dweight, before[1] + x.astype(float).T @ gradient)
    close(dbias, before[2] + gradient.astype(float).sum(0))
    row, table = rng.integers(0, 4, rows), THREE.of(np.ones((4, 3 * hidden), F))
    _core.panel_scatter(table, dpanels, row)
    wanted = np.ones((4, 3 * hidden))
    np.add.at(wanted, row, gradient.astype(float))
    close(THREE.matrix(table, hidden), wanted)


def layer(rng, sizes, hidden, starts=None, rows=None):
    """Inputs, weights and carry of a layer, and what gru_forward makes of them."""
    count = sum(sizes)
    case = {"inputs": normal(rng, rows or count, 3 * hidden), "recurrent": 0.7 * normal(rng, hidden, 3 * hidden),
            "bias": normal(rng, hidden), "hidden": normal(rng, sizes[0], hidden),
            "row": rng.integers(0, rows, count) if rows else None, "size": np.array(sizes, np.uintp),
            "starts": None if starts is None else np.array(starts, np.uint8)}
    out = {name: np.full((count, hidden), np.nan, F) for name in ("h", "h_prev")}
    out["h_prev"][:sizes[0]] = case["hidden"]
    inputs = THREE.of(case["inputs"])
    out["gates"] = np.full((inputs.shape[0], count, 48), np.nan, F) if rows else inputs
    out["kept"] = np.full((inputs.shape[0], count, 48), np.nan, F)
    _core.gru_forward(out["h"], out["gates"], out["kept"], out["h_prev"], THREE.packed(case["recurrent"]), case["bias"],
                      inputs, case["row"], case["starts"], case["size"])
    return case, out


def layer64(case, inputs, product_nudge=0.0):
    """The equations, step by step, in float64: h of every row. product_nudge (N, 3H) is added to h U."""
    size, h, n, all_h = case["size"].astype(int), case["hidden"].astype(float), 0, []
    recurrent = case["recurrent"].astype(float)
    nudge = np.zeros_like(inputs) + product_nudge
    for lanes in size:
        h = h[:lanes]
        if case["starts"] is not None:
            h = np.where(case["starts"][n: n + lanes].astype(bool)[:, None], 0, h)
        (r, z, new), (from_r, from_z, m) = (np.split(part, 3, axis=1) for part in (
            inputs[n: n + lanes], h @ recurrent + nudge[n: n + lanes]))
        r, z = 1 / (1 + np.exp(-(r + from_r))), 1 / (1 + np.exp(-(z + from_z)))
        h = (1 - z) * np.tanh(new + r * (m + case["bias"])) + z * h
        all_h.append(h)
        n += lanes
    return np.concatenate(all_h)


def test_a_layer_by_hand() -> None:
    """h = 2; the inputs' r = 0, z = ln 3 before the sigmoid, so r = 1/2 and z = 3/4; the product's third gate 2 * 1 + 4
    = 6 is halved to 3, n = tanh(-3 + 3) = 0; h = 0 / 4 + 3/4 * 2."""
    h, h_prev, kept = np.empty((1, 1), F), np.array([[2]], F), np.empty((1, 1, 48), F)
    gates = THREE.of(np.array([[0, np.log(3), -3]], F))
    _core.gru_forward(h, gates, kept, h_prev, THREE.packed(np.array([[0, 0, 1]], F)), np.array([4], F), gates,
                      None, None, np.ones(1, np.uintp))
    np.testing.assert_allclose(h, [[1.5]], rtol=1e-6)
    np.testing.assert_allclose(gates[0, 0, [0, 16, 32]], [0.5, 0.75, 0], atol=1e-6)
    assert kept[0, 0, 32] == 6
    # back, dh = 8: dn = 8 * 1/4 = 2, dm = 2 r = 1, dr = dn m r (1-r) = 3, dz = 8 (2 - 0) 3/16 = 3
    _core.gru_backward(gates, kept, np.array([[8]], F), h_prev, THREE.packed_back(np.array([[0, 0, 1]], F)), None,
                       np.ones(1, np.uintp))
    np.testing.assert_allclose(gates[0, 0, [0, 16, 32]], [3, 3, 2], rtol=1e-5)
    np.testing.assert_allclose(kept[0, 0, [0, 16, 32]], [3, 3, 1], rtol=1e-5)


@pytest.mark.parametrize("sizes, hidden, starts, rows", LAYERS)
def test_gru_layer_against_float64(sizes, hidden, starts, rows) -> None:
    rng = np.random.default_rng(hidden)
    case, out = layer(rng, sizes, hidden, starts, rows)
    inputs = case["inputs"].astype(float) if rows is None else case["inputs"][case["row"]].astype(float)
    np.testing.assert_allclose(out["h"], layer64(case, inputs), rtol=0, atol=2e-6)
    from_above = normal(rng, len(inputs), hidden)
    dh = from_above.copy()
    _core.gru_backward(out["gates"], out["kept"], dh, out["h_prev"], THREE.packed_back(case["recurrent"]),
                       case["starts"], case["size"])
    if hidden % 16:   # what later products multiply by zeros has to be finite
        assert np.isfinite(out["gates"]).all() and np.isfinite(out["kept"]).all()
    for found, of_product in ((THREE.matrix(out["gates"], hidden), 0), (THREE.matrix(out["kept"], hidden), 1)):
        for _ in range(12):                                      # central differences of sum(h * from_above)
            n, column = rng.integers(len(inputs)), rng.integers(3 * hidden)
            nudge = np.zeros_like(inputs)
            nudge[n, column] = 1e-5
            up, down = ((layer64(case, inputs + sign * nudge * (1 - of_product), sign * nudge * of_product)
                         * from_above).sum() for sign in (1, -1))
            assert found[n, column] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=2e-5)


def test_a_gradient_does_not_cross_the_start_of_a_document() -> None:
    rng = np.random.default_rng(1)
    case, out = layer(rng, (2, 2, 2), 3, (0, 0, 1, 0, 0, 0))
    dh = np.zeros((6, 3), F)
    dh[2:] = normal(rng, 4, 3)
    _core.gru_backward(out["gates"], out["kept"], dh, out["h_prev"], THREE.packed_back(case["recurrent"]),
                       case["starts"], case["size"])
    assert (THREE.matrix(out["gates"], 3)[0] == 0).all() and (dh[0] == 0).all()   # row 2 is the successor of row 0
    assert (THREE.matrix(out["gates"], 3)[1] != 0).any() and (dh[1] != 0).all()


def test_no_rows_at_all() -> None:
    none, panel, weight = np.zeros((0, 3), F), np.zeros((1, 0, 48), F), np.ones((3, 9), F)
    nothing, bias = np.zeros(0, np.uintp), np.arange(3, dtype=F)
    forward, back = THREE.packed(weight), THREE.packed_back(weight)
    before = [array.tobytes() for array in (forward, back, bias)]
    _core.gru_forward(none, panel, panel, none, forward, bias, panel, None, None, nothing)
    _core.gru_backward(panel, panel, none, none, back, None, nothing)
    assert [array.tobytes() for array in (forward, back, bias)] == before


@pytest.mark.skipif("avx2" not in _core.available_isas() or "avx512" not in _core.available_isas(),
                    reason="the processor lacks one of the two")
@pytest.mark.parametrize("sizes, hidden, starts, rows", LAYERS)
def test_avx2_and_avx512_give_the_same_bytes(sizes, hidden, starts, rows) -> None:
    got = []
    for name in ("avx2", "avx512"):
        _core.use_isa(name)
        rng = np.random.default_rng(hidden)
        case, out = layer(rng, sizes, hidden, starts, rows)
        dh = normal(rng, *out["h"].shape)
        _core.gru_backward(out["gates"], out["kept"], dh, out["h_prev"], THREE.packed_back(case["recurrent"]),
                           case["starts"], case["size"])
        got.append([array.tobytes() for array in (*out.values(), dh)])
    assert got[0] == got[1]


@pytest.mark.parametrize("sequences, width, hidden", [(0, 3, 5), (1, 1, 1), (3, 9, 17), (8, 20, 33), (1, 64, 256)])
def test_a_step_is_a_layer_of_one_step(sequences: int, width: int, hidden: int) -> None:
    rng = np.random.default_rng(hidden)
    case = {"hidden": normal(rng, sequences, hidden), "recurrent": normal(rng, hidden, 3 * hidden) / hidden**0.5,
            "bias": normal(rng, hidden), "size": np.array([sequences], np.uintp), "starts": None}
    x, weight, bias = normal(rng, sequences, width), normal(rng, width, 3 * hidden), normal(rng, 3 * hidden)
    h, scratch = case["hidden"].copy(), [np.full((sequences, 3 * hidden), np.nan, F) for _ in range(2)]
    _core.gru_step(h, *scratch, x, _core.Matrix(weight), _core.Matrix(case["recurrent"]), bias, case["bias"])
    np.testing.assert_allclose(h, layer64(case, x.astype(float) @ weight + bias), rtol=0, atol=1e-5)
    first = h.tobytes()
    _core.use_isa("portable")
    h = case["hidden"].copy()
    _core.gru_step(h, *scratch, x, _core.Matrix(weight), _core.Matrix(case["recurrent"]), bias, case["bias"])
    assert h.tobytes() == first


def f(*shape):
    return np.zeros(shape, F)


SIZE = np.array([2, 1], np.uintp)
FORWARD = {"h": f(3, 2), "gates": f(1, 3, 48), "kept": f(1, 3, 48), "h_prev": f(3, 2), "packed": f(1, 2, 48),
           "bias": f(2), "inputs": f(1, 3, 48), "row": None, "starts": None, "size": SIZE}
BACKWARD = {"gates": f(1, 3, 48), "kept": f(1, 3, 48), "dh": f(3, 2), "h_prev": f(3, 2), "packed": f(768),
            "starts": None, "size": SIZE}
STEP = {"h": f(1, 2), "gates": f(1, 6), "kept": f(1, 6), "x": f(1, 3), "input": f(3, 6), "recurrent": f(2, 6),
        "input_bias": f(6), "bias": f(2)}


def step(**changed):
    _core.gru_step(*(_core.Matrix(array) if name in ("input", "recurrent") else array
                     for name, array in (STEP | changed).items()))


MESSAGES = {
    "out has 32 columns a panel, expected 48 or 64": lambda: _core.panel_pack(f(1, 3, 32), f(3, 6)),
    "w has 8 columns, expected a multiple of 3": lambda: _core.panel_pack(f(1, 3, 48), f(3, 8)),
    "gates = 5, expected 3 or 4": lambda: _core.panel_pack_back(f(64), f(3, 8), 5),
    "out has 64 elements, expected 768": lambda: _core.panel_pack_back(f(64), f(3, 6), 3),
    "packed has shape (1, 3, 64), expected (1, 3, 48)": lambda: _core.panel_product(
        f(1, 2, 48), f(2, 3), f(1, 3, 64), f(6)),
    "panels has shape (1, 2, 64), expected (1, 2, 48)": lambda: _core.panel_scatter(
        f(1, 2, 48), f(1, 2, 64), np.zeros(2, np.int64)),
    "h_prev has shape (2, 2), expected (3, 2)": lambda: _core.gru_forward(*(FORWARD | {"h_prev": f(2, 2)}).values()),
    "gates has shape (1, 3, 64), expected (1, 3, 48)": lambda: _core.gru_forward(
        *(FORWARD | {"gates": f(1, 3, 64)}).values()),
    "kept has shape (1, 2, 48), expected (1, 3, 48)": lambda: _core.gru_forward(
        *(FORWARD | {"kept": f(1, 2, 48)}).values()),
    "packed has shape (1, 3, 48), expected (1, 2, 48)": lambda: _core.gru_forward(
        *(FORWARD | {"packed": f(1, 3, 48)}).values()),
    "bias has 3 elements, expected 2": lambda: _core.gru_forward(*(FORWARD | {"bias": f(3)}).values()),
    "inputs has shape (2, 3, 48), expected (1, 3, 48)": lambda: _core.gru_forward(
        *(FORWARD | {"inputs": f(2, 3, 48)}).values()),
    "row[2] = 3 is outside the table of 3 rows": lambda: _core.gru_forward(
        *(FORWARD | {"row": np.array([0, 1, 3])}).values()),
    "row has 2 elements, expected 3": lambda: _core.gru_forward(*(FORWARD | {"row": np.zeros(2, np.int64)}).values()),
    "size adds up to 3 rows, expected 4": lambda: _core.gru_forward(*(FORWARD | {"h": f(4, 2)}).values()),
    "starts has 2 elements, expected 3": lambda: _core.gru_backward(
        *(BACKWARD | {"starts": np.zeros(2, np.uint8)}).values()),
    "packed has 767 elements, expected 768": lambda: _core.gru_backward(*(BACKWARD | {"packed": f(767)}).values()),
    "kept has shape (1, 4, 48), expected (1, 3, 48)": lambda: _core.gru_backward(
        *(BACKWARD | {"kept": f(1, 4, 48)}).values()),
    "gates has shape (1, 5), expected (1, 6)": lambda: step(gates=f(1, 5)),
    "kept has shape (2, 6), expected (1, 6)": lambda: step(kept=f(2, 6)),
    "x has shape (1, 4), expected (1, 3)": lambda: step(x=f(1, 4)),
    "input has shape (3, 7), expected (3, 6)": lambda: step(input=f(3, 7)),
    "recurrent has shape (3, 6), expected (2, 6)": lambda: step(recurrent=f(3, 6)),
    "input_bias has 5 elements, expected 6": lambda: step(input_bias=f(5)),
    "bias has 1 elements, expected 2": lambda: step(bias=f(1)),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: str) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message
