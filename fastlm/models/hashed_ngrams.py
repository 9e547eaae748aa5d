"""What networks read of the last tokens: embeddings, and rows of hashed n-grams beside them."""

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
LONGEST = 1024   # tokens of a hashed n-gram, of which every state carries the ids


class HashedNGrams:
    """The rows that the last n ids have in a table of ``buckets`` rows for each order n, side by side.

    An n-gram's row is the hash of its ids, so that no dictionary is kept, and n-grams may share a row; a document
    shorter than n has zeros. The table starts as zeros: an n-gram never met in training says nothing. ``width``: of all
    rows together, 0 where `options` is None. Weinberger et al. 2009.
    """

    def __init__(self, options: dict[str, Any] | None, parameter: Callable[[str, Array], Parameter]) -> None:
        """options: {"orders": [2, 3], "buckets": 1 << 16, "width": 32}; any of them may be left out."""
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
        """Adds a matrix, drawn by its shape, that brings the rows to a width, for `added_to`."""
        if self.width:
            self.projection = parameter("ngram_projection", draw((self.width, width)))

    def start(self, batch: int) -> dict[str, Array]:
        """What the state of empty prefixes holds for it."""
        return {"ngram_ids": np.full((batch, int(self.orders[-1]) - 1), -1, np.int64)} if self.width else {}

    def rows(self, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """The rows of every prefix (N, width); puts what is to be carried on into `after`."""
        rows, after["ngram_ids"] = sequence.hashed_rows(batch, self.orders, self.buckets, state["ngram_ids"])
        return autodiff.reshape(autodiff.gather(self.table, rows), (len(batch), self.width))

    def joined_to(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """x (N, D) with the rows at its right, or x itself where there are none."""
        return autodiff.concatenate([x, self.rows(batch, state, after)]) if self.width else x

    def added_to(self, x: Variable, batch: Batch, state: State, after: dict[str, Array]) -> Variable:
        """x (N, D) plus the projected rows, or x itself where there are none."""
        if not self.width:
            return x
        return autodiff.add(x, autodiff.matmul(self.rows(batch, state, after), self.projection))


def embed(embedding: Parameter, ngrams: HashedNGrams, batch: Batch, state: State,
          after: dict[str, Array]) -> tuple[Variable, Array | None]:
    """What a recurrent layer reads: x (N, D) and None, or where there are fewer words than tokens and no n-grams the
    dictionary itself and the row of each token, so that each word is projected once."""
    if not ngrams.width and embedding.shape[0] < len(batch):
        return variable(embedding), batch.ids.astype(np.int64)
    return ngrams.joined_to(autodiff.gather(embedding, batch.ids), batch, state, after), None
