"""How much of a large source is read, and how much of it the n-grams count, in the time."""

from __future__ import annotations

from itertools import chain
from math import inf
from os import PathLike
from typing import Any

from fastlm.auto.request import Request, Text
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey
from fastlm.models.ngram.counting import counted_at_once
from fastlm.models.ngram.streams import at_most
from fastlm.text.corpus import Corpus
from fastlm.text.sources.containers import Items
from fastlm.text.sources.extent import Extent
from fastlm.workers import available_threads


def extent_of(source: Any, request: Request, timetable: Timetable) -> tuple[Any, Extent]:
    """Return the source, and how much of it may be read: what fits into `reading_share` of the time and
    `most_tokens`, and what could be counted in the time.

    There is no limit of time without a budget, for n-grams alone by name, and for a run that a checkpoint continues,
    which must find the same text again.
    """
    policy = request.policy
    hurried = timetable.limited and request.model != "kneser-ney" and request.plan is None \
        and request.checkpoint is None
    end = policy.reading_share * timetable.deadline
    threads = request.threads or available_threads()
    most = min(policy.most_tokens, policy.read_per_second * threads * timetable.deadline if hurried else inf)
    extent = Extent(lambda: end - timetable.now() if hurried else inf, most_tokens=most,
                    word_seconds=policy.word_seconds)
    if isinstance(source, Items):
        items, paths = iter(source.items), []
        for item in items:
            paths.append(item)
            if not (isinstance(item, PathLike) or (source.paths and isinstance(item, str))):
                break   # texts come one by one, of which there may be no end
        else:
            extent.measure(paths)
        source = Items(chain(paths, items), source.paths)
    return source, extent


def said(extent: Extent) -> str:
    """Return how much of a source was read, in words; an empty string where that is all of it."""
    if extent.whole:
        return ""
    total = "" if extent.total is None else f" of {size(extent.total)}"
    return f"read {size(extent.read)}{total}" + ("" if total else ", not all of the text")


def size(amount: float) -> str:
    """Return a number of bytes in words.

    >>> size(999), size(412_300_000), size(1.04e9)
    ('999 bytes', '412 MB', '1.0 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= unit:
            return f"{amount / unit:.1f} {name}" if amount < 10 * unit else f"{amount / unit:.0f} {name}"
    return f"{amount:.0f} bytes"


def tokens_to_count(model: KneserNey, text: Text, request: Request, timetable: Timetable) -> int:
    """Return how many tokens of a text there is time for n-grams to count: all, or what a share of the time left is
    enough for at the speed at which `counting_sample` tokens are counted.

    The share is `merging_share` where the text is so large that it is counted in segments, else `counting_share`.
    """
    policy, tokens = request.policy, len(text.train.ids)
    if not timetable.limited or request.plan is not None or tokens <= policy.counting_large * policy.counting_sample:
        return tokens
    begun = timetable.now()
    sample: Corpus = at_most(text.train, policy.counting_sample)
    KneserNey(model.vocab_size, model.order, model.boundary).fit(sample, request.threads)
    each = (timetable.now() - begun) / len(sample.ids)
    share, margin = policy.counting_share, policy.counting_margin
    if not counted_at_once(tokens, policy.counting_bytes):
        share, margin = policy.merging_share, policy.merging_margin
    affordable = share * max(0.0, timetable.left()) / (margin * max(each, 1e-12))
    return int(min(tokens, max(affordable, policy.counting_sample)))
