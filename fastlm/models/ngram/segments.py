"""N-grams of a text that does not fit in memory: counted in segments, which are merged on disk.

External sorting, as lmplz counts (Heafield et al. 2013, "Scalable modified Kneser-Ney language model estimation"). The
n-grams of each segment are sorted and written to a file as a run; the runs are merged into one, which tells the n-grams
of all lengths; of these a trie is built, in which each n-gram finds its suffix. What is counted, and every byte of the
tables, is the same as of the text as a whole. Where the tables would take too much memory, n-grams that occur once are
left out, the longest first: the discounts are still those of all n-grams, and what the n-grams that are left out had
goes to shorter ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastlm import _core
from fastlm.models.ngram.spill import Spill
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray
BYTES_PER_TOKEN = 32   # of a segment: the text 5, spans and what is shared 3, positions 4; keys, 20 for some of them
LARGEST_SEGMENT = 1 << 25     # tokens: larger ones would make fewer runs, and merging is a small part of the time
_WRITTEN_TOGETHER = 1 << 20   # bytes: more at once would be no faster
# What the tables take while they are built, in bytes: of an n-gram, its word, link, and count or log p; of those that
# may be contexts, where their children begin, their backoff, and how many are left out; of two levels at a time, p.
_NODE_BYTES, _CONTEXT_BYTES, _DOUBLE_BYTES = 12, 12, 8
# And while they are packed: word, link, log p, code and record; children and backoff.
_PACKED_NODE_BYTES, _PACKED_CONTEXT_BYTES = 18, 8
_MOST_TOKENS = 2**31   # counts are int32
_MERGED = -1           # in place of the number of a segment


@dataclass(frozen=True)
class Kept:
    """Which n-grams are kept: of `order` tokens at most, all of up to `whole` tokens, and of longer ones those that
    occur more than once, or with `once` false those whose tokens before the last one do."""

    order: int
    whole: int
    once: bool

    def sizes(self, sizes: Array) -> Array:
        """Return how many n-grams of 0, 1, ... `order` tokens are kept (..., order + 1); sizes (..., 3, k): as
        `_core.MergedRuns.sizes` returns them."""
        left_out = sizes[..., 1 if self.once else 2, :] * (np.arange(sizes.shape[-1]) > self.whole)
        return (sizes[..., 0, :] - left_out)[..., : self.order + 1]

    def memory(self, sizes: Array, vocab_size: int) -> float:
        """Return how many bytes the tables of sizes (3, k) take while they are built, about."""
        nodes = self.sizes(sizes)
        nodes[1] = vocab_size
        contexts, two = nodes[:-1].sum(), max(nodes[level - 1: level + 1].sum() for level in range(1, self.order))
        built = _NODE_BYTES * nodes.sum() + _CONTEXT_BYTES * contexts + _DOUBLE_BYTES * two
        return float(max(built, _PACKED_NODE_BYTES * nodes.sum() + _PACKED_CONTEXT_BYTES * contexts))


# The n-grams, how many of 0, 1, ... tokens were left out, and what is kept.
Counted = tuple[_core.NGramEstimates, list[int], Kept]


def kept_of(order: int, repeated_above: int | None) -> Kept:
    """Return what is kept where there is memory for it."""
    return Kept(order, order if repeated_above is None else min(order, repeated_above), False)


def less_than(asked: Kept, kept: Kept, why: str) -> str:
    """Return in words how less is kept than was asked for, and why; an empty string where it is not less."""
    out = ""
    if kept.once:
        out += f"; n-grams of more than {kept.whole} tokens that occur once were left out, {why}"
    if kept.order < asked.order:
        out += f"; order {kept.order} of {asked.order}, {why}"
    return out


def kept_within(sizes: Array, vocab_size: int, order: int, repeated_above: int | None, budget_bytes: float) -> Kept:
    """Return what is kept of n-grams of up to `order` tokens so that their tables take about `budget_bytes` at most:
    all, or those that `repeated_above` says; otherwise, the longest first, not those that occur once; and where that is
    not enough, a lower order, 2 at least. sizes (3, order + 1): as `_core.MergedRuns.sizes` returns them."""
    asked = kept_of(order, repeated_above)
    choices = [asked, *(Kept(order, most, True) for most in range(min(order - 1, asked.whole), 0, -1))]
    choices += [Kept(lower, 1, True) for lower in range(order - 1, 1, -1)]
    return next((kept for kept in choices if kept.memory(sizes, vocab_size) <= budget_bytes), choices[-1])


class SegmentCounter:
    """Counts a text that comes in parts, in segments of `most` tokens.

    order: 2 or more; boundary: the token that contexts end at, or -1; tasks: shares of the work. Call `add` for parts
    of the text, and then `trie`.
    """

    def __init__(self, vocab_size: int, order: int, boundary: int, most: int, tasks: int, workers: Workers,
                 spill: Spill) -> None:
        self._vocab_size, self._order, self._boundary, self._tasks = vocab_size, order, boundary, tasks
        self._workers, self._spill = workers, spill
        self._most = max(most, order)
        self._ids = np.empty(self._most + order - 1, np.int32)
        self._starts = np.empty(len(self._ids), np.uint8)
        self._filled = self.segments = self.tokens = 0
        self._cuts: Array | None = None

    def add(self, ids: Array, starts: Array) -> None:
        """Add tokens (n,) int32, and (n,) uint8, 1 at the first token of every document."""
        self.tokens += len(ids)
        if self.tokens >= _MOST_TOKENS:
            raise OverflowError(f"the text has more than {_MOST_TOKENS - 1:,} tokens; fewer were expected")
        while len(ids):
            end = min(len(self._ids), self._filled + len(ids))
            taken = end - self._filled
            self._ids[self._filled: end], self._starts[self._filled: end] = ids[:taken], starts[:taken]
            self._filled, ids, starts = end, ids[taken:], starts[taken:]
            if end == len(self._ids):
                self._count(self._most)
                rest = self._order - 1
                self._ids[:rest], self._starts[:rest] = self._ids[end - rest:], self._starts[end - rest:]
                self._filled = rest

    def _count(self, most: int) -> None:
        """Count the n-grams that begin at the first `most` tokens of the segment."""
        segment = _core.NGramSegment(self._ids[:self._filled], self._starts[:self._filled], self._boundary,
                                     self._order, self._vocab_size, most, self._tasks, self._cuts)
        self._cuts = segment.cuts
        number, self.segments = self.segments, self.segments + 1

        def count_share(task: int) -> None:
            segment.sort(task)
            out, last = np.empty(_WRITTEN_TOGETHER, np.uint8), False
            while not last:
                stop_if_asked()
                written, last = segment.write(task, out)
                self._spill.append((number, task), out[:written])
        self._workers.map(count_share, range(self._tasks))

    def trie(self, repeated_above: int | None, budget_bytes: float) -> Counted:
        """Return the n-grams, counted; which of them are kept `kept_within` says."""
        if self._filled:
            self._count(self._filled)
        self._ids, self._starts = np.empty(0, np.int32), np.empty(0, np.uint8)
        sizes = np.array(self._workers.map(self._merge, range(self._tasks)))
        total = sizes.sum(0)
        kept = kept_within(total, self._vocab_size, self._order, repeated_above, budget_bytes)
        of_tasks = kept.sizes(sizes)
        left_out = (total[0, : kept.order + 1] - of_tasks.sum(0)).tolist()
        assert self._cuts is not None
        trie = _core.NGramTrie(of_tasks.astype(np.uintp), self._cuts, kept.order, kept.whole, kept.once,
                               self._vocab_size)
        self._read(trie.grow)
        for level in range(2, kept.order + 1):
            trie.level(level)
            self._workers.map(lambda task, level=level: trie.connect(task, level), range(self._tasks))
        if any(left_out):
            trie.again()
            self._read(trie.count_left_out)
        return trie, left_out, kept

    def _merge(self, task: int) -> Array:
        """Merge the runs of a task; return the sizes of what was merged, see `_core.MergedRuns.sizes`."""
        readers = [self._spill.read((number, task)) for number in range(self.segments)]
        merged = _core.MergedRuns(len(readers))
        for number, reader in enumerate(readers):
            merged.give(number, *reader.more(0))
        out, needed = np.empty(_WRITTEN_TOGETHER, np.uint8), -1
        while needed != len(readers):
            stop_if_asked()
            written, needed = merged.step(out)
            self._spill.append((_MERGED, task), out[:written])
            if needed < len(readers):
                merged.give(needed, *readers[needed].more(merged.left(needed)))
        return merged.sizes(self._order)

    def _read(self, step: Callable[[int, Array, bool], int]) -> None:
        """Let a step of a trie read the merged runs."""
        def read_share(task: int) -> None:
            reader, left, whole = self._spill.read((_MERGED, task)), 0, False
            while not whole:
                stop_if_asked()
                data, whole = reader.more(left)
                left = len(data) - step(task, data, whole)
        self._workers.map(read_share, range(self._tasks))
