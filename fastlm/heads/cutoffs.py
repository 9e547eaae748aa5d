"""The cut-offs of an adaptive softmax: the clusters of least cost for the counts of a text."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
# The cost of one softmax over C classes of width d, for m rows forward and backward, is C (m (d + 37) + 10 d). Its unit
# is the time of one multiply-add in all three of its products. Source: fitted to products of 4 to 256 rows, 500 to
# 20,000 classes and widths of 32 to 200, on one thread.
_PER_LOGIT = 37.0      # units for each logit beside its products: exponential, bias and sums
_PER_WEIGHT = 10.0     # units for each weight, which is read and updated once: as much as 10 more rows would cost
# Units for each cluster: its calls, its rows gathered and their gradients scattered, about 150 microseconds. Source: an
# estimate; docs/tried.md, "Output layers", shows that small clusters cost more than it says.
_PER_CLUSTER = 2e6
_GRID = 96             # ranks tried for a cut-off, evenly spaced in their logarithm; source: an assumption
_MOST = 6              # clusters at most; source: an assumption


def cutoffs(counts: Array, width: int, rows: int = 256) -> list[int]:
    """Return the cut-offs by which a training step costs least; an empty list where one softmax over all words does.

    counts (V,): of the words, in descending order. width: d, of the rows that the head reads. rows: m, how many rows a
    shard has. The head of C words and K clusters costs (C + K) (m (d + 37) + 10 d); a tail of C words costs
    C (m s (d + 37) + 10 d) and a constant, where s is the share of its words in the text. The least cost over a grid of
    ranks is found exactly, by dynamic programming from the rarest words on.

    >>> cutoffs(1e6 / np.arange(1, 10_001), width=200)
    [58, 495, 1438, 2835, 4604, 6785]
    """
    size = len(counts)
    ranks = np.unique(np.geomspace(1, size, _GRID).astype(int))
    mass = np.concatenate([[0.0], np.cumsum(counts)]) / max(1.0, float(np.sum(counts)))

    def cost(words: Array, share: Array | float) -> Array:
        return words * (rows * share * (width + _PER_LOGIT) + _PER_WEIGHT * width)

    # tails[k][i]: the least cost of the words from ranks[i] on in k clusters; after[k][i]: the index of the rank at
    # which the second of these clusters begins.
    tails = np.full((_MOST + 1, len(ranks)), np.inf)
    after = np.zeros((_MOST + 1, len(ranks)), int)
    tails[0, -1] = 0.0
    for clusters in range(1, _MOST + 1):
        for i, begin in enumerate(ranks[:-1]):
            ends = ranks[i + 1:]
            total = cost(ends - begin, mass[ends] - mass[begin]) + _PER_CLUSTER + tails[clusters - 1, i + 1:]
            best = int(total.argmin())
            tails[clusters, i], after[clusters, i] = total[best], i + 1 + best
    whole = tails + cost(ranks + np.arange(_MOST + 1)[:, None], 1.0)
    clusters, i = divmod(int(whole.argmin()), len(ranks))
    cuts = []
    while clusters:
        cuts.append(int(ranks[i]))
        i, clusters = int(after[clusters, i]), clusters - 1
    return cuts
