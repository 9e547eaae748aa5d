"""The discounts of Kneser-Ney smoothing: how much is taken from each count and given to the shorter context."""

from __future__ import annotations

import numpy as np

from fastlm import _core

Array = np.ndarray
FALLBACK = (0.0, 0.5, 1.0, 1.5)   # where the counts are too few or too regular for an estimate; source: an assumption


def estimate_discounts(times: Array) -> tuple[float, ...]:
    """Return the discounts (0, D1, D2, D3+) of one order of n-grams. Chen & Goodman 1999.

    times (5,): how many n-grams of the order have the adjusted count 1, 2, 3 and 4; its first entry is not used.
    Returns `FALLBACK` where one of the first three is 0 or a D_k would be outside (0, k].

    >>> [round(discount, 4) for discount in estimate_discounts(np.array([0, 8, 4, 2, 1]))]
    [0.0, 0.5, 1.25, 2.0]
    """
    t1, t2, t3, t4 = (float(count) for count in times[1:])
    if min(t1, t2, t3) == 0:
        return FALLBACK
    y = t1 / (t1 + 2 * t2)
    discounts = (0.0, 1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
    return discounts if all(0 < discounts[k] <= k for k in (1, 2, 3)) else FALLBACK


def discounts_of(count: Array, left_out: int = 0) -> Array:
    """Return the discounts 0, D1, D2 and D3+ (4,) float64 of one order from its n-grams' counts (n,) int32.

    left_out: how many more n-grams there are with a count of 1.
    """
    times = _core.count_counts(count)
    times[1] += left_out
    return np.array(estimate_discounts(times))
