"""Measure matrix products beside NumPy's and PyTorch's: those of an LSTM layer on gate panels, and those of many rows.

Goal: at least 1.15 times NumPy's at the rows of a time step, 16 to 64; otherwise fastlm would use NumPy's for them. One
thread each. `gates` is a time step forward, x (rows, H) times (H, 4H); `back` its backward product; `weights` the
gradient of the matrix over all 2,048 rows of a batch, which has no goal: it is computed on panels because that is what
the backward pass leaves. The matrix is packed once a batch and used at every time step, so packing is not part of the
time of a step; its own column has it as a share of the products of 32 steps. NumPy gets the transposed matrix copied
into order beforehand, PyTorch, which is faster so, as a view.

The second table is of `_core.dense_product`, which `fastlm.autodiff.matmul` takes in place of NumPy's on processors
where it is known to be at least 1.15 times as fast; "in use" says what it takes here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Options, Rival, Table, interleave, one_thread, times, torch_or_none, validate, verdict
from benchmarks.kernels.table import sgemm_peak
from fastlm import _core
from fastlm.autodiff.matmul import aligned
from fastlm.autodiff.sequence import _packed, _packed_back

STEPS, ALL_ROWS = 32, 2048
MANY = [("logits", 683, 256, 10_000), ("logits, tied", 683, 200, 10_000), ("characters", 2048, 256, 65),
        ("words drawn", 512, 160, 1024), ("feed-forward", 2048, 320, 256), ("perceptron", 4096, 256, 1024)]


def run(options: Options) -> None:
    """Print the table."""
    torch = torch_or_none()
    table = Table("product", "rows", "H", "fastlm", "NumPy", "PyTorch", "of NumPy's", "of the sgemm peak", "packing",
                  "goal")
    with one_thread():
        peak = sgemm_peak()
        for hidden in (256, 512):
            for rows in (16, 32, 64):
                for name in ("gates", "back"):
                    product(table, torch, name, rows, hidden, peak)
            product(table, torch, "weights", ALL_ROWS, hidden, peak)
    table.print()
    table = Table("many rows", "product", "sizes", "fastlm", "NumPy", "PyTorch", "of NumPy's", "of the sgemm peak",
                  "in use")
    with one_thread():
        for name, rows, inner, columns in MANY:
            for way in ("forward", "input's gradient", "weights' gradient"):
                dense(table, torch, name, way, (rows, inner, columns), peak)
    table.print()
    print(f"GFLOP/s; sgemm peak of this run: {peak * 1e-9:.0f}.")


def dense(table: Table, torch: Any, name: str, way: str, sizes: tuple[int, int, int], peak: float) -> None:
    """Add a row of the second table: rows (N, D) by weights (D, C), tied ones stored as (C, D), or a gradient."""
    rows, inner, columns = sizes
    rng = np.random.default_rng(rows)

    def drawn(*shape: int) -> np.ndarray:
        out = aligned(shape)
        out[...] = rng.standard_normal(shape, np.float32)
        return out
    x, d = drawn(rows, inner), drawn(rows, columns)
    weight = drawn(columns, inner).T if name in ("logits, tied", "words drawn") else drawn(inner, columns)
    a, b = {"forward": (x, weight), "input's gradient": (d, weight.T),
            "weights' gradient": (x.T, d) if weight.flags.c_contiguous else (d.T, x)}[way]
    ours, theirs, room = aligned((len(a), b.shape[1])), aligned((len(a), b.shape[1])), aligned((_core.ROOM,))

    def multiplied() -> np.ndarray:
        _core.dense_product(ours, a, b, room, False)
        return ours
    rivals = {"NumPy": Rival(lambda: np.matmul(a, b, out=theirs))}
    if torch is not None:
        t_a, t_b, t_out = (torch.from_numpy(array) for array in (a, b, np.empty_like(theirs)))
        rivals["PyTorch"] = Rival(lambda: torch.mm(t_a, t_b, out=t_out))
    validate(f"{name}, {way}", {"fastlm": Rival(multiplied), **rivals}, 1e-5)
    median = interleave({"fastlm": Rival(multiplied), **rivals}, 0.5)
    work = 2.0 * rows * inner * columns
    speed = {label: f"{work / seconds * 1e-9:.0f}" for label, seconds in median.items()}
    table.add(name, way, f"{rows:,} x {inner} x {columns:,}", speed["fastlm"], speed["NumPy"], speed.get("PyTorch", ""),
              times(median["NumPy"] / median["fastlm"]), f"{work / median['fastlm'] / peak:.0%}",
              "fastlm" if _core.multiplies_wider() else "NumPy")


def product(table: Table, torch: Any, name: str, rows: int, hidden: int, peak: float) -> None:
    """Compare the results, and add a row of the first table."""
    rng = np.random.default_rng(rows)
    weight = rng.standard_normal((hidden, 4 * hidden), np.float32)
    x, gates = rng.standard_normal((rows, hidden), np.float32), rng.standard_normal((rows, 4 * hidden), np.float32)
    panels = as_panels(gates)
    packed, back, bias = _packed(weight), _packed_back(weight), np.zeros(4 * hidden, np.float32)
    out, own = {"gates": (x @ weight, np.empty_like(panels)), "back": (x.copy(), x.copy()),
                "weights": (weight.copy(), weight.copy())}[name]
    left, right = {"gates": (x, weight), "back": (gates, weight.T), "weights": (x.T, gates)}[name]

    def ours() -> np.ndarray:
        if name == "gates":
            _core.panel_product(own, x, packed, bias)
            return own
        own.fill(0)                       # they add; NumPy and PyTorch assign
        if name == "back":
            _core.panel_product_back(own, panels, back)
        else:
            _core.panel_weights(own, x, panels)
        return own

    def as_matrix() -> np.ndarray:
        result = ours()
        return from_panels(result, hidden) if name == "gates" else result
    in_order = np.ascontiguousarray(right)
    rivals = {"NumPy": Rival(lambda: np.matmul(left, in_order, out=out))}
    if torch is not None:
        t_left, t_right, t_out = (torch.from_numpy(array) for array in (left, right, np.empty_like(out)))
        rivals["PyTorch"] = Rival(lambda: torch.mm(t_left, t_right, out=t_out))
    validate(f"{name} of {rows} rows", {"fastlm": Rival(as_matrix), **rivals}, 1e-5)
    pack = {"gates": lambda: _core.panel_pack(packed, weight), "back": lambda: _core.panel_pack_back(back, weight)}
    median = interleave({"fastlm": Rival(ours), **rivals} | ({"pack": Rival(pack[name])} if name in pack else {}), 0.5)
    work = 2.0 * rows * 4 * hidden * hidden
    speed = {label: f"{work / seconds * 1e-9:.0f}" for label, seconds in median.items()}
    ratio = median["NumPy"] / median["fastlm"]
    share = f"{median['pack'] / (STEPS * median['fastlm']):.1%}" if "pack" in median else ""
    table.add(name, rows, hidden, speed["fastlm"], speed["NumPy"], speed.get("PyTorch", ""), times(ratio),
              f"{work / median['fastlm'] / peak:.0%}", share,
              verdict([("≥ 1.15× NumPy", ratio, 1.15)]) if name != "weights" else "")


def as_panels(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix (R, 4H), H a multiple of 16, as gate panels."""
    rows, width = len(matrix), matrix.shape[1] // 4
    return np.ascontiguousarray(matrix.reshape(rows, 4, width // 16, 16).transpose(2, 0, 1, 3)).reshape(-1, rows, 64)


def from_panels(panels: np.ndarray, hidden: int) -> np.ndarray:
    """Return the matrix that `as_panels` made panels of."""
    return panels.reshape(hidden // 16, -1, 4, 16).transpose(1, 2, 0, 3).reshape(-1, 4 * hidden)
