"""The inputs of networks: embeddings of tokens, and beside them rows of hashed n-grams."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm import autodiff
from fastlm.autodiff import Parameter, Variable, sequence, variable
from fastlm.batch import Batch, State
from fastlm.models.initial import zeros

Array = np.ndarray
LONGEST = 1024   # tokens of a hashed n-gram at most, since every state carries their ids; an assumption


class HashedNGrams:
    """For every prefix the rows of its last n ids, for each order n, side by side. Weinberger et al. 2009.

    Every order has a table of ``buckets`` rows. The row of an n-gram is the hash of its ids, so that no dictionary is
    kept, and n-grams may share a row; a document of fewer than n tokens has zeros. The tables start as zeros, so that
    an n-gram that was never met in training adds nothing. ``width``: of all rows side by side, 0 where `options` is
    None.
    """

    def __init__(self, options: dict[str, Any] | None, parameter: Callable[[str, Array], Parameter]) -> None:
        """Check the options and register the tables as the parameter "ngrams".

        options: {"orders": [2, 3], "buckets": 1 << 16, "width": 32}, of which any may be left out. Raises ValueError
        where they do not fit.
        """
        self.width = 0
        if options is None:
            return
        chosen: dict[str, Any] = {"orders": [2, 3], "buckets": 1 << 16, "width": 32} | options
        if extra := options.keys() - {"orders", "buckets", "width"}:
            raise ValueError(f"ngrams has {sorted(extra)}; orders, buckets and width were expected")
        orders = chosen["orders"]
        if not len(orders) or orders[0] < 1 or any(b <= a for a, b in itertools.pairwise(orders)):
            raise ValueError(f"orders = {orders!r}; rising numbers of tokens from 1 on were expected")
        if orders[-1] > LONGEST:
            raise ValueError(f"orders = {orders!r}; n-grams of at most {LONGEST} tokens were expected")
        for name in ("buckets", "width"):
            if chosen[name] < 1:
                raise ValueError(f"{name} = {chosen[name]}; at least 1 was expected")
        self.orders, self.buckets = np.array(orders, np.int64), int(chosen["buckets"])
        self.table = parameter("ngrams", zeros((len(orders) * self.buckets, chosen["width"])))
        self.width = len(orders) * chosen["width"]

    def project(self, parameter: Callable[[str, Array], Parameter], draw: Callable[[tuple[int, int]], Array],
                width: int) -> None:
        """Register a matrix, drawn by its shape, that multiplies the rows to the given width for `add_to`."""
        if self.width:
            self.projection = parameter("ngram_projection", draw((self.width, width)))

    def start(self, batch: int) -> dict[str, Array]:
        """Return the arrays that the state of empty prefixes holds for the hashed n-grams."""
        return {"ngram_ids": np.full((batch, int(self.orders[-1]) - 1), -1, np.int64)} if self.width else {}

    def rows(self, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """Return the rows of every prefix (N, width); put the arrays of the state after the batch into `after`."""
        rows, after["ngram_ids"] = sequence.hashed_rows(batch, self.orders, self.buckets, state["ngram_ids"])
        return autodiff.reshape(autodiff.gather(self.table, rows), (len(batch), self.width))

    def append_to(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """Return x (N, D) with the rows to its right, or x itself where there are none."""
        return autodiff.concatenate([x, self.rows(batch, state, after)]) if self.width else x

    def add_to(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """Return x (N, D) plus the projected rows, or x itself where there are none."""
        if not self.width:
            return x
        return autodiff.add(x, autodiff.matmul(self.rows(batch, state, after), self.projection))


def embed(embedding: Parameter, ngrams: HashedNGrams, batch: Batch, state: State,
          after: dict[str, Array]) -> tuple[Variable, Array | None]:
    """Return the input of a recurrent layer: rows x (N, D), and None.

    Where there are fewer words in the vocabulary than tokens in the batch, and no n-grams, return instead the whole
    embedding (V, D) and the ids (N,) int64 of its rows, so that each word is projected once.
    """
    if not ngrams.width and embedding.shape[0] < len(batch):
        return variable(embedding), batch.ids.astype(np.int64)
    return ngrams.append_to(autodiff.gather(embedding, batch.ids), batch, state, after), None
