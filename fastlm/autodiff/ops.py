"""The primitives that treat every row alike, and the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Leaf, Variable, active, empty, record, variable

Array = np.ndarray


def add_product(x: Variable, a: Array, b: Array) -> None:
    """Add a @ b to the gradient of x; where there is no gradient yet, the product is written straight into it."""
    target = x.overwritable_grad()
    if target is not None:
        product(target, a, b)
    else:
        product(x.grad_buffer(), a, b, adds=True)


def gather(table: Any, rows: Any) -> Variable:
    """Look rows up in a table: table (R, D), rows (N,) ints -> (N, D); zeros where a row is -1.

    Only the rows that are looked up get a gradient. Raises IndexError for a row outside the table.
    """
    table, rows = variable(table), np.ascontiguousarray(rows, np.int64).reshape(-1)
    out = Variable(empty((len(rows), table.shape[1])), may_overwrite=True)
    table.gather(out.value, rows)

    def back(gradient: Array) -> None:
        into = table.grad_buffer_at(rows) if isinstance(table, Leaf) else table.grad_buffer()
        _core.scatter_add(into, gradient, rows)
    return record(out, back)


def matmul(x: Any, weight: Any, transpose: bool = False) -> Variable:
    """Return x @ weight, or x @ weight.T with transpose: x (N, D), weight (D, H) or (H, D) -> (N, H)."""
    x, weight = variable(x), variable(weight)
    out = Variable(empty((len(x.value), weight.shape[0 if transpose else 1])), may_overwrite=True)
    weight.multiply(out.value, x.value, transpose)

    def back(gradient: Array) -> None:
        add_product(x, gradient, weight.value if transpose else weight.value.T)
        if transpose:
            add_product(weight, gradient.T, x.value)
        else:
            add_product(weight, x.value.T, gradient)
    return record(out, back)


def add_bias(x: Any, bias: Any) -> Variable:
    """Add bias to every row of x: x (N, D), bias (D,) -> (N, D)."""
    source, bias = variable(x), variable(bias)
    out = Variable(empty(source.value.shape), may_overwrite=True)
    np.copyto(out.value, source.value)
    _core.add_bias(out.value, bias.value)

    def back(gradient: Array) -> None:
        _core.sum_rows(bias.grad_buffer(), gradient)
        _core.add(source.grad_buffer(), gradient)
    return record(out, back)


def linear(x: Any, weight: Any, bias: Any, transpose: bool = False) -> Variable:
    """Return x @ weight + bias, or x @ weight.T + bias, in one buffer; the shapes are those of matmul and add_bias."""
    out, bias = matmul(x, weight, transpose), variable(bias)
    _core.add_bias(out.value, bias.value)
    return record(out, lambda gradient: _core.sum_rows(bias.grad_buffer(), gradient))


def add(a: Any, b: Any) -> Variable:
    """Add a and b, of one shape, element by element."""
    a, b = variable(a), variable(b)
    out = Variable(empty(a.value.shape), may_overwrite=True)
    np.add(a.value, b.value, out=out.value)

    def back(gradient: Array) -> None:
        _core.add(a.grad_buffer(), gradient)
        _core.add(b.grad_buffer(), gradient)
    return record(out, back)


def multiply(a: Any, b: Any) -> Variable:
    """Multiply a and b, of one shape, element by element."""
    a, b = variable(a), variable(b)
    out = Variable(empty(a.value.shape), may_overwrite=True)
    _core.multiply(out.value, a.value, b.value)

    def back(gradient: Array) -> None:
        _core.multiply_add(a.grad_buffer(), gradient, b.value)
        _core.multiply_add(b.grad_buffer(), gradient, a.value)
    return record(out, back)


def _elementwise(x: Any, forward: Callable[..., None], backward: Callable[..., None]) -> Variable:
    x = variable(x)
    out = Variable(empty(x.value.shape))   # backward reads the result, so nobody may overwrite it
    forward(out.value, x.value)
    return record(out, lambda gradient: backward(x.grad_buffer(), gradient, out.value))


def tanh(x: Any) -> Variable:
    """Return tanh(x), element by element."""
    return _elementwise(x, _core.tanh, _core.tanh_back)


def sigmoid(x: Any) -> Variable:
    """Return 1 / (1 + exp(-x)), element by element."""
    return _elementwise(x, _core.sigmoid, _core.sigmoid_back)


def relu(x: Any) -> Variable:
    """Return max(x, 0), element by element; the gradient at 0 is 0."""
    return _elementwise(x, _core.relu, _core.relu_back)


def relu_squared(x: Any) -> Variable:
    """Return max(x, 0)^2, element by element. So et al. 2021."""
    x = variable(x)
    out = Variable(empty(x.value.shape), may_overwrite=True)
    _core.relu_squared(out.value, x.value)
    return record(out, lambda gradient: _core.relu_squared_back(x.grad_buffer(), gradient, x.value))


def rms_norm(x: Any) -> Variable:
    """Divide every row of x (N, D) by the root of the mean of its squares.

    Zhang & Sennrich 2019, without a gain, since the matrix that follows can scale its columns itself.
    """
    x = variable(x)
    out, scale = Variable(empty(x.value.shape)), empty((len(x.value),))
    _core.rms_norm(out.value, scale, x.value)
    return record(out, lambda gradient: _core.rms_norm_back(x.grad_buffer(), gradient, out.value, scale))


def dropout(x: Any, rate: float) -> Variable:
    """Set a fraction `rate` of the entries of x to zero and scale the rest by 1/(1 - rate), while a tape with a seed
    records; return x itself otherwise. Srivastava et al. 2014.

    A mask is drawn from the tape's seed and from the number of primitives that the tape has recorded before, so that
    two uses in one pass differ. Adding or leaving out a primitive therefore changes every mask after it, and with them
    the trained weights: a model trains to the same bytes only as long as it keeps the number of its primitives.
    """
    tape = active()
    if rate == 0 or tape is None or not tape.record or not tape.seed:
        return variable(x)
    x = variable(x)
    seed = (tape.seed * 0x9E3779B97F4A7C15 + len(tape.backward_steps)) % 2**64
    out = Variable(empty(x.value.shape), may_overwrite=True)
    _core.dropout(out.value, x.value, 1 - rate, seed, 0)
    return record(out, lambda gradient: _core.dropout(x.grad_buffer(), gradient, 1 - rate, seed, 1))


def concatenate(parts: Sequence[Any]) -> Variable:
    """Put parts (N, D1), (N, D2), ... side by side -> (N, D1 + D2 + ...)."""
    parts = [variable(part) for part in parts]
    edges = np.cumsum([0] + [part.value.shape[1] for part in parts]).tolist()
    out = Variable(empty((parts[0].value.shape[0], edges[-1])), may_overwrite=True)
    np.concatenate([part.value for part in parts], axis=1, out=out.value)

    def back(gradient: Array) -> None:
        for part, left, right in zip(parts, edges[:-1], edges[1:], strict=True):
            into = part.grad_buffer()
            into += gradient[:, left:right]
    return record(out, back)


def reshape(x: Any, shape: tuple[int, int]) -> Variable:
    """Return the entries of x in another shape (N, D) of as many."""
    x = variable(x)
    out = Variable(x.value.reshape(shape))
    return record(out, lambda gradient: _core.add(x.grad_buffer(), gradient.reshape(x.value.shape)))


def _loss(kernel: Callable[..., None], logits: Any, targets: Array, scale: float) -> float:
    owned = isinstance(logits, Variable) and logits.may_overwrite
    logits = variable(logits)
    losses = np.empty(len(targets), np.float64)
    tape = active()
    gradient = logits.value
    if not owned or tape is None or not tape.record:
        gradient = empty(logits.value.shape)
        np.copyto(gradient, logits.value)
    else:
        logits.consumed = True
    kernel(gradient, losses, targets, scale)

    def back() -> None:
        if logits.gradient is None and not isinstance(logits, Leaf):
            logits.gradient = gradient
        else:
            _core.add(logits.grad_buffer(), gradient)
    if tape is not None and tape.record:
        tape.backward_steps.append(back)
    return float(losses.sum())


def cross_entropy(logits: Any, targets: Array, scale: float = 1.0) -> float:
    """Return the sum over rows of -log softmax(logits)[target], in nats: logits (N, V), targets (N,) int32, of which -1
    counts nothing.

    On a tape the gradient is `scale` times that of the sum. The logits are consumed where nothing else has read them:
    their buffer becomes the gradient, and reading them afterwards is an error.
    """
    return _loss(_core.softmax_cross_entropy, logits, targets, scale)


def squared_error(logits: Any, targets: Array, scale: float = 1.0) -> float:
    """Return the sum over rows of |onehot(target) - softmax(logits)|^2 (Brier 1950), otherwise as `cross_entropy`."""
    return _loss(_core.softmax_squared, logits, targets, scale)
