"""The tables of n-grams from n-grams that come level after level, each level in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastlm import _core

Array = np.ndarray
_FIRST_ROOM = 1 << 16   # nodes that a table has room for at first, where as many are expected
_GROWTH = 4             # so that the copies take less than the table will, and a file that lies about a number little


class RepeatedNGram(ValueError):
    """An n-gram that is there twice; ``line`` is where it came from the second time."""

    def __init__(self, line: int) -> None:
        super().__init__(f"an n-gram of line {line} is there twice")
        self.line = line


class TrieBuilder:
    """Builds the tables that `KneserNey.restore` takes: word, link, child, logp, backoff.

    Tables need every n-gram's context and its suffix, the n-gram without its oldest word. Those that are not there, as
    in pruned models, are added with the probability that backing off gives and a backoff of 1, so that nothing is
    scored otherwise.

    logp, backoff (V,) float32: of the single words. expected: how many n-grams of 2, 3, ... words there will be at
    most; room is made as it is needed. Call `extend` for n-grams of 2 words, then `close_level`, then of 3, and so on.
    """

    def __init__(self, logp: Array, backoff: Array, expected: Sequence[int]) -> None:
        self.vocab_size = len(logp)
        self.ends = [0, self.vocab_size]        # level k is the nodes ends[k - 1] to ends[k]
        self.added = 0                          # contexts and suffixes that were not there
        self._expected = list(expected)
        self.word = np.arange(self.vocab_size, dtype=np.int32)
        self.link = np.full(self.vocab_size, -1, np.int32)
        self.logp = logp.astype(np.float32)
        self.backoff = backoff.astype(np.float32) if self._expected else np.zeros(0, np.float32)
        self.child = np.array([self.vocab_size], np.int32)
        self._open_level()

    def _open_level(self) -> None:
        self._size = 0                          # n-grams of the open level so far
        self._parent, self._line = np.empty(0, np.int32), np.empty(0, np.int32)
        self._orphans: list[tuple[Array, Array, Array, Array]] = []

    @property
    def order(self) -> int:
        """The number of words of the longest n-grams so far."""
        return len(self.ends) - 1

    def extend(self, ids: Array, logp: Array, backoff: Array, line: Array) -> None:
        """Add n-grams of one word more than the longest so far: ids (n,k) int32, logp, backoff (n,) float32.

        line (n,) int32: where each came from, for errors.
        """
        parent = self._find(ids[:, :-1])
        if (lost := parent < 0).any():
            self._orphans.append((ids[lost], logp[lost], backoff[lost], line[lost]))
            ids, logp, backoff, line, parent = (x[~lost] for x in (ids, logp, backoff, line, parent))
        self._put(parent, ids[:, -1], logp, backoff, line)

    def _find(self, ids: Array) -> Array:
        """Return the nodes (n,) int32 of n-grams (n,k) of a closed level, -1 where one is not there."""
        node, k = np.empty(len(ids), np.int32), ids.shape[1]
        _core.find_ngrams(node, self.word, self.child, np.ascontiguousarray(ids, np.int32), k, self.ends[k - 1],
                          self.vocab_size)
        return node

    def _put(self, parent: Array, word: Array, logp: Array, backoff: Array, line: Array) -> None:
        first, begin, end = self.ends[-1], self._size, self._size + len(parent)
        here, others = self._expected[self.order - 1], self._expected[self.order:]
        for name, values, ahead in (("word", word, here + sum(others)), ("logp", logp, here + sum(others)),
                                    ("backoff", backoff, here + sum(others[:-1]))):
            if name != "backoff" or others:                # the longest n-grams are nobody's context
                table = _with_room(getattr(self, name), first + begin, first + end, first + ahead)
                table[first + begin: first + end] = values
                setattr(self, name, table)
        for name, values in (("_parent", parent), ("_line", line)):
            table = _with_room(getattr(self, name), begin, end, here)
            table[begin:end] = values
            setattr(self, name, table)
        self._size = end

    def close_level(self) -> None:
        """Sort and link the n-grams of the level. Raises RepeatedNGram where one is there twice."""
        if self._orphans:
            ids, *rest = (np.concatenate(parts) for parts in zip(*self._orphans, strict=True))
            self._add_missing(ids[:, :-1])
            self._put(self._find(ids[:, :-1]), ids[:, -1], *rest)
        self._arrange()
        above, first, end = self.ends[-3:]
        self.link = _with_room(self.link, first, end, first + sum(self._expected[self.order - 2:]))
        if _core.link_ngrams(self.link[:end], self.word[:end], self.child, above, first):
            nodes = first + np.flatnonzero(self.link[first:end] < 0)
            self._add_missing(self._words_of(nodes, self.order)[:, 1:])
            above, first, end = self.ends[-3:]
            _core.link_ngrams(self.link[:end], self.word[:end], self.child, above, first)
        self._open_level()

    def _arrange(self) -> None:
        """Bring the n-grams of the open level into the order of tables, and close the level."""
        above, first, n = self.ends[-2], self.ends[-1], self._size
        self.child = np.concatenate([self.child, np.empty(first + 1 - len(self.child), np.int32)])
        order = np.empty(n, np.int32)
        repeated = _core.arrange_ngrams(order, self.child, self._parent[:n], self.word[first: first + n], above, first)
        if repeated < n:
            raise RepeatedNGram(int(self._line[repeated]))
        self._parent, self._line, self._size = np.empty(0, np.int32), np.empty(0, np.int32), 0
        self.ends.append(first + n)
        if (order[1:] != order[:-1] + 1).any():
            for table in (self.word, self.logp, self.backoff):
                if len(table) > first:
                    table[first: first + n] = table[first: first + n][order]

    def _words_of(self, nodes: Array, k: int) -> Array:
        """Return the words (n,k) int32 of nodes (n,) of level k."""
        ids = np.empty((len(nodes), k), np.int32)
        for column in range(k - 1, -1, -1):
            ids[:, column] = self.word[nodes]
            nodes = np.searchsorted(self.child, nodes, "right") - 1
        return ids

    def _add_missing(self, ids: Array) -> None:
        """Add the n-grams (n,k) that are not there, and the parts of them, shortest first."""
        for length in range(2, ids.shape[1] + 1):
            for begin in range(ids.shape[1] - length + 1):
                part = ids[:, begin: begin + length]
                missing = part[self._find(part) < 0]
                if len(missing):
                    self._insert(missing)

    def _insert(self, ids: Array) -> None:
        """Add n-grams (n,k) of a closed level, none of which is there, their contexts and suffixes being there."""
        k, size = ids.shape[1], self.vocab_size
        parent, suffix = self._find(ids[:, :-1]), self._find(ids[:, 1:])
        above, first, end = self.ends[k - 2: k + 1]
        wanted, which = np.unique(parent * np.int64(size) + ids[:, -1], return_index=True)
        parent, suffix = parent[which], suffix[which]
        children = np.diff(self.child[:self.ends[-2] + 1])
        keys = np.repeat(np.arange(above, first, dtype=np.int64), children[above:first]) * size + self.word[first:end]
        at = first + np.searchsorted(keys, wanted)
        here = self.ends[-1] + self._size
        np.add.at(children, parent, 1)
        if k < self.order:
            children = np.insert(children, at, 0)
        self.child = size + np.concatenate([[0], np.cumsum(children)]).astype(np.int32)
        fill = {"word": ids[which, -1], "logp": self.backoff[parent] + self.logp[suffix], "link": suffix}
        for name, values in fill.items():
            setattr(self, name, np.insert(getattr(self, name)[:here], at, values))
        if len(self.backoff) > first:
            self.backoff = np.insert(self.backoff[:here], at, np.float32(0))
        self._parent, self.link = (x + np.searchsorted(at, x, "right").astype(np.int32)
                                   for x in (self._parent[:self._size], self.link))
        self.ends[k:] = [e + len(at) for e in self.ends[k:]]
        self.added += len(at)

    def has(self, ids: Array) -> Array:
        """Return (n,) bool which of the n-grams (n,k) of a closed level are there."""
        return self._find(ids) >= 0

    def _keep_backoffs(self) -> None:
        """Give a child to every context that has a backoff and no child, since the tables read on from contexts with
        children alone: the child is a word that has followed the context's suffix, as backing off gives it."""
        for k in range(1, self.order):
            first, last = self.ends[k - 1: k + 1]
            childless = np.diff(self.child[first: last + 1]) == 0
            nodes = first + np.flatnonzero(childless & (self.backoff[first:last] != 0))
            if not len(nodes):
                continue
            shorter = self.link[nodes]
            while (alone := (shorter >= 0) & (self.child[shorter] == self.child[shorter + 1])).any():
                shorter = np.where(alone, self.link[shorter], shorter)
            follower = np.zeros(len(nodes), np.int32)        # any word does after contexts that nothing has followed
            follower[shorter >= 0] = self.word[self.child[shorter[shorter >= 0]]]
            self._add_missing(np.column_stack([self._words_of(nodes, k), follower]))

    def tables(self) -> dict[str, Array]:
        """Return the tables; no n-grams may be added any more."""
        self._keep_backoffs()
        nodes, contexts = self.ends[-1], self.ends[-2] if self.order > 1 else 0
        return {"word": self.word[:nodes], "link": self.link[:nodes], "child": self.child[:contexts + 1],
                "logp": self.logp[:nodes], "backoff": self.backoff[:contexts]}


def _with_room(table: Array, used: int, needed: int, most: int) -> Array:
    """Return the table, or a longer copy of its first `used` numbers: for `needed`, and at most for `most` where those
    are enough."""
    if needed <= len(table):
        return table
    longer = np.empty(max(needed, min(most, max(_FIRST_ROOM, _GROWTH * needed))), table.dtype)
    longer[:used] = table[:used]
    return longer
