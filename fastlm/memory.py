"""Where arrays lie."""

from __future__ import annotations

import math

import numpy as np


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array of unknown contents on a 64-byte line, where vectors load fastest, and equally every time."""
    count = math.prod(shape)
    raw = np.empty(count + 16, np.float32)
    skip = (-raw.ctypes.data // 4) % 16
    return raw[skip: skip + count].reshape(shape)
