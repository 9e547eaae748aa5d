"""Automatic differentiation: reverse mode over a handful of primitives.

Outside a tape the primitives only compute. Inside ``with Tape() as tape:`` each of them also leaves behind a function
that, given the gradient of its result, adds the gradients of its inputs; ``tape.backward()`` calls these functions in
reverse. Values are float32 arrays of shape (rows, width). Parameters are shared between threads and only read; every
tape keeps gradients of its own, so that the shards of a batch run side by side.

>>> weight = Parameter("weight", np.array([[1.0], [2.0]], np.float32))
>>> with Tape() as tape:
...     loss = cross_entropy(gather(weight, [1, 1]), np.array([0, 0], np.int32))
...     tape.backward()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastlm import _core

Array = np.ndarray
_active = threading.local()


class Parameter:
    """A named array that training changes. ``decay`` False exempts it from weight decay and L2 (biases, gains)."""

    __slots__ = ("decay", "name", "value")

    def __init__(self, name: str, value: Array, decay: bool = True) -> None:
        self.name = name
        self.value = np.ascontiguousarray(value, np.float32)
        self.decay = decay


class Variable:
    """A value on the tape. ``gradient`` is None until something is added to it."""

    __slots__ = ("disposable", "gradient", "value")

    def __init__(self, value: Array, disposable: bool = False) -> None:
        self.value = value
        self.gradient: Array | None = None
        self.disposable = disposable   # nobody's way back reads the value: a loss may turn it into its gradient

    def added(self) -> Array:
        """The gradient to add to, zeros at first."""
        if self.gradient is None:
            self.gradient = empty(self.value.shape)
            self.gradient.fill(0)
        return self.gradient

    def assign(self) -> Array | None:
        """The gradient to write over when it holds nothing yet, else None."""
        if self.gradient is not None:
            return None
        self.gradient = empty(self.value.shape)
        return self.gradient


class Leaf(Variable):
    """A parameter on one tape, its gradient kept from step to step: zero, or only in `rows`, or dense, or stale."""

    __slots__ = ("parameter", "rows", "status")

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter.value)
        self.parameter = parameter
        self.gradient = np.zeros(parameter.value.shape, np.float32)
        self.rows: list[Array] = []
        self.status = "zero"

    def added(self) -> Array:
        assert self.gradient is not None
        if self.status == "stale":
            self.gradient.fill(0)
        self.status = "dense"
        return self.gradient

    def added_at(self, rows: Array) -> Array:
        """As `added`, for a primitive that touches only some rows of the table."""
        assert self.gradient is not None
        if self.status == "stale":
            self.gradient.fill(0)
        if self.status != "dense":
            self.status = "rows"
            self.rows.append(rows)
        return self.gradient

    def assign(self) -> Array | None:
        if self.status in ("rows", "dense"):
            return None
        self.status = "dense"
        return self.gradient

    def touched(self) -> Array | None:
        """The rows with a gradient, sorted and unique, or None where all of them may have one."""
        if self.status in ("zero", "stale"):
            return np.zeros(0, np.int64)
        if self.status == "dense":
            return None
        rows = np.unique(np.concatenate(self.rows))
        return rows[rows >= 0]

    def spent(self, status: str) -> None:
        """Says what the gradient holds once it has been used: "zero" or "stale"."""
        self.status = status
        self.rows.clear()


class Tape:
    """Records primitives of this thread from ``with`` on; keeps their buffers for the next step of the same sizes.

    ``record=False`` only lends the buffers; ``training`` turns dropout on; ``seed`` is what its masks are drawn from.
    """

    def __init__(self, record: bool = True) -> None:
        self.record = record
        self.seed = 0
        self.leaves: dict[str, Leaf] = {}
        self._ways_back: list[Callable[[], None]] = []
        self._free: dict[int, list[Array]] = {}
        self._lent: list[tuple[int, Array]] = []

    def __enter__(self) -> Tape:
        if getattr(_active, "tape", None) is not None:
            raise RuntimeError("a tape is already recording in this thread; tapes do not nest")
        _active.tape = self
        return self

    def __exit__(self, *exception: object) -> None:
        _active.tape = None
        self._ways_back.clear()
        for key, buffer in self._lent:
            self._free.setdefault(key, []).append(buffer)
        self._lent.clear()

    def lend(self, shape: tuple[int, ...]) -> Array:
        """A buffer (shape) float32 of unknown contents, returned when the tape ends."""
        count = int(np.prod(shape))
        key = max(6, (count - 1).bit_length())   # powers of two, so that ragged batches share buffers
        free = self._free.get(key)
        buffer = free.pop() if free else _aligned(1 << key)
        self._lent.append((key, buffer))
        return buffer[:count].reshape(shape)

    def leaf(self, parameter: Parameter) -> Leaf:
        """The parameter as this tape sees it."""
        leaf = self.leaves.get(parameter.name)
        if leaf is None:
            leaf = self.leaves[parameter.name] = Leaf(parameter)
        leaf.value = parameter.value
        return leaf

    def backward(self) -> None:
        """Adds the gradient of every loss on the tape to its leaves."""
        for way_back in reversed(self._ways_back):
            way_back()
        self._ways_back.clear()


def _aligned(count: int) -> Array:
    raw = np.empty(count + 16, np.float32)
    skip = (-raw.ctypes.data // 4) % 16   # 64-byte lines, so that results do not depend on where memory fell
    return raw[skip: skip + count]


def empty(shape: tuple[int, ...]) -> Array:
    """A float32 array of unknown contents, lent by the tape of this thread where there is one."""
    tape = getattr(_active, "tape", None)
    return np.empty(shape, np.float32) if tape is None else tape.lend(shape)


def variable(x: Any) -> Variable:
    """A Variable, Parameter or array as a Variable that is about to be read."""
    if isinstance(x, Parameter):
        tape = getattr(_active, "tape", None)
        return Variable(x.value) if tape is None or not tape.record else tape.leaf(x)
    if isinstance(x, Variable):
        x.disposable = False
        return x
    return Variable(np.ascontiguousarray(x, np.float32))


def record(out: Variable, way_back: Callable[[Array], None]) -> Variable:
    """Puts a primitive on the tape; way_back gets out's gradient, and is skipped where out got none."""
    tape = getattr(_active, "tape", None)
    if tape is not None and tape.record:
        def step() -> None:
            if out.gradient is not None:
                way_back(out.gradient)
        tape._ways_back.append(step)
    return out


