"""Where arrays lie."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def aligned(shape: tuple[int, ...], make: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
    """A float32 array on a 64-byte line, where vectors load fastest, and equally every time.

    make: np.empty, for unknown contents, or np.zeros.
    """
    count = math.prod(shape)
    raw = make(count + 16, np.float32)
    skip = (-raw.ctypes.data // 4) % 16
    return raw[skip: skip + count].reshape(shape)
