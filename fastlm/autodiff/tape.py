"""The tape: what reverse-mode differentiation remembers between a primitive and its backward function.

Values are float32 arrays. Parameters are shared between threads and only read; every tape keeps gradients of its own,
so that the shards of a batch run side by side. A tape is active in the thread that entered it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import LINE, aligned, product

Array = np.ndarray
FEW = 8   # rows; for so many or fewer, the kernel that reads every weight once is the fastest
_active = threading.local()


class Readable:
    """A matrix to multiply by or to look rows up in: a parameter, or a value on the tape."""

    __slots__ = ()
    if TYPE_CHECKING:
        value: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    def matrix(self, transposed: bool = False) -> _core.Matrix:
        """Return the value, not copied, or its transpose, as `_core.product` takes it."""
        return _core.Matrix(self.value, None, transposed)

    def multiply(self, out: Array, x: Array, transposed: bool = False, bias: Array | None = None) -> None:
        """Set out (N, H) to x (N, D) @ value (D, H), or to x @ value.T where `transposed`, plus bias (H,) if given.

        Raises ValueError where x does not fit.
        """
        if len(x) <= FEW:
            _core.product(out, x, self.matrix(transposed), bias)
            return
        if x.shape[1] != self.value.shape[1 if transposed else 0]:
            raise ValueError(f"x has shape {x.shape}, expected ({len(x)}, {self.value.shape[1 if transposed else 0]})")
        product(out, x, self.value.T if transposed else self.value)
        if bias is not None:
            _core.add_bias(out, bias)

    def gather(self, out: Array, rows: Array) -> None:
        """Set out (N, D) to rows (N,) int64 of value (R, D), zeros where a row is -1; IndexError for one outside."""
        _core.gather(out, self.value, rows)


class Parameter(Readable):
    """A named array that training changes; ``decay`` False exempts it from weight decay and L2 (biases, gains)."""

    __slots__ = ("_stored", "decay", "name", "value")
    trainable: ClassVar[bool] = True

    def __init__(self, name: str, value: Array, decay: bool = True) -> None:
        self.name = name
        self.value = aligned(np.shape(value))
        self.value[...] = value
        self.decay = decay
        self._stored: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape if self._stored is None else self._stored.shape

    def lie_in(self, stored: Array) -> None:
        """Take the value from an array in a file, (shape) float32 or float16, when it is first used.

        Float32 at a multiple of 64 bytes is used where it lies, if it may be written to; anything else is copied then.
        """
        self._stored = stored
        del self.value

    def __getattr__(self, name: str) -> Any:
        """Make the value that `lie_in` left for later. Threads that do so at once make the same, and keep one."""
        if name == "value" and self._stored is not None:
            stored = self._stored
            value = stored
            if stored.dtype != np.float32 or not stored.flags.writeable or stored.ctypes.data % LINE:
                value = aligned(stored.shape)
                value[...] = stored
            try:
                return object.__getattribute__(self, name)
            except AttributeError:
                self.value = value
        return object.__getattribute__(self, name)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {"name": self.name, "value": self.value, "decay": self.decay, "_stored": None}

    def as_variable(self) -> Variable:
        """Return the Variable that primitives outside a tape compute with."""
        return Variable(self.value)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays that a model file holds, by what follows the parameter's name there."""
        return {"": self.value}


class Variable(Readable):
    """A value on the tape. ``gradient`` is None until something is added to it."""

    __slots__ = ("consumed", "gradient", "may_overwrite", "value")

    def __init__(self, value: Array, may_overwrite: bool = False) -> None:
        self.value = value
        self.gradient: Array | None = None
        self.may_overwrite = may_overwrite   # No backward function reads the value: its first reader may overwrite it.
        self.consumed = False                # whether that reader has overwritten it

    def grad_buffer(self) -> Array:
        """Return the gradient, to be added to; it is made of zeros where there is none yet."""
        if self.gradient is None:
            self.gradient = empty(self.value.shape)
            self.gradient.fill(0)
        return self.gradient

    def overwritable_grad(self) -> Array | None:
        """Return a buffer for the gradient, to be written over, where there is no gradient yet; otherwise None."""
        if self.gradient is not None:
            return None
        self.gradient = empty(self.value.shape)
        return self.gradient

    def accept_grad(self, gradient: Array) -> None:
        """Add a gradient whose buffer nothing else needs: where there is no gradient yet, the buffer becomes it."""
        if self.gradient is None:
            self.gradient = gradient
        else:
            _core.add(self.grad_buffer(), gradient)