def _add_product(x: Variable, a: Array, b: Array) -> None:
    target = x.assign()
    if target is not None:
        np.matmul(a, b, out=target)
    else:
        product = empty(x.value.shape)
        np.matmul(a, b, out=product)
        _core.add(x.gradient, product)


def gather(table: Any, rows: Any) -> Variable:
    """out[n] = table[rows[n]], zeros where rows[n] is -1. table (R, D), rows (N,) ints -> (N, D).

    Only the rows that were read get a gradient. Raises IndexError for a row outside the table.
    """
    table, rows = variable(table), np.ascontiguousarray(rows, np.int64).reshape(-1)
    out = Variable(empty((len(rows), table.value.shape[1])), disposable=True)
    _core.gather(out.value, table.value, rows)

    def back(gradient: Array) -> None:
        into = table.added_at(rows) if isinstance(table, Leaf) else table.added()
        _core.scatter_add(into, gradient, rows)
    return record(out, back)


def matmul(x: Any, weight: Any, transpose: bool = False) -> Variable:
    """x @ weight, or x @ weight.T. x (N, D), weight (D, H), or (H, D) with transpose -> (N, H)."""
    x, weight = variable(x), variable(weight)
    w = weight.value.T if transpose else weight.value
    out = Variable(empty((x.value.shape[0], w.shape[1])), disposable=True)
    np.matmul(x.value, w, out=out.value)

    def back(gradient: Array) -> None:
        _add_product(x, gradient, w.T)
        if transpose:
            _add_product(weight, gradient.T, x.value)
        else:
            _add_product(weight, x.value.T, gradient)
    return record(out, back)


def add_bias(x: Any, bias: Any) -> Variable:
    """x + bias in every row. x (N, D), bias (D,) -> (N, D)."""
    source, bias = variable(x), variable(bias)
    out = Variable(empty(source.value.shape), disposable=True)
    np.copyto(out.value, source.value)
    _core.add_bias(out.value, bias.value)

    def back(gradient: Array) -> None:
        _core.sum_rows(bias.added(), gradient)
        _core.add(source.added(), gradient)
    return record(out, back)


def linear(x: Any, weight: Any, bias: Any, transpose: bool = False) -> Variable:
    """x @ weight + bias, or x @ weight.T + bias, in one buffer. Shapes as in matmul and add_bias."""
    out, bias = matmul(x, weight, transpose), variable(bias)
    _core.add_bias(out.value, bias.value)
    return record(out, lambda gradient: _core.sum_rows(bias.added(), gradient))


