"""Minimal pairs: how often a model finds the good sentence likelier than the bad one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fastlm
from fastlm.text.sources.json_lines import parsed
from fastlm.text.sources.lines import read_lines

GOOD, BAD = "sentence_good", "sentence_bad"
_GROUPS = ("UID", "linguistics_term", "field")    # by which the figures are shown, the first that there is


def pairs_of(source: Any, reading: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the good sentence, the bad one and the group of each line of JSON in BLiMP's format (Warstadt et al. 2020).

    Raises ValueError for a line that is none.
    """
    for line in read_lines(source, "word", reading=reading.but(format="text", text_key=None, normalize=None)):
        if line.text is None:
            raise ValueError(line.fault)
        value = parsed(line.text, line.name)
        if not isinstance(value, dict) or not all(isinstance(value.get(key), str) and value[key]
                                                  for key in (GOOD, BAD)):
            raise ValueError(f"{line.name} has not both {GOOD!r} and {BAD!r}; a minimal pair was expected")
        yield value[GOOD], value[BAD], next((str(value[key]) for key in _GROUPS if key in value), "")


def judged(lm: fastlm.LanguageModel, pairs: list[tuple[str, str, str]],
           threads: int | None) -> dict[str, dict[str, Any]]:
    """Return for each group, and for "all", how many ``pairs`` there are, how many are ``right`` and how many are
    ``ties``, and the ``accuracy``, in which a tie counts half.

    A sentence is judged by its `total_nats`: unknown words pay for their spelling.
    """
    nats = lm.score_batch([text for good, bad, _ in pairs for text in (good, bad)], threads).total_nats.tolist()
    groups: dict[str, dict[str, Any]] = {}
    for (_, _, group), good, bad in zip(pairs, nats[::2], nats[1::2], strict=True):
        for name in {group or "all", "all"}:
            counts = groups.setdefault(name, {"pairs": 0, "right": 0, "ties": 0})
            counts["pairs"] += 1
            counts["right"] += good < bad
            counts["ties"] += good == bad
    for counts in groups.values():
        counts["accuracy"] = (counts["right"] + counts["ties"] / 2) / counts["pairs"]
    return dict(sorted(groups.items(), key=lambda item: (item[0] == "all", item[0])))


def table(found: dict[str, dict[str, Any]], as_json: bool) -> str:
    """Return the figures as text, or as one object of JSON."""
    if as_json:
        return json.dumps(found)
    width = max(map(len, found), default=0)
    return "\n".join(f"{name:{width}}  accuracy {counts['accuracy']:.4f}  of {counts['pairs']} pairs, "
                     f"{counts['ties']} of them ties" for name, counts in found.items())
