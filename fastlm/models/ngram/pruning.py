"""Entropy pruning: the n-grams that say least that shorter ones do not say are removed, until the rest fits a size.

Seymore & Rosenfeld 1996, "Scalable backoff language models"; Stolcke 1998, "Entropy-based pruning of backoff language
models". Of interpolated Kneser-Ney the shorter n-grams are no frequencies of text, so that the probability of a context
is not taken from them but from how often it was met (Chelba et al. 2010, "Study on interaction between entropy pruning
and Kneser-Ney smoothing").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.models.ngram.packed import (
    BITS,
    BITS_OF_FEW,
    QUANTISED_FROM,
    SMALL,
    Tables,
    pack_factored,
    pack_trie,
    trie_ends,
)
from fastlm.workers import Workers

Array = np.ndarray
_DISCOUNT = 0.75      # taken from each count, about: a context of n successors and backoff b was met 0.75 n / b times
_MOST_MET = 1e9       # times that a context is taken to have been met at most, whatever its backoff says
_BACKOFF_BITS = 19    # of a packed backoff, about
_TASKS = 16           # shares of the work; their number never depends on the threads, so that the bytes do not either
_ROUNDS = 6           # of pruning until the packed tables are as small as they were estimated to be
_KEPT_PLAIN = 1 << 24   # n-grams: those of larger models are unpacked again, since plain ones take 16 bytes each
_HALVINGS = 20        # of the interval in which the logarithm of the least loss is searched for


def prune(models: Sequence[Any], max_bytes: int, threads: int | None = None,
          weights: Sequence[float] | None = None) -> list[Tables]:
    """Return the tables of models without the n-grams that matter least, in at most so many bytes together.

    models: KneserNey or Factored; where they fit already their own tables are returned. weights: how much a nat of each
    model counts; None: all alike. Raises ValueError where single tokens alone take more.
    """
    tables = [model.tables for model in models]
    if size_of(tables) <= max_bytes:
        return tables
    losses = [Losses(partial(plain_of, model), model.vocab_size, threads, weight)
              for model, weight in zip(models, weights or [1.0] * len(models), strict=True)]
    allowed = float(max_bytes)
    for _ in range(_ROUNDS):
        least = least_loss(losses, allowed)
        tables = [loss.tables_above(least, threads) for loss in losses]
        if (size := size_of(tables)) <= max_bytes:
            return tables
        allowed *= 0.99 * max_bytes / size
    tables = [loss.tables_above(np.inf, threads) for loss in losses]
    if (size := size_of(tables)) > max_bytes:
        raise ValueError(f"max_bytes leaves {max_bytes:,} bytes for n-grams; single tokens alone take {size:,}")
    return tables


def pack_share(plain: Tables, vocab_size: int, ends: Sequence[int], share: float, threads: int | None = None) -> Tables:
    """Return packed tables without the n-grams that matter least, in about a share of the bytes that all would take.

    plain, ends: as for `packed.pack_trie`, or with ``key`` for `pack_factored`.
    """
    losses = Losses(lambda: (plain, list(ends)), vocab_size, threads)
    return losses.tables_above(least_loss([losses], share * losses.bytes_above(0.0)), threads)


def check_share(kept_share: float) -> None:
    """Raise ValueError for a share of n-grams that is not above 0 and at most 1."""
    if not 0 < kept_share <= 1:
        raise ValueError(f"kept_share = {kept_share}; a share above 0 and at most 1 was expected")


def plain_of(model: Any) -> tuple[Tables, list[int]]:
    """Return the plain arrays of a model, and where the n-grams, or of a Factored the contexts, of 0, 1, ... tokens or
    factors end in them."""
    plain = model.unpacked()
    return plain, model.tables["levels"].tolist() if "key" in plain else trie_ends(plain, model.vocab_size)


def size_of(tables: Sequence[Tables]) -> int:
    """Return how many bytes tables take."""
    return sum(array.nbytes for of_model in tables for array in of_model.values())


def least_loss(losses: Sequence[Losses], max_bytes: float) -> float:
    """Return the loss below which n-grams are removed, so that the rest takes about so many bytes at most."""
    low, high = np.log(1e-30), np.log(max(1e-20, *(float(one.of_gram.max(initial=0)) for one in losses)) * 2)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(one.bytes_above(np.exp(middle)) for one in losses) > max_bytes:
            low = middle
        else:
            high = middle
    return float(np.exp(high))


class Losses:
    """What each n-gram of a model is worth: ``of_gram`` (n-grams,) float32, the nats a token that are lost where it is
    removed, or where n-grams that cannot stay without it are worth more, those; ``of_context`` (contexts,), those of
    the n-gram worth most for which a context must stay."""

    def __init__(self, unpack: Callable[[], tuple[Tables, list[int]]], vocab_size: int, threads: int | None = None,
                 weight: float = 1.0) -> None:
        """Compute the losses.

        unpack: returns plain arrays and where their levels end, see `plain_of`; weight: how much a nat counts.
        """
        self._unpack, self.vocab_size = unpack, vocab_size
        self._unpacked: tuple[Tables, list[int]] | None = None
        plain, ends = self._plain()
        self.trie = "key" not in plain
        frequency = weight * frequencies(plain, ends, self.trie)
        self.of_gram = np.zeros(len(plain["word"]), np.float32)
        word, link, child, logp, backoff = _arrays(plain)
        suffix = link if self.trie else plain.get("suffix")
        _by_level(partial(_core.ngram_losses, self.of_gram, word, link, child, logp, backoff, suffix, frequency,
                          vocab_size), ends, threads)
        if self.trie:
            _core.raise_losses(self.of_gram, child, vocab_size)
        self.of_context = _core.largest_loss(self.of_gram, child)
        if not self.trie:
            for first, last in reversed(list(pairwise(ends[1:]))):
                np.maximum.at(self.of_context, link[first:last], self.of_context[first:last])

    def _plain(self) -> tuple[Tables, list[int]]:
        """Return the plain arrays, and where the contexts of 0, 1, ... tokens or factors end in them."""
        plain, ends = self._unpacked or self._unpack()
        if len(plain["word"]) <= _KEPT_PLAIN:
            self._unpacked = plain, ends
        return plain, [min(end, len(plain["backoff"])) for end in ends]

    def bytes_above(self, least: float) -> float:
        """Return about how many bytes the n-grams take that are worth at least so much."""
        grams = int((self.of_gram[self.vocab_size:] >= least).sum())
        contexts = int((self.of_context >= least).sum())
        bits = 32 if grams < QUANTISED_FROM else BITS if self.vocab_size >= SMALL else BITS_OF_FEW
        each_gram = int(self.vocab_size - 1).bit_length() + bits
        # Beside the link and the backoff a context has the place of its children in its block, a share of the block
        # and of the bits that tell which n-grams are contexts, or of a key.
        children = 5 + max(0.0, np.log2(max(1, grams) / max(1, contexts)))
        each_context = contexts.bit_length() + (32 if grams < QUANTISED_FROM else _BACKOFF_BITS) + children + 4
        each_context += 3 if self.trie else 23
        book = 0 if grams < QUANTISED_FROM else 4 << bits
        return (grams * each_gram + contexts * each_context) / 8 + 4 * self.vocab_size + book

    def tables_above(self, least: float, threads: int | None = None) -> Tables:
        """Return the packed tables of the n-grams that are worth at least so much."""
        plain, ends = self._plain()
        keep = self.of_gram >= least
        keep[:self.vocab_size] = True
        plain, ends = (_trie_of if self.trie else partial(_factored_of, stay=self.of_context >= least))(
            plain, ends, keep)
        word, link, child, logp, backoff = _arrays(plain)
        suffix = link if self.trie else None
        rebalance = partial(_core.rebalance_ngrams, backoff, word, link, child, logp, suffix, self.vocab_size)
        _by_level(rebalance, [min(end, len(backoff)) for end in ends], threads)
        return (pack_trie if self.trie else pack_factored)(plain, self.vocab_size, ends, threads)


def frequencies(plain: Tables, ends: Sequence[int], trie: bool) -> Array:
    """Return about how often each context occurs for each token of text (contexts,) float64.

    A context whose extensions are contexts occurs as often as all of these together; another one by its backoff, which
    is the discounts of its successors divided by their counts.
    """
    child, link, backoff = plain["child"], plain["link"], plain["backoff"].astype(np.float64)
    followed = np.diff(child)
    out = np.minimum(np.where(followed > 0, _DISCOUNT * followed * np.exp(-np.minimum(backoff, 50)), 0.0), _MOST_MET)
    for level in range(len(ends) - 2, 0, -1):
        first, last = ends[level - 1], ends[level]
        if trie:
            begin, end = int(child[first]) if last > first else 0, int(child[last]) if last > first else 0
            longer = np.ones(end - begin)
            known = out[begin:end]
            longer[:len(known)] = np.maximum(known, 1.0)
            running = np.concatenate([[0.0], np.cumsum(longer)])
            extended = running[child[first + 1:last + 1] - begin] - running[child[first:last] - begin]
        else:
            longer = out[last:ends[level + 1]]
            extended = np.bincount(link[last:ends[level + 1]] - first, weights=longer, minlength=last - first)
        out[first:last] = np.maximum(out[first:last], extended)
    return out / max(1.0, float(out[:ends[1]].sum()))


def _arrays(plain: Tables) -> tuple[Array, Array, Array, Array, Array]:
    return plain["word"], plain["link"], plain["child"], plain["logp"], plain["backoff"]


def _by_level(task: Callable[[int, int], None], ends: Sequence[int], threads: int | None) -> None:
    """Call a task for shares of the contexts of one level after the other."""
    with Workers(threads) as workers:
        for first, last in pairwise(ends):
            cuts = np.linspace(first, max(first, last), _TASKS + 1).astype(np.int64).tolist()
            workers.map(task, cuts[:-1], cuts[1:])


def _trie_of(plain: Tables, ends: Sequence[int], keep: Array) -> tuple[Tables, list[int]]:
    """Return the n-grams of a trie that are kept, and where those of 0, 1, ... tokens end."""
    before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)   # how many are kept of those before each
    link, contexts = plain["link"], len(plain["backoff"])
    suffix = link[keep]
    while (gone := (suffix >= 0) & ~keep[suffix]).any():
        suffix[gone] = link[suffix[gone]]
    inner = keep[:contexts]
    child = np.append(before[plain["child"][:-1][inner]], before[-1:])
    out = {"word": plain["word"][keep], "logp": plain["logp"][keep], "backoff": plain["backoff"][inner], "child": child,
           "link": np.where(suffix < 0, np.int32(-1), before[np.maximum(suffix, 0)])}
    return out, [*before[list(ends)].tolist(), int(before[-1])]


def _factored_of(plain: Tables, ends: Sequence[int], keep: Array, stay: Array) -> tuple[Tables, list[int]]:
    """Return the n-grams over factors that are kept, and where the contexts of 0, 1, ... factors end.

    stay (contexts,) bool: which contexts are kept.
    """
    before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
    number = np.concatenate([[0], np.cumsum(stay)]).astype(np.int32)
    link = plain["link"][stay]
    out = {"word": plain["word"][keep], "logp": plain["logp"][keep], "key": plain["key"][stay],
           "backoff": plain["backoff"][stay], "child": np.append(before[plain["child"][:-1][stay]], before[-1:]),
           "link": np.where(link < 0, np.int32(-1), number[np.maximum(link, 0)])}
    return out, number[list(ends)].tolist()