def add(a: Any, b: Any) -> Variable:
    """a + b, elementwise, both of one shape."""
    a, b = variable(a), variable(b)
    out = Variable(empty(a.value.shape), disposable=True)
    np.add(a.value, b.value, out=out.value)

    def back(gradient: Array) -> None:
        _core.add(a.added(), gradient)
        _core.add(b.added(), gradient)
    return record(out, back)


def multiply(a: Any, b: Any) -> Variable:
    """a * b, elementwise, both of one shape."""
    a, b = variable(a), variable(b)
    out = Variable(empty(a.value.shape), disposable=True)
    _core.multiply(out.value, a.value, b.value)

    def back(gradient: Array) -> None:
        _core.multiply_add(a.added(), gradient, b.value)
        _core.multiply_add(b.added(), gradient, a.value)
    return record(out, back)


def _elementwise(x: Any, forward: Callable[..., None], backward: Callable[..., None]) -> Variable:
    x = variable(x)
    out = Variable(empty(x.value.shape))   # the way back reads the result, so it is not disposable
    forward(out.value, x.value)
    return record(out, lambda gradient: backward(x.added(), gradient, out.value))


def tanh(x: Any) -> Variable:
    """tanh(x), elementwise."""
    return _elementwise(x, _core.tanh, _core.tanh_back)


def sigmoid(x: Any) -> Variable:
    """1 / (1 + exp(-x)), elementwise."""
    return _elementwise(x, _core.sigmoid, _core.sigmoid_back)


def relu(x: Any) -> Variable:
    """max(x, 0), elementwise; the gradient at 0 is 0."""
    return _elementwise(x, _core.relu, _core.relu_back)


def dropout(x: Any, rate: float) -> Variable:
    """x with a fraction `rate` of its entries zeroed and the rest scaled by 1/(1 - rate), while a tape with a seed
    records; x itself otherwise. Srivastava et al. 2014."""
    tape = getattr(_active, "tape", None)
    if rate == 0 or tape is None or not tape.record or not tape.seed:
        return variable(x)
    x = variable(x)
    seed = (tape.seed * 0x9E3779B97F4A7C15 + len(tape._ways_back)) % 2**64
    out = Variable(empty(x.value.shape), disposable=True)
    _core.dropout(out.value, x.value, 1 - rate, seed, 0)
    return record(out, lambda gradient: _core.dropout(x.added(), gradient, 1 - rate, seed, 1))


def concatenate(parts: Sequence[Any]) -> Variable:
    """Parts (N, D1), (N, D2), ... side by side -> (N, D1 + D2 + ...)."""
    parts = [variable(part) for part in parts]
    edges = np.cumsum([0] + [part.value.shape[1] for part in parts]).tolist()
    out = Variable(empty((parts[0].value.shape[0], edges[-1])), disposable=True)
    np.concatenate([part.value for part in parts], axis=1, out=out.value)

    def back(gradient: Array) -> None:
        for part, left, right in zip(parts, edges[:-1], edges[1:], strict=True):
            into = part.added()
            into += gradient[:, left:right]
    return record(out, back)


def reshape(x: Any, shape: tuple[int, int]) -> Variable:
    """The same entries as (N, D) in another shape of as many."""
    x = variable(x)
    out = Variable(x.value.reshape(shape))
    return record(out, lambda gradient: _core.add(x.added(), gradient.reshape(x.value.shape)))


def _loss(kernel: Callable[..., None], logits: Any, targets: Array, scale: float) -> float:
    owned = isinstance(logits, Variable) and logits.disposable
    logits = variable(logits)
    losses = np.empty(len(targets), np.float64)
    tape = getattr(_active, "tape", None)
    gradient = logits.value
    if not owned or tape is None or not tape.record:
        gradient = empty(logits.value.shape)
        np.copyto(gradient, logits.value)
    kernel(gradient, losses, targets, scale)

    def back() -> None:
        if logits.gradient is None and not isinstance(logits, Leaf):
            logits.gradient = gradient
        else:
            _core.add(logits.added(), gradient)
    if tape is not None and tape.record:
        tape._ways_back.append(back)
    return float(losses.sum())


def cross_entropy(logits: Any, targets: Array, scale: float = 1.0) -> float:
    """The sum over rows of -log softmax(logits)[target], in nats; targets (N,) int32, -1 counts nothing.

    On a tape the gradient is `scale` times that of the sum, and the logits are spent: their buffer becomes it.
    """
    return _loss(_core.softmax_cross_entropy, logits, targets, scale)


def squared_error(logits: Any, targets: Array, scale: float = 1.0) -> float:
    """The sum over rows of |onehot(target) - softmax(logits)|^2 (Brier 1950); else as `cross_entropy`."""
    return _loss(_core.softmax_squared, logits, targets, scale)
