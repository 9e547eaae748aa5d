"""Measure flat arrays and sums of rows, for the table of `kernels`: activations, dropout, optimisers, sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from benchmarks.harness import Disagreement, Rival, Table
from benchmarks.kernels.table import Work, kernel_row
from fastlm import _core


def activation(table: Table, torch: Any, name: str, size: int) -> None:
    """Measure tanh or sigmoid of a flat array."""
    x = 3 * np.random.default_rng(3).standard_normal(size, np.float32)
    out, other = np.empty_like(x), np.empty_like(x)
    kernel = getattr(_core, name)

    def ours() -> np.ndarray:
        kernel(out, x)
        return out

    def by_numpy() -> np.ndarray:
        if name == "tanh":
            return np.tanh(x, out=other)
        np.exp(np.negative(x, out=other), out=other)
        return np.reciprocal(np.add(other, 1, out=other), out=other)
    rivals = {"fastlm": Rival(ours), "NumPy": Rival(by_numpy)}
    if name == "sigmoid":
        rivals["SciPy"] = Rival(lambda: special.expit(x, out=other))
    if torch is not None:
        t_x, t_out, method = torch.from_numpy(x), torch.empty(size), getattr(torch, name)
        rivals["PyTorch"] = Rival(lambda: method(t_x, out=t_out))
    kernel_row(table, name, f"{size:,}", rivals,
               work=Work(2 * x.nbytes, 2 * x.nbytes, {"tanh": 24, "sigmoid": 22}[name] * size))


def dropout(table: Table, torch: Any, size: int, keep: float = 0.8) -> None:
    """Measure dropout. Each rival draws its own numbers, so only how many are kept is compared."""
    x, out, other = (np.ones(size, np.float32) for _ in range(3))
    random, rng = np.empty(size, np.float32), np.random.default_rng(9)

    def ours() -> np.ndarray:
        _core.dropout(out, x, keep, 7, False)
        return out

    def by_numpy() -> np.ndarray:
        rng.random(dtype=np.float32, out=random)
        return np.multiply(np.multiply(x, np.float32(1 / keep), out=other), np.less(random, keep), out=other)
    results = {"fastlm": ours, "NumPy": by_numpy}
    if torch is not None:
        t_x = torch.from_numpy(x)
        results["PyTorch"] = lambda: torch.nn.functional.dropout(t_x, 1 - keep)
    for label, result in results.items():
        kept = float(np.mean(np.asarray(result()) > 0))
        if abs(kept - keep) > 0.01:
            raise Disagreement(f"dropout: {label} kept {kept:.3f} of the elements, expected {keep}")
    rivals = {label: Rival(lambda result=result: result()[:0]) for label, result in results.items()}
    kernel_row(table, "dropout", f"{size:,}", rivals, work=Work(2 * x.nbytes, 2 * x.nbytes))


def adamw(table: Table, torch: Any, size: int) -> None:
    """Measure one step of AdamW on a flat array; only ours also zeroes the gradient."""
    rng = np.random.default_rng(5)
    first, gradient = (rng.standard_normal(size, np.float32) for _ in range(2))
    p, m, v, g = first.copy(), np.zeros_like(first), np.zeros_like(first), gradient.copy()
    q, n, w = first.copy(), np.zeros_like(first), np.zeros_like(first)
    one, two = np.empty_like(first), np.empty_like(first)
    rate = _core.Rate(lr=1e-3, decay=0.01, beta1=0.9, beta2=0.99, epsilon=1e-8, correct1=1 - 0.9, correct2=1 - 0.99)

    def ours() -> np.ndarray:
        _core.adamw(p, m, v, g, rate)
        return p

    def start(p: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
        np.copyto(p, first)
        m.fill(0)
        v.fill(0)
        np.copyto(g, gradient)

    def by_numpy() -> np.ndarray:
        np.multiply(n, np.float32(0.9), out=n)
        np.add(n, np.multiply(g, np.float32(0.1), out=one), out=n)
        np.multiply(w, np.float32(0.99), out=w)
        np.add(w, np.multiply(np.multiply(g, g, out=one), np.float32(0.01), out=one), out=w)
        np.sqrt(np.divide(w, np.float32(1 - 0.99), out=one), out=one)
        np.divide(n, np.add(one, np.float32(1e-8), out=one), out=two)
        np.multiply(q, np.float32(1 - 1e-3 * 0.01), out=q)
        return np.subtract(q, np.multiply(two, np.float32(1e-3 / 0.1), out=two), out=q)
    rivals = {"fastlm": Rival(ours, lambda: start(p, m, v)), "NumPy": Rival(by_numpy, lambda: start(q, n, w))}
    if torch is not None:
        for kind in ("fused", "foreach"):
            parameter = torch.nn.Parameter(torch.from_numpy(first.copy()))
            parameter.grad = torch.from_numpy(gradient.copy())
            method = torch.optim.AdamW([parameter], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, **{kind: True})

            def reset(parameter: Any = parameter, method: Any = method) -> None:
                with torch.no_grad():
                    parameter.copy_(torch.from_numpy(first))
                for memory in method.state.get(parameter, {}).values():
                    memory.zero_()

            def step(parameter: Any = parameter, method: Any = method) -> Any:
                method.step()
                return parameter
            rivals[f"PyTorch {kind}"] = Rival(step, reset)
    kernel_row(table, "adamw", f"{size:,}", rivals, 1e-5, work=Work(8 * p.nbytes, 4 * p.nbytes, 17 * size, True))


def adagrad(table: Table, torch: Any, size: int) -> None:
    """Measure one step of AdaGrad on a flat array; only ours also zeroes the gradient."""
    rng = np.random.default_rng(10)
    first, gradient = (rng.standard_normal(size, np.float32) for _ in range(2))
    p, a, g, q, b, one = first.copy(), np.zeros_like(first), gradient.copy(), first.copy(), *np.zeros((2, size), "f4")
    rate = _core.Rate(lr=1e-2, epsilon=1e-8)

    def ours() -> np.ndarray:
        _core.adagrad(p, a, g, rate)
        return p

    def start(p: np.ndarray, a: np.ndarray) -> None:
        np.copyto(p, first)
        a.fill(0)
        np.copyto(g, gradient)

    def by_numpy() -> np.ndarray:
        np.add(b, np.multiply(g, g, out=one), out=b)
        np.add(np.sqrt(b, out=one), np.float32(1e-8), out=one)
        return np.subtract(q, np.multiply(np.divide(g, one, out=one), np.float32(1e-2), out=one), out=q)
    rivals = {"fastlm": Rival(ours, lambda: start(p, a)), "NumPy": Rival(by_numpy, lambda: start(q, b))}
    if torch is not None:
        parameter = torch.nn.Parameter(torch.from_numpy(first.copy()))
        parameter.grad = torch.from_numpy(gradient.copy())
        method = torch.optim.Adagrad([parameter], lr=1e-2, eps=1e-8, fused=True)

        def reset() -> None:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(first))
            method.state[parameter]["sum"].zero_()

        def step() -> Any:
            method.step()
            return parameter
        rivals["PyTorch fused"] = Rival(step, reset)
    kernel_row(table, "adagrad", f"{size:,}", rivals, 1e-5, work=Work(6 * p.nbytes, 3 * p.nbytes, 8 * size, True))


def squares(table: Table, torch: Any, size: int) -> None:
    """Measure the sum of squares of a gradient, alone and while another one is added to it. Ours sums in double."""
    rng = np.random.default_rng(11)
    x, other = (1e-3 * rng.standard_normal(size, np.float32) for _ in range(2))
    out = np.zeros_like(x)
    t_x, t_out, t_other = (torch.from_numpy(array) if torch is not None else None for array in (x, out, other))
    rivals = {"fastlm": Rival(lambda: np.float64(_core.sum_squares(x))), "NumPy": Rival(lambda: np.dot(x, x))}
    if torch is not None:
        rivals["PyTorch"] = Rival(lambda: torch.dot(t_x, t_x))
    kernel_row(table, "sum_squares", f"{size:,}", rivals, work=Work(x.nbytes, x.nbytes, 2 * size, True))

    def clear() -> None:
        np.copyto(out, x)

    def by_numpy() -> Any:
        np.add(out, other, out=out)
        return np.dot(out, out)

    def by_torch() -> Any:
        t_out.add_(t_other)
        return torch.dot(t_out, t_out)
    rivals = {"fastlm": Rival(lambda: np.float64(_core.add_sum_squares(out, other)), clear),
              "NumPy": Rival(by_numpy, clear)}
    if torch is not None:
        rivals["PyTorch"] = Rival(by_torch, clear)
    kernel_row(table, "add_sum_squares", f"{size:,}", rivals,
               work=Work(3 * x.nbytes, 2 * x.nbytes, 3 * size, True))


def biases(table: Table, torch: Any, count: int, width: int) -> None:
    """Measure a bias added to rows, and its gradient, their sum. Ours sums in double."""
    rng = np.random.default_rng(12)
    x, bias, total = rng.standard_normal((count, width), np.float32), np.zeros(width, np.float32), np.zeros(width, "f4")
    sizes, t_x = f"({count:,}, {width})", torch.from_numpy(x) if torch is not None else None

    def ours() -> np.ndarray:
        _core.add_bias(x, bias)
        return x
    rivals = {"fastlm": Rival(ours), "NumPy": Rival(lambda: np.add(x, bias, out=x))}
    if torch is not None:
        t_bias = torch.from_numpy(bias)
        rivals["PyTorch"] = Rival(lambda: t_x.add_(t_bias))
    kernel_row(table, "add_bias", sizes, rivals, work=Work(2 * x.nbytes, x.nbytes, x.size, True))

    def clear() -> None:
        total.fill(0)

    def our_sum() -> np.ndarray:
        _core.sum_rows(total, x)
        return total
    rivals = {"fastlm": Rival(our_sum, clear), "NumPy": Rival(lambda: np.add(total, x.sum(0), out=total), clear)}
    if torch is not None:
        t_total = torch.from_numpy(total)
        rivals["PyTorch"] = Rival(lambda: t_total.add_(t_x.sum(0)), clear)
    kernel_row(table, "sum_rows", sizes, rivals, work=Work(x.nbytes, x.nbytes, x.size, True))
