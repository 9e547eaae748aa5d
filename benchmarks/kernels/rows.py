"""Measure kernels that read and add rows of tables, and running sums of them.

Goal: all prefixes of a positional one-hot document at least 50 times as fast as SciPy's product of the one-hot matrix
in CSR form with the table, and twice as fast as PyTorch's embedding + cumsum. One thread each. SciPy is given its
matrix ready made: only the product is timed. NumPy and PyTorch take the same short cut as fastlm (gather, then one
cumulative sum), and for positions beyond P they repeat the last row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.sparse import csr_array

from benchmarks.harness import Options, Rival, Table, one_thread, torch_or_none
from benchmarks.kernels.table import KERNEL_HEADERS, Work, kernel_row
from fastlm import _core


def run(options: Options) -> None:
    """Print the table."""
    torch = torch_or_none()
    table = Table(*KERNEL_HEADERS)
    with one_thread():
        gather_and_scatter(table, torch)
        for vocab_size, max_length in ((65, 1024), (65, 64)):
            positional(table, torch, 1024, vocab_size, max_length)
        decayed(table, torch)
    table.print()


def gather_and_scatter(table: Table, torch: Any, size: int = 10_000, width: int = 256, count: int = 4096) -> None:
    """Measure rows read from an embedding, and gradients added to it; some rows are repeated as words are."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((size, width), np.float32)
    row = np.minimum(rng.zipf(1.3, count) - 1, size - 1).astype(np.int64)
    given = rng.standard_normal((count, width), np.float32)
    out = np.empty((count, width), np.float32)
    ones = np.ones(count, np.float32)
    onehot = csr_array((ones, row.astype(np.int32), np.arange(count + 1, dtype=np.int32)), shape=(count, size))
    onehot_t = csr_array(onehot.T)

    def ours() -> np.ndarray:
        _core.gather(out, weights, row)
        return out
    taken = np.empty_like(out)
    rivals = {"fastlm": Rival(ours),
              "NumPy": Rival(lambda: np.take(weights, row, 0, taken, "clip")),
              "SciPy CSR": Rival(lambda: onehot @ weights)}
    if torch is not None:
        t_weights, t_row, t_out = torch.from_numpy(weights), torch.from_numpy(row), torch.empty(count, width)
        rivals["PyTorch"] = Rival(lambda: torch.index_select(t_weights, 0, t_row, out=t_out))
    sizes = f"{count:,} of ({size:,}, {width})"
    distinct = len(np.unique(row)) * width * 4
    kernel_row(table, "gather", sizes, rivals, work=Work(2 * out.nbytes, distinct + out.nbytes, 0, True))

    into = np.zeros_like(weights)

    def add() -> np.ndarray:
        _core.scatter_add(into, given, row)
        return into

    def numpy_add() -> np.ndarray:
        np.add.at(into, row, given)
        return into

    def scipy_add() -> np.ndarray:
        np.add(into, onehot_t @ given, out=into)
        return into

    def clear() -> None:
        into.fill(0)
    rivals = {"fastlm": Rival(add, clear), "NumPy": Rival(numpy_add, clear), "SciPy CSR": Rival(scipy_add, clear)}
    if torch is not None:
        t_given, t_into = torch.from_numpy(given), torch.from_numpy(into)
        rivals["PyTorch"] = Rival(lambda: t_into.index_add_(0, t_row, t_given), clear)
    kernel_row(table, "scatter_add", sizes, rivals, 1e-4,
               work=Work(3 * given.nbytes, distinct + given.nbytes, given.size, True))


