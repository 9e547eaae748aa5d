"""Matrix products of many rows: by NumPy, or by our own kernel where it is known to be faster."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from fastlm import _core

Array = np.ndarray
_MANY = 16   # rows; for so many or more it pays to pack the matrix that they are multiplied by
LINE = 64    # bytes of a line of the processor's cache, which is as wide as its widest vector
_local = threading.local()


def product(out: Array, a: Array, b: Array, adds: bool = False, ours: bool | None = None) -> None:
    """Set out (M, N) to a (M, K) @ b (K, N), or add it where `adds`; float32, out in rows, a and b in rows or columns.

    ours: whether products of 16 rows or more are left to our kernel; by default where the binding knows it to be faster
    than NumPy's with the instruction set in use now.
    """
    if len(a) >= _MANY and (_core.multiplies_wider() if ours is None else ours):
        _core.dense_product(out, a, b, _room(), adds)
    elif adds:
        _add(out, a, b)
    else:
        np.matmul(a, b, out=out)


def _add(out: Array, a: Array, b: Array) -> None:
    """Add a @ b to out by NumPy, in panels along the longer side, which are added while they are in the cache."""
    height, width = out.shape
    if width > height:
        columns = max(1, _core.ROOM // max(1, height))
        for first in range(0, width, columns):
            panel = out[:, first: first + columns]
            panel += np.matmul(a, b[:, first: first + columns], out=_part(panel.shape))
    else:
        rows = max(1, _core.ROOM // max(1, width))
        for first in range(0, height, rows):
            panel = out[first: first + rows]
            panel += np.matmul(a[first: first + rows], b, out=_part(panel.shape))


def _part(shape: tuple[int, ...]) -> Array:
    """Return an array (shape) of unknown contents, in the scratch of this thread where it fits."""
    count = shape[0] * shape[1]
    return _room()[:count].reshape(shape) if count <= _core.ROOM else np.empty(shape, np.float32)


def _room() -> Array:
    """Return the scratch of this thread, `_core.ROOM` floats."""
    room: Array | None = getattr(_local, "room", None)
    if room is None:
        room = _local.room = aligned((_core.ROOM,))
    return room


def aligned(shape: tuple[int, ...], make: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
    """Return a float32 array that begins at a multiple of `LINE` bytes, so that every load of a vector is equally fast.

    make: np.empty, for unknown contents, or np.zeros.
    """
    count = math.prod(shape)
    raw = make(count + LINE // 4, np.float32)
    skip = (-raw.ctypes.data // 4) % (LINE // 4)
    return raw[skip: skip + count].reshape(shape)
