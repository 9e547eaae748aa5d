"""Counting the n-grams of a text: at once in memory, or where that is too small in segments that are merged on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastlm import _core
from fastlm.models.ngram.segments import BYTES_PER_TOKEN, LARGEST_SEGMENT, Counted, SegmentCounter, kept_of
from fastlm.models.ngram.spill import Spill
from fastlm.models.ngram.streams import stream, stream_parts, together
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers

AT_ONCE_BYTES = 80     # of memory for each token that is counted at once: 30 to 120, and longer texts are no slower
                       # in segments
TASKS = 16             # shares of the work; their number never depends on the threads, so that the bytes do not either


def counted_at_once(tokens: int, budget_bytes: float) -> bool:
    """Return whether a text of so many tokens is counted in memory, where its n-grams fit, and not in segments."""
    return tokens * AT_ONCE_BYTES <= budget_bytes


def count(parts: list[Corpus], vocab_size: int, order: int, stop: int, repeated_above: int | None, workers: Workers,
          budget_bytes: float) -> Counted:
    """Count parts of a text, each of which begins anew, in about so much memory.

    stop: the token that contexts do not reach past, or -1; repeated_above: see `KneserNey`.
    """
    if counted_at_once(sum(len(part) for part in parts), budget_bytes) or order == 1:
        counted = _count_at_once(together(parts), vocab_size, order, stop, repeated_above, workers, budget_bytes)
        if counted is not None:
            return counted
    most = min(int(budget_bytes / BYTES_PER_TOKEN), LARGEST_SEGMENT)
    with Spill() as spill:
        counter = SegmentCounter(vocab_size, order, stop, most, TASKS, workers, spill)
        for part in parts:
            for ids, starts in stream_parts(part):
                counter.add(ids, starts)
        return counter.trie(repeated_above, budget_bytes)


def _count_at_once(corpus: Corpus, vocab_size: int, order: int, stop: int, repeated_above: int | None, workers: Workers,
                   budget_bytes: float) -> Counted | None:
    """Count a text in memory; return None where its n-grams would take too much."""
    builder = _core.NGramBuilder(*stream(corpus), stop, order, vocab_size, TASKS)
    del corpus                          # the builder frees the text before it needs the most memory
    share(workers, builder.sort)
    before, kept = builder.level_sizes(), kept_of(order, repeated_above)
    if kept.whole < order:
        share(workers, builder.keep_repeated, kept.whole)
    left_out = before - builder.level_sizes()
    if order > 1 and builder.counting_bytes() > budget_bytes:
        return None
    builder.allocate()
    for level in range(2, order + 1):
        builder.level(level)
        share(workers, builder.number, level)
    return builder, left_out.tolist(), kept


def share(workers: Workers, step: Callable[..., None], *arguments: Any) -> None:
    """Do a step of counting, for every share of the work."""
    workers.map(lambda task: step(task, *arguments), range(TASKS))
