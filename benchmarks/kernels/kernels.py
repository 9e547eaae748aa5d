"""Measure kernels on dense arrays: softmax and its losses, activations, LSTM gates, optimisers, sums, sampling.

Goal: the fused softmax + cross-entropy + gradient at least 4 times as fast as NumPy and 1.5 times as fast as PyTorch at
65, 10,000 and 50,000 words. One thread each; every rival computes in place or into a buffer it keeps where its library
can. "autograd" is `cross_entropy` and `backward`, "by hand" the same formula in PyTorch's own in-place operations: the
faster of the two is shown. See `rows` for the kernels that read tables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from benchmarks.harness import Options, Rival, Table, one_thread, torch_or_none
from benchmarks.kernels.flat import activation, adagrad, adamw, biases, dropout, squares
from benchmarks.kernels.table import KERNEL_HEADERS, Work, kernel_row, sgemm_peak
from fastlm import _core

_EXPONENTIAL = 21   # operations of an exponential of a shifted logit, its sum and its scaling


def run(options: Options) -> None:
    """Print the table."""
    torch = torch_or_none()
    table = Table(*KERNEL_HEADERS)
    with one_thread():
        for count, vocab_size in ((4096, 65), (512, 10_000), (128, 50_000)):
            fused_loss(table, torch, count, vocab_size)
        for rows_of in (log_softmax, cross_entropy, squared_loss):
            rows_of(table, torch, 512, 10_000)
        for name in ("tanh", "sigmoid"):
            activation(table, torch, name, 1 << 18)
        dropout(table, torch, 1 << 18)
        gates(table, torch, 64, 256)
        for optimizer in (adamw, adagrad):
            optimizer(table, torch, 1 << 20)
        squares(table, torch, 1 << 20)
        biases(table, torch, 4096, 256)
        sampling(table, torch, 10_000)
        peak = sgemm_peak()
    table.print()
    print(f"sgemm peak of this run: {peak * 1e-9:.0f} GFLOP/s on one thread.")


def fused_loss(table: Table, torch: Any, count: int, vocab_size: int) -> None:
    """Measure the losses, with the gradient of their sum written in place of the logits."""
    rng = np.random.default_rng(1)
    given = 3 * rng.standard_normal((count, vocab_size), np.float32)
    target = rng.integers(0, vocab_size, count).astype(np.int32)
    scale, every = 1 / count, np.arange(count)
    x, losses = np.empty_like(given), np.empty(count)

    def restore() -> None:
        np.copyto(x, given)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        _core.softmax_cross_entropy(x, losses, target, scale)
        return losses, x

    def by_numpy() -> tuple[np.ndarray, np.ndarray]:
        np.subtract(x, x.max(1, keepdims=True), out=x)
        at_target = x[every, target]
        np.exp(x, out=x)
        total = x.sum(1, keepdims=True)
        np.multiply(x, scale / total, out=x)
        x[every, target] -= np.float32(scale)
        return np.log(total[:, 0]) - at_target, x

    def by_scipy() -> tuple[np.ndarray, np.ndarray]:
        logp = special.log_softmax(x, 1)
        loss = -logp[every, target]
        np.exp(logp, out=logp)
        logp[every, target] -= 1
        np.multiply(logp, np.float32(scale), out=logp)
        return loss, logp
    rivals = {"fastlm": Rival(ours, restore), "NumPy": Rival(by_numpy, restore), "SciPy": Rival(by_scipy, restore)}
    if torch is not None:
        t_x, t_target = torch.from_numpy(x), torch.from_numpy(target.astype(np.int64))
        leaf, t_every = torch.from_numpy(given.copy()).requires_grad_(), torch.arange(count)

        def forget() -> None:
            leaf.grad = None

        def autograd() -> Any:
            loss = torch.nn.functional.cross_entropy(leaf, t_target, reduction="none")
            (loss.sum() * scale).backward()
            return loss, leaf.grad

        def by_hand() -> Any:
            with torch.inference_mode():
                t_x.sub_(t_x.amax(1, keepdim=True))
                shifted = t_x[t_every, t_target]
                t_x.exp_()
                total = t_x.sum(1, keepdim=True)
                t_x.mul_(scale / total)
                t_x[t_every, t_target] -= scale
                return total[:, 0].log() - shifted, t_x
        rivals |= {"PyTorch autograd": Rival(autograd, forget), "PyTorch by hand": Rival(by_hand, restore)}
    kernel_row(table, "softmax + cross-entropy + gradient", f"({count:,}, {vocab_size:,})", rivals, 2e-5,
               {"NumPy": 4, "PyTorch": 1.5}, 1.0, Work(2 * x.nbytes, x.nbytes, _EXPONENTIAL * x.size))


def log_softmax(table: Table, torch: Any, count: int, vocab_size: int) -> None:
    """Measure the log-probabilities of every row."""
    x = 3 * np.random.default_rng(2).standard_normal((count, vocab_size), np.float32)
    out, other = np.empty_like(x), np.empty_like(x)

    def ours() -> np.ndarray:
        _core.log_softmax(out, x)
        return out

    def by_numpy() -> np.ndarray:
        top = x.max(1, keepdims=True)
        np.subtract(x, top, out=other)
        np.exp(other, out=other)
        np.subtract(x, top + np.log(other.sum(1, keepdims=True)), out=other)
        return other
    rivals = {"fastlm": Rival(ours), "NumPy": Rival(by_numpy), "SciPy": Rival(lambda: special.log_softmax(x, 1))}
    if torch is not None:
        t_x, t_out = torch.from_numpy(x), torch.empty(x.shape)
        rivals["PyTorch"] = Rival(lambda: torch._log_softmax(t_x, 1, False, out=t_out))
    kernel_row(table, "log_softmax", f"({count:,}, {vocab_size:,})", rivals,
               work=Work(2 * x.nbytes, 2 * x.nbytes, (_EXPONENTIAL + 1) * x.size))


def cross_entropy(table: Table, torch: Any, count: int, vocab_size: int) -> None:
    """Measure the losses alone."""
    rng = np.random.default_rng(7)
    x, other = 3 * rng.standard_normal((count, vocab_size), np.float32), np.empty((count, vocab_size), np.float32)
    target, losses, every = rng.integers(0, vocab_size, count).astype(np.int32), np.empty(count), np.arange(count)

    def ours() -> np.ndarray:
        _core.cross_entropy(losses, x, target)
        return losses

    def by_numpy() -> np.ndarray:
        top = x.max(1, keepdims=True)
        np.exp(np.subtract(x, top, out=other), out=other)
        return np.log(other.sum(1)) + (top[:, 0] - x[every, target])
    rivals = {"fastlm": Rival(ours), "NumPy": Rival(by_numpy),
              "SciPy": Rival(lambda: special.logsumexp(x, 1) - x[every, target])}
    if torch is not None:
        t_x, t_target = torch.from_numpy(x), torch.from_numpy(target.astype(np.int64))
        rivals["PyTorch"] = Rival(lambda: torch.nn.functional.cross_entropy(t_x, t_target, reduction="none"))
    kernel_row(table, "cross_entropy", f"({count:,}, {vocab_size:,})", rivals,
               work=Work(x.nbytes, x.nbytes, (_EXPONENTIAL - 1) * x.size))


def squared_loss(table: Table, torch: Any, count: int, vocab_size: int) -> None:
    """Measure |softmax - onehot|^2, with its gradient written in place of the logits."""
    rng = np.random.default_rng(8)
    given, target = 3 * rng.standard_normal((count, vocab_size), np.float32), rng.integers(0, vocab_size, count)
    x, losses, every, ids = np.empty_like(given), np.empty(count), np.arange(count), target.astype(np.int32)

    def restore() -> None:
        np.copyto(x, given)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        _core.softmax_squared(x, losses, ids, 1.0)
        return losses, x
    kept = np.empty_like(given)

    def by_numpy() -> tuple[np.ndarray, np.ndarray]:
        p = np.exp(np.subtract(x, x.max(1, keepdims=True), out=x), out=x)
        np.multiply(p, 1 / p.sum(1, keepdims=True), out=p)
        np.copyto(kept, p)
        kept[every, target] -= 1
        loss = np.einsum("nv,nv->n", kept, kept)
        np.subtract(kept, np.einsum("nv,nv->n", kept, p)[:, None], out=kept)
        return loss, np.multiply(np.multiply(kept, 2, out=kept), p, out=kept)
    rivals = {"fastlm": Rival(ours, restore), "NumPy": Rival(by_numpy, restore)}
    if torch is not None:
        leaf = torch.from_numpy(given.copy()).requires_grad_()
        onehot = torch.nn.functional.one_hot(torch.from_numpy(target), vocab_size).float()

        def forget() -> None:
            leaf.grad = None

        def autograd() -> Any:
            loss = (leaf.softmax(1) - onehot).square().sum(1)
            loss.sum().backward()
            return loss, leaf.grad
        rivals["PyTorch"] = Rival(autograd, forget)
    kernel_row(table, "softmax_squared", f"({count:,}, {vocab_size:,})", rivals, 1e-4,
               work=Work(2 * x.nbytes, x.nbytes, (_EXPONENTIAL + 5) * x.size))


def gates(table: Table, torch: Any, batch_size: int, hidden: int) -> None:
    """Measure the elementwise part of one LSTM step."""
    rng = np.random.default_rng(4)
    given, recurrent = (rng.standard_normal((batch_size, 4 * hidden), np.float32) for _ in range(2))
    before = rng.standard_normal((batch_size, hidden), np.float32)
    x, h, c = np.empty_like(given), np.empty_like(before), np.empty_like(before)

    def restore() -> None:
        np.copyto(x, given)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        _core.lstm_gates(h, c, x, recurrent, before)
        return h, c

    def by_hand(x: Any, recurrent: Any, before: Any, sigmoid: Any, tanh: Any) -> tuple[Any, Any]:
        x += recurrent
        i, f, g, o = (x[:, part * hidden: (part + 1) * hidden] for part in range(4))
        cell = sigmoid(f) * before + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(cell), cell
    rivals = {"fastlm": Rival(ours, restore),
              "NumPy": Rival(lambda: by_hand(x, recurrent, before, lambda z: 1 / (1 + np.exp(-z)), np.tanh), restore),
              "SciPy": Rival(lambda: by_hand(x, recurrent, before, special.expit, np.tanh), restore)}
    if torch is not None:
        t_x, t_recurrent, t_before = map(torch.from_numpy, (x, recurrent, before))

        def by_torch() -> Any:
            with torch.inference_mode():
                return by_hand(t_x, t_recurrent, t_before, torch.sigmoid, torch.tanh)
        rivals["PyTorch"] = Rival(by_torch, restore)
    kernel_row(table, "lstm_gates", f"{batch_size} rows, H = {hidden}", rivals,
               work=Work(2 * x.nbytes + recurrent.nbytes + 3 * h.nbytes, 2 * x.nbytes + 3 * h.nbytes, 122 * h.size))


def sampling(table: Table, torch: Any, vocab_size: int, temperature: float = 0.8, k: int = 40) -> None:
    """Measure one draw from the k likeliest; ours and NumPy's give the same id for a number, PyTorch draws its own."""
    rng = np.random.default_rng(6)
    x = 3 * rng.standard_normal(vocab_size).astype(np.float32)
    p, order = np.empty(vocab_size), np.empty(vocab_size, np.int32)
    drawn = 0.3721

    def by_numpy() -> int:
        best = np.argpartition(x, vocab_size - k)[-k:]
        best = best[np.argsort(-x[best], kind="stable")]
        weights = np.exp((x[best].astype(np.float64) - x[best[0]]) / temperature).cumsum()
        return int(best[np.searchsorted(weights, drawn * weights[-1], "right")])
    rivals = {"fastlm": Rival(lambda: _core.sample(x, temperature, k, 1.0, drawn, p, order)), "NumPy": Rival(by_numpy)}
    if torch is not None:
        t_x = torch.from_numpy(x)
        expected = by_numpy()
        allowed = set(np.argsort(-x)[:k].tolist())

        def by_torch() -> int:
            with torch.inference_mode():
                values, best = torch.topk(t_x, k)
                found = int(best[torch.multinomial((values / temperature).softmax(0), 1)])
            return expected if found in allowed else -1   # another draw: only that it is a legal one can be compared
        rivals["PyTorch"] = Rival(by_torch)
    kernel_row(table, "sample", f"V = {vocab_size:,}, top_k = {k}", rivals, 0.0)
