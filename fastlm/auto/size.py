"""A network's size and dropout, from the text, the time there is and this machine's speed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fastlm.autodiff.matmul import product
from fastlm.workers import Workers, one_thread_products

SMALL = 512              # the largest vocabulary that is treated as characters or bytes
FULL = 2000              # words up to which the full softmax costs little
SAMPLES = 1024           # words drawn a step for a sampled softmax
WIDTH = 64               # of the embedding of a small vocabulary
SIZES = (48, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024)
_READ_PER_WEIGHT = {True: 7.0, False: 15.0}   # tokens to have read for each recurrent weight; small vocabulary or not
_LEAST_READ = 1e5        # tokens below which a network adds nothing to n-grams
_ASKED = 1.2e5           # multiply-adds that take as long as asking n-grams for a row
_LOOKING = {True: 5e5, False: 2.5e5}   # the same of looking back, small vocabulary or not,
_LOOKING_FROM = {True: 224, False: 128}   # which pays from so many units on,
_WINDOW = {True: 512, False: 100}      # over so many tokens
_HELD = 24               # bytes of a row and unit of an embedding: itself, its best, two gradients and two moments,
_MEMORY = 5e8            # which may take so many
_NARROW = 150.0          # units at which a step has two thirds of the speed of a wide one
PASSES = 60.0           # over the text, more than which only teach it by heart
OFTEN = 2.5             # passes for each network beside it, from which on one more is better than wider ones
MOST = 8                # networks


@dataclass(frozen=True)
class Choice:
    """Networks: how many ``hidden`` units, ``dropout``, how many ``passes`` over the text are expected of the time, and
    how many ``networks``, all alike but for their first weights."""

    hidden: int
    dropout: float
    passes: float
    networks: int = 1


NARROWEST = Choice(SIZES[0], 0.0, 0.0)


def choose(vocab_size: int, tokens: int, read: Callable[[int], float], most: int = MOST) -> Choice | None:
    """The widest LSTM that will have read enough for its weights; None where even the narrowest reads too little; and
    as many of them, M, up to `most`, as in their shares of the time will each have read the text 2.5 M times.

    tokens: of the text; read: how many tokens, passes over the text included, a network of so many hidden units gets
    through. A wider network learns more from each token and takes longer over it. Its weights are also kept below
    twice the tokens of the text, its embedding within 500 MB in training, and dropout grows with the passes.

    >>> choose(65, 1_000_000, lambda hidden: 4e11 / hidden**2)
    Choice(hidden=320, dropout=0.05, passes=3.90625, networks=1)
    """
    one = _widest(vocab_size, tokens, read)
    for networks in range(most, 1, -1):
        several = _widest(vocab_size, tokens, lambda hidden, share=networks: read(hidden) / share)   # type: ignore[misc]
        if several is not None and several.passes >= OFTEN * networks:
            return replace(several, networks=networks)
    return one


def _widest(vocab_size: int, tokens: int, read: Callable[[int], float]) -> Choice | None:
    small = vocab_size <= SMALL
    chosen = None
    for hidden in SIZES:
        weights = _weights(small, hidden)
        enough = _LEAST_READ if chosen is None else _READ_PER_WEIGHT[small] * weights
        if read(hidden) < enough or (chosen is not None and (weights > 2 * tokens
                                                             or _HELD * vocab_size * hidden > _MEMORY)):
            break
        chosen = hidden
    if chosen is None:
        return None
    passes = min(PASSES, read(chosen) / max(1, tokens))
    return Choice(chosen, dropout(small, passes), passes)


def _weights(small: bool, hidden: int) -> int:
    return 4 * hidden * (hidden + (WIDTH if small else hidden))


def own_share(vocab_size: int, tokens: int, chosen: Choice) -> float:
    """Of the loss of networks that correct n-grams, the share of their own predictions: more of it the oftener more
    weights read a text, which then learn by heart where its n-grams err."""
    often = chosen.passes * _weights(vocab_size <= SMALL, chosen.hidden) / max(1, tokens)
    return round(float(np.interp(often, (1, 4), (0.1, 0.6))), 2)


def dropout(small: bool, passes: float) -> float:
    """More of it the oftener a text is read; small: a vocabulary of characters."""
    rates = (0.0, 0.1, 0.25, 0.4) if small else (0.0, 0.1, 0.3, 0.5)
    return round(float(np.interp(passes, (2, 6, 12, 40), rates)), 2)


def pace(vocab_size: int, seconds: float, speed: float, beside: bool = False) -> Callable[[int], float]:
    """How many tokens an LSTM of so many units reads in training in `seconds`; speed: see `measure_speed`; beside:
    whether it is one of those beside n-grams, which may look back."""
    def read(hidden: int) -> float:
        cost = _cost(vocab_size, hidden)
        if beside and lookback(vocab_size, hidden):
            cost += _LOOKING[vocab_size <= SMALL]
        return seconds * speed * (1 - math.exp(-hidden / _NARROW)) / cost
    return read


def lookback(vocab_size: int, hidden: int) -> dict[str, int] | None:
    """How an LSTM beside n-grams reads its own past, see `models.lookback`; None where it is so narrow that it learns
    more in the time that this would take."""
    small = vocab_size <= SMALL
    return {"width": 32, "window": _WINDOW[small]} if hidden >= _LOOKING_FROM[small] else None


def _cost(vocab_size: int, hidden: int) -> float:
    """Multiply-adds of training a token.

    Forward, and twice as much backward: of characters 4 H^2 for the recurrence and V H for each of two softmaxes (the
    input's products are shared by all tokens alike), and what n-grams say of the row; of words 8 H^2, and H for each
    word drawn.
    """
    if vocab_size <= SMALL:
        return 3 * hidden * (4 * hidden + 2 * vocab_size) + _ASKED
    return 3 * hidden * (8 * hidden + (vocab_size if vocab_size <= FULL else SAMPLES))


def measure_speed(threads: int | None, seconds: float = 0.03) -> float:
    """Multiply-adds a second of all threads together in products of the shapes an LSTM has: the best of some.

    Takes twice `seconds` or a little more.
    """
    a, b = np.ones((64, 256), np.float32), np.ones((256, 1024), np.float32)

    def run() -> float:
        out, best = np.empty((64, 1024), np.float32), float("inf")
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            product(out, a, b)
            best = min(best, time.perf_counter() - begin)
        return a.size * b.shape[1] / best
    with one_thread_products(), Workers(threads) as workers:
        workers.run([run] * workers.threads)   # wakes the cores
        return sum(workers.run([run] * workers.threads))
