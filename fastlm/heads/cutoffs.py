"""Where to cut an adaptive softmax: the clusters of least cost for the counts of a text."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
# The cost of one softmax over C classes of width d, for m rows forward and backward, is C (m (d + 37) + 10 d). Its unit
# is the time of one multiply-add in all three of its products. Source: fitted to products of 4 to 256 rows, 500 to
# 20,000 classes and widths of 32 to 200, on one thread.
_PER_LOGIT = 37.0      # units for each logit beside its products: exponential, bias and sums
_PER_WEIGHT = 10.0     # units for each weight, which is read and moved as if there were so many more rows
# Units for each cluster: its calls, its rows gathered and their gradients scattered, about 150 microseconds. Source: an
# estimate; docs/tried.md, "Output layers", shows that small clusters cost more than it says.
_PER_CLUSTER = 2e6
_GRID = 96             # places tried for a cut, evenly spaced in the logarithm of the rank; source: an assumption
_MOST = 6              # clusters; source: an assumption


def cutoffs(counts: Array, width: int, rows: int = 256) -> list[int]:
    """Cut-offs of least cost a step for counts (V,) in descending order, `width` wide, `rows` rows a shard.

    The head of C words and K clusters costs (C + K)(m (d + 37) + 10 d) for all m = `rows`; a tail of C words the same
    with m its share of the counts, and a constant. The least is found over a grid of places exactly, cluster after
    cluster from the rarest words on. An empty list says that one softmax over everything is cheapest.

    >>> cutoffs(1e6 / np.arange(1, 10_001), width=200)
    [58, 495, 1438, 2835, 4604, 6785]
    """
    size = len(counts)
    places = np.unique(np.geomspace(1, size, _GRID).astype(int))
    mass = np.concatenate([[0.0], np.cumsum(counts)]) / max(1.0, float(np.sum(counts)))

    def cost(words: Array, share: Array | float) -> Array:
        return words * (rows * share * (width + _PER_LOGIT) + _PER_WEIGHT * width)

    # tails[k][i]: the least cost of the words from places[i] on in k clusters, and where the second of them begins
    tails = np.full((_MOST + 1, len(places)), np.inf)
    after = np.zeros((_MOST + 1, len(places)), int)
    tails[0, -1] = 0.0
    for clusters in range(1, _MOST + 1):
        for i, begin in enumerate(places[:-1]):
            ends = places[i + 1:]
            total = cost(ends - begin, mass[ends] - mass[begin]) + _PER_CLUSTER + tails[clusters - 1, i + 1:]
            best = int(total.argmin())
            tails[clusters, i], after[clusters, i] = total[best], i + 1 + best
    whole = tails + cost(places + np.arange(_MOST + 1)[:, None], 1.0)
    clusters, i = divmod(int(whole.argmin()), len(places))
    cuts = []
    while clusters:
        cuts.append(int(places[i]))
        i, clusters = int(after[clusters, i]), clusters - 1
    return cuts