def positional(table: Table, torch: Any, length: int, vocab_size: int, max_length: int) -> None:
    """Measure the logits of every prefix of one document, and the gradient of the table."""
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((max_length * vocab_size, vocab_size), np.float32)
    bias = rng.standard_normal(vocab_size, np.float32)
    ids = rng.integers(0, vocab_size, length).astype(np.int32)
    size = np.ones(length, np.uintp)
    kept = min(length, max_length)
    rows = np.arange(kept) * vocab_size + ids[:kept]
    row, position = np.empty(length, np.int64), np.zeros(1, np.int64)
    out, carry = np.empty((length, vocab_size), np.float32), np.zeros((1, vocab_size), np.float32)
    counts = np.minimum(np.arange(1, length + 1), max_length)
    indices = np.concatenate([rows[:count] for count in counts]).astype(np.int32)
    prefixes = csr_array((np.ones(len(indices), np.float32), indices,
                          np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)), shape=(length, len(weights)))

    def forward() -> np.ndarray:
        position.fill(0)
        carry.fill(0)
        _core.position_rows(row, position, ids, None, size, max_length, vocab_size)
        _core.prefix_sum(out, carry, weights, bias, row, None, size)
        return out
    sums = np.empty_like(out)

    def numpy_forward() -> np.ndarray:
        np.cumsum(weights[rows], 0, out=sums[:kept])
        sums[kept:] = sums[kept - 1]
        np.add(sums, bias, out=sums)
        return sums

    def scipy_forward() -> np.ndarray:
        product = prefixes @ weights
        product += bias
        return product
    rivals = {"fastlm": Rival(forward), "NumPy": Rival(numpy_forward), "SciPy CSR": Rival(scipy_forward)}
    if torch is not None:
        t_weights, t_rows, t_bias = torch.from_numpy(weights), torch.from_numpy(rows), torch.from_numpy(bias)

        def torch_forward() -> Any:
            with torch.inference_mode():
                total = torch.nn.functional.embedding(t_rows, t_weights).cumsum_(0)
                if kept < length:
                    total = torch.cat([total, total[-1:].expand(length - kept, -1)])
                return total.add_(t_bias)
        rivals["PyTorch"] = Rival(torch_forward)
    sizes, read = f"T = {length:,}, V = {vocab_size}, P = {max_length:,}", kept * vocab_size * 4
    kernel_row(table, "positional one-hot, all prefixes", sizes, rivals, 1e-4, {"SciPy": 50, "PyTorch": 2},
               work=Work(read + out.nbytes, read + out.nbytes, out.size + read // 4, True))

    given = rng.standard_normal(out.shape, np.float32)
    gradient, running = np.zeros_like(weights), np.zeros_like(carry)
    transposed = csr_array(prefixes.T)

    def clear() -> None:
        gradient[rows] = 0

    def backward() -> np.ndarray:
        running.fill(0)
        _core.suffix_sum(gradient, running, given, row, None, size)
        return gradient[rows[::97]]

    def numpy_backward() -> np.ndarray:
        later = given[kept:].sum(0)   # what follows position P reaches every row that was read
        gradient[rows] += np.cumsum(given[kept - 1:: -1] if kept == length else given[:kept][::-1], 0)[::-1] + later
        return gradient[rows[::97]]
    rivals = {"fastlm": Rival(backward, clear), "NumPy": Rival(numpy_backward, clear),
              "SciPy CSR": Rival(lambda: (transposed @ given)[rows[::97]])}
    if torch is not None:
        t_given, t_gradient = torch.from_numpy(given), torch.from_numpy(gradient)

        def torch_backward() -> Any:
            with torch.inference_mode():
                later = t_given[kept:].sum(0)
                t_gradient.index_add_(0, t_rows, t_given[:kept].flip(0).cumsum_(0).flip(0).add_(later))
                return t_gradient[t_rows[::97]]
        rivals["PyTorch"] = Rival(torch_backward, clear)
    kernel_row(table, "its gradient", sizes, rivals, 1e-4,
               work=Work(2 * read + out.nbytes, read + out.nbytes, out.size + read // 4, True))


def decayed(table: Table, torch: Any, steps: int = 64, batch_size: int = 32, count: int = 5, width: int = 64) -> None:
    """Measure decayed sums of a batch at several rates."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((steps, batch_size, width), np.float32)
    rates = np.array([0.0, 0.4, 0.7, 0.9, 0.97], np.float32)[:count]
    out = np.empty((steps * batch_size, count, width), np.float32)
    carry = np.zeros((batch_size, count, width), np.float32)
    size = np.full(steps, batch_size, np.uintp)
    flat = x.reshape(steps * batch_size, width)

    def ours() -> np.ndarray:
        carry.fill(0)
        _core.decayed_sum(out, carry, flat, rates, None, size)
        return out
    buffer = np.empty((steps, batch_size, count, width), np.float32)

    def numpy_loop() -> np.ndarray:
        state = np.zeros((batch_size, count, width), np.float32)
        for step in range(steps):
            state *= rates[:, None]
            state += x[step][:, None]
            buffer[step] = state
        return buffer.reshape(out.shape)

    def scipy_filter() -> np.ndarray:
        for index, rate in enumerate(rates):
            buffer[:, :, index] = lfilter(np.ones(1, np.float32), np.array([1, -rate], np.float32), x, axis=0)
        return buffer.reshape(out.shape)
    rivals = {"fastlm": Rival(ours), "NumPy": Rival(numpy_loop), "SciPy lfilter": Rival(scipy_filter)}
    if torch is not None:
        t_x, t_rates, t_out = torch.from_numpy(x), torch.from_numpy(rates)[:, None], torch.empty(buffer.shape)

        def torch_loop() -> Any:
            with torch.inference_mode():
                state = torch.zeros(batch_size, count, width)
                for step in range(steps):
                    torch.addcmul(t_x[step][:, None], state, t_rates, out=t_out[step])
                    state = t_out[step]
                return t_out.reshape(out.shape)
        rivals["PyTorch"] = Rival(torch_loop)
    kernel_row(table, "decayed_sum", f"T = {steps}, {batch_size} sequences, {count} rates, D = {width}", rivals, 1e-4,
               work=Work(x.nbytes + out.nbytes, x.nbytes + out.nbytes, 2 * out.size, True))