class Leaf(Variable):
    """A parameter on one tape, which keeps the buffer of its gradient from step to step.

    ``status`` says what the buffer holds: "zero"; "rows", a gradient in the rows named in ``rows`` and zeros elsewhere;
    "dense", a gradient anywhere; "stale", that of an earlier step.
    """

    __slots__ = ("buffer", "parameter", "rows", "status")

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter.value)
        self.parameter = parameter
        self.gradient = self.buffer = np.zeros(parameter.value.shape, np.float32)
        self.rows: list[Array] = []
        self.status = "zero"

    def grad_buffer(self) -> Array:
        if self.status == "stale":
            self.buffer.fill(0)
        self.status = "dense"
        return self.buffer

    def grad_buffer_at(self, rows: Array) -> Array:
        """Return the gradient as `grad_buffer` does, for a primitive that adds to these rows (N,) of a table only."""
        if self.status == "stale":
            self.buffer.fill(0)
        if self.status != "dense":
            self.status = "rows"
            self.rows.append(rows)
        return self.buffer

    def overwritable_grad(self) -> Array | None:
        if self.status in ("rows", "dense"):
            return None
        self.status = "dense"
        return self.buffer

    def touched(self) -> Array | None:
        """Return the rows with a gradient, ascending and distinct, or None where all of them may have one."""
        if self.status in ("zero", "stale"):
            return np.zeros(0, np.int64)
        if self.status == "dense":
            return None
        return distinct(np.concatenate(self.rows), len(self.value))

    def mark(self, status: str) -> None:
        """Set the status of the gradient after it has been used: "zero" or "stale"."""
        self.status = status
        self.rows.clear()


class Tape:
    """A record of the primitives that this thread calls inside ``with``; it lends them buffers, which the next step
    uses again.

    ``record=False``: buffers are lent and nothing is recorded. ``seed``: dropout masks are drawn from it; 0 for none.

    >>> with Tape() as tape:
    ...     active() is tape
    True
    """

    def __init__(self, record: bool = True) -> None:
        self.record = record
        self.seed = 0
        self.leaves: dict[Parameter, Leaf] = {}
        self.backward_steps: list[Callable[[], None]] = []
        self._free: dict[int, list[Array]] = {}
        self._lent: list[tuple[int, Array]] = []

    def __enter__(self) -> Tape:
        if active() is not None:
            raise RuntimeError("a tape is already recording in this thread; tapes do not nest")
        _active.tape = self
        return self

    def __exit__(self, *exception: object) -> None:
        _active.tape = None
        self.backward_steps.clear()
        for key, buffer in self._lent:
            self._free.setdefault(key, []).append(buffer)
        self._lent.clear()

    def lend(self, shape: tuple[int, ...]) -> Array:
        """Lend a buffer (shape) float32 of unknown contents until the tape ends."""
        count = math.prod(shape)
        key = max(6, (count - 1).bit_length())   # powers of two, so that ragged batches share buffers
        free = self._free.get(key)
        buffer = free.pop() if free else aligned((1 << key,))
        self._lent.append((key, buffer))
        return buffer[:count].reshape(shape)

    def leaf(self, parameter: Parameter) -> Leaf:
        """Return the Leaf of a parameter on this tape; ValueError for an int8 parameter, which is not trained."""
        if not parameter.trainable:
            raise ValueError(f"parameter {parameter.name} is int8, for prediction; float32 was expected for training")
        leaf = self.leaves.get(parameter)
        if leaf is None:
            leaf = self.leaves[parameter] = Leaf(parameter)
        leaf.value = parameter.value
        return leaf

    def backward(self) -> None:
        """Add the gradient of every loss on the tape to its leaves, and forget the recorded primitives."""
        for backward in reversed(self.backward_steps):
            backward()
        self.backward_steps.clear()


def distinct(rows: Array, bound: int) -> Array:
    """Return the distinct values of rows (N,) int64, from -1 to bound - 1, ascending and without -1."""
    if bound > 64 * len(rows):
        found = np.unique(rows)
        return found[found >= 0]
    present = np.zeros(bound + 1, np.bool_)
    present[rows] = True                  # -1 marks the last entry, which is cut off
    return np.flatnonzero(present[:bound])


def active() -> Tape | None:
    """Return the tape that this thread has entered, or None."""
    return getattr(_active, "tape", None)


def empty(shape: tuple[int, ...]) -> Array:
    """Return a float32 array of unknown contents, lent by the tape of this thread where there is one."""
    tape = active()
    return np.empty(shape, np.float32) if tape is None else tape.lend(shape)


def variable(x: Any) -> Variable:
    """Return a Variable, Parameter or array as a Variable, for a primitive that is about to read it.

    Raises RuntimeError for a Variable whose buffer was consumed.
    """
    if isinstance(x, Parameter):
        tape = active()
        return x.as_variable() if tape is None or not tape.record else tape.leaf(x)
    if isinstance(x, Variable):
        if x.consumed:
            raise RuntimeError("this value was consumed by the loss or the primitive that read it; read it before")
        x.may_overwrite = False
        return x
    return Variable(np.ascontiguousarray(x, np.float32))


def record(out: Variable, backward: Callable[[Array], None]) -> Variable:
    """Put a primitive on the tape of this thread, if one records, and return its result `out`.

    backward: called with the gradient of `out`, and not called where `out` got none.
    """
    tape = active()
    if tape is not None and tape.record:
        def step() -> None:
            if out.gradient is not None:
                backward(out.gradient)
        tape.backward_steps.append(step)
    return out
