"""The size and dropout of networks, chosen by the text, the time left and the speed of this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fastlm.auto.policy import Policy, UnitPolicy
from fastlm.autodiff.matmul import product
from fastlm.training.trainer import batch_size_for
from fastlm.workers import Workers, one_thread_products

# Bytes in training: the weight, its best value so far, the gradients of two threads and two moments, 4 bytes each.
BYTES_OF_A_WEIGHT = 24


@dataclass(frozen=True)
class NetworkSize:
    """The size of recurrent networks: ``hidden`` units, the rate of ``dropout``, the ``passes`` over the text that are
    expected, and how many ``networks`` there are, which differ in their first weights only."""

    hidden: int
    dropout: float
    passes: float
    networks: int = 1


def narrowest(policy: Policy) -> NetworkSize:
    """Return the size of the network that is trained where one must be, although there is too little time or text."""
    return NetworkSize(policy.network_sizes[0], 0.0, 0.0)


def network_size(unit: str, vocab_size: int, tokens: int, seconds: float, speed: float, policy: Policy,
                 beside: bool = False, corrects: bool = False) -> NetworkSize | None:
    """Return the size of LSTMs that have so many seconds to read a text of so many tokens.

    speed: multiply-adds a second, see `measure_speed`. beside: whether they stand beside n-grams; then they may look
    back, and there may be several. corrects: as in `training_cost`. None where even the narrowest would read too little
    to add anything, take too long to predict `fewest_weighed` tokens of a large vocabulary, or not fit into memory.
    """
    by_width = {hidden: tokens_read(unit, vocab_size, hidden, seconds, speed, policy, beside, corrects)
                if policy.fewest_weighed * prediction_cost(vocab_size, hidden, policy)
                <= policy.weighing_share * seconds * speed else 0.0
                for hidden in policy.network_sizes}
    return size_for(unit, vocab_size, tokens, by_width, policy, policy.most_networks if beside else 1)


def size_for_passes(unit: str, vocab_size: int, tokens: int, passes: float, policy: Policy) -> NetworkSize | None:
    """Return the size of an LSTM that reads a text of so many tokens a given number of times."""
    return size_for(unit, vocab_size, tokens, dict.fromkeys(policy.network_sizes, tokens * passes), policy)


def size_for(unit: str, vocab_size: int, tokens: int, by_width: Mapping[int, float], policy: Policy,
             most: int = 1) -> NetworkSize | None:
    """Return the widest LSTM that will read enough tokens for its weights, and how many such networks there are to be.

    tokens: in the text. by_width: how many tokens a network of each number of hidden units can read, repeated passes
    included; narrow ones first. most: networks, at most. Each of M networks has an M-th of the time; M is the largest
    number for which each reads the text `passes_per_network` times M times.

    A wider network learns more from each token and takes longer over it. Its recurrent weights stay below
    `weights_per_token` times the tokens of the text and its embedding within `embedding_bytes` in training; dropout
    grows with the passes. None where even the narrowest network reads too little, or its embedding is larger.

    >>> by_width = {hidden: 4e11 / hidden**2 for hidden in Policy().network_sizes}
    >>> size_for("char", 65, 1_000_000, by_width, Policy())
    NetworkSize(hidden=320, dropout=0.05, passes=3.90625, networks=1)
    """
    for networks in range(most, 1, -1):
        shared = {hidden: total / networks for hidden, total in by_width.items()}
        size = _widest(unit, vocab_size, tokens, shared, policy)
        if size is not None and size.passes >= policy.passes_per_network * networks:
            return replace(size, networks=networks)
    return _widest(unit, vocab_size, tokens, by_width, policy)


def _widest(unit: str, vocab_size: int, tokens: int, by_width: Mapping[int, float],
            policy: Policy) -> NetworkSize | None:
    numbers, widest = policy.of(unit), None
    for hidden, total in by_width.items():
        weights = recurrent_weights(numbers, hidden)
        if total < (policy.least_tokens_read if widest is None else numbers.tokens_per_weight * weights):
            break
        if not fits_memory(vocab_size, hidden, policy):
            break
        if widest is not None and weights > policy.weights_per_token * tokens:
            break
        widest = hidden
    if widest is None:
        return None
    passes = min(policy.most_passes, by_width[widest] / max(1, tokens))
    return NetworkSize(widest, along(numbers.dropout, passes), passes)


def fits_memory(vocab_size: int, hidden: int, policy: Policy) -> bool:
    """Return whether the embedding of a network of so many units takes at most `embedding_bytes` in training."""
    return BYTES_OF_A_WEIGHT * vocab_size * hidden <= policy.embedding_bytes


def recurrent_weights(numbers: UnitPolicy, hidden: int) -> int:
    """Return how many weights an LSTM layer of so many units has, biases not counted."""
    return 4 * hidden * (hidden + (numbers.embedding_width or hidden))


def along(ladder: tuple[tuple[float, float], ...], x: float) -> float:
    """Return the value of a ladder of (x, y) pairs at x, interpolated and rounded to two digits; outside, its first or
    last y.

    >>> along(((2, 0.0), (6, 0.1)), 4), along(((2, 0.0), (6, 0.1)), 99)
    (0.05, 0.1)
    """
    return round(float(np.interp(x, [step for step, _ in ladder], [y for _, y in ladder])), 2)


def network_loss_share(unit: str, tokens: int, size: NetworkSize, policy: Policy) -> float:
    """Return the share of their own predictions in the loss of networks that correct n-grams.

    The share grows with the passes over the text and with the weights for each of its tokens, because networks that
    read a text often, or have many weights, would otherwise learn by heart where its n-grams err.
    """
    often = size.passes * recurrent_weights(policy.of(unit), size.hidden) / max(1, tokens)
    return along(policy.network_loss_share, often)


def lookback(unit: str, hidden: int, policy: Policy, corrects: bool = False) -> dict[str, int] | None:
    """Return the argument `lookback` of an LSTM beside n-grams, see `models.lookback`; None where it is too narrow.

    corrects: whether it corrects the n-grams.
    """
    numbers = policy.of(unit)
    least = numbers.lookback_correcting_from if corrects else numbers.lookback_from
    return {"width": policy.lookback_width, "window": numbers.lookback_window} if hidden >= least else None


def tokens_read(unit: str, vocab_size: int, hidden: int, seconds: float, speed: float, policy: Policy,
                beside: bool = False, corrects: bool = False) -> float:
    """Return how many tokens an LSTM reads in so many seconds of training, repeated passes included."""
    cost = training_cost(unit, vocab_size, hidden, policy, corrects)
    if beside and lookback(unit, hidden, policy, corrects):
        cost += policy.of(unit).lookback_cost
    return seconds * speed * (1 - math.exp(-hidden / policy.narrow_units)) / cost


def training_cost(unit: str, vocab_size: int, hidden: int, policy: Policy, corrects: bool = False) -> float:
    """Return the multiply-adds of training an LSTM of H units on one token: forward, and twice as many backward.

    Forward there are 4 H^2 for the recurrence; another 4 H^2 for the input, unless equal tokens share theirs; H for
    each word that the softmax is taken over; and, where networks correct n-grams, as much for a second softmax and the
    cost of reading the n-grams' row. corrects: whether they do, of a vocabulary whose tokens are drawn; of smaller ones
    the policy of the unit says so.
    """
    numbers = policy.of(unit)
    layers = 4 * hidden if numbers.shares_inputs else 8 * hidden
    full = vocab_size <= policy.full_softmax_up_to
    outputs = vocab_size if full else words_drawn(corrects, policy)
    corrects = numbers.networks_correct if full else corrects
    return 3 * hidden * (layers + outputs * (1 + corrects)) + numbers.correction_cost * corrects


def words_drawn(corrects: bool, policy: Policy) -> int:
    """Return how many words a sampled softmax draws in a step; corrects: whether of a network that corrects n-grams."""
    return policy.sampled_words_correcting if corrects else policy.sampled_words


def prediction_cost(vocab_size: int, hidden: int, policy: Policy) -> float:
    """Return the multiply-adds of one exact prediction by a network of so many units, of which the softmax over a large
    vocabulary is nearly all."""
    return vocab_size * (hidden + policy.softmax_cost)


def batch_size_of(unit: str, tokens: int, sequence_length: int, policy: Policy, budget: float = math.inf) -> int:
    """Return how many stretches of a text of so many tokens a network reads side by side.

    budget: in seconds, for a network beside n-grams in a run with a time limit; infinite otherwise.
    """
    if policy.wide_batches_from <= budget < math.inf:
        return max(1, min(policy.wide_batch_size, tokens // 2))
    return batch_size_for(tokens, policy.of(unit).batch_size, sequence_length)


def measure_speed(threads: int | None, seconds: float = Policy.speed_seconds) -> float:
    """Return the multiply-adds a second of all threads together, the best of some products of the shapes of an LSTM.

    It takes twice `seconds`, or a little more.
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
        workers.run([run] * workers.threads)   # The first run only wakes the cores.
        return sum(workers.run([run] * workers.threads))
