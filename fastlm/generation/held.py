"""A text that may stop within a word: the tokens by which it, or its last part, may go on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastlm import _core
from fastlm.prefix_state import PrefixState
from fastlm.text.tokens import TOKENIZER
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_NEGLIGIBLE = 1e-3   # share of the likeliest way to write a text, below which others are left out


class Names:
    """How each token is written, nothing for those that are no text; and which tokens fit the rest of a text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        special = {vocabulary.unknown, vocabulary.end_of_document}
        written = _written(vocabulary) if vocabulary.unit == TOKENIZER else vocabulary.tokens
        self.all = [b"" if id in special else (name or "").encode("utf-8", "surrogateescape")
                    for id, name in enumerate(written)]

    @cached_property
    def sorted(self) -> tuple[list[bytes], list[int]]:
        """The names in the order of their bytes, and the token of each."""
        order = sorted(range(len(self.all)), key=self.all.__getitem__)
        return [self.all[id] for id in order], order

    def fitting(self, rest: bytes) -> Iterator[int]:
        """Yield the tokens that begin with the rest, or with which it begins."""
        names, order = self.sorted
        for n in range(1, len(rest)):
            at = bisect_left(names, rest[:n])
            if at < len(names) and names[at] == rest[:n]:
                yield order[at]
        first = bisect_left(names, rest)
        while rest and first < len(names) and names[first].startswith(rest):
            yield order[first]
            first += 1


@dataclass(frozen=True)
class Way:
    """A way to write a text by tokens, the last of which may go beyond it: ``nats``, -ln p of its ``ids``; the ``text``
    of these; and the ``state`` before the last of them."""

    nats: float
    ids: tuple[int, ...]
    text: bytes
    state: PrefixState

    def after(self) -> PrefixState:
        """Return the state after all of the tokens."""
        if not self.ids:
            return self.state
        state = self.state.copy()
        state.advance(self.ids[-1])
        return state


def ways(state: PrefixState, names: Names, target: bytes) -> list[Way]:
    """Return the ways to write a text after a state, but for those that are much less likely than another one."""
    begun, done, least = [Way(0.0, (), b"", state)], list[Way](), np.inf
    while begun:
        way = begun.pop()
        if way.text.startswith(target):
            done.append(way)
            continue
        here = way.after()
        log_p = here.log_probabilities()
        for id in names.fitting(target[len(way.text):]):
            more = Way(way.nats - float(log_p[id]), (*way.ids, id), way.text + names.all[id], here)
            if more.nats <= least - np.log(_NEGLIGIBLE):
                whole = more.text.startswith(target)
                (done if whole else begun).append(more)
                least = min(least, more.nats) if whole else least
    return done


class Held:
    """The last segment of a prompt in pieces, which is taken back and drawn anew, since the text may stop within a
    word.

    ``ids``: the prompt without it; ``rest``: its bytes. "Token healing", as it is known for completing code, but by the
    probability of all tokens that write the rest together.
    """

    def __init__(self, vocabulary: Vocabulary, ids: Array) -> None:
        """Take the last segment back from the ids (n,) of a prompt, of which there is at least one."""
        names = [(token or "").encode("utf-8", "surrogateescape") for token in vocabulary.tokens]
        if vocabulary.end_of_document is not None:
            names[vocabulary.end_of_document] = b""
        table = _core.WordTable(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        text = b"".join(names[i] for i in ids.tolist())
        segments = np.empty(len(text) + 1, np.int32)
        _, written = table.learn_segments(text, 0, segments)
        _, ends = table.arrays()
        last = int(segments[written - 1])
        wanted = int(ends[last + 1] - ends[last])
        taken = 0
        while len(ids) and wanted > 0:
            wanted -= len(names[int(ids[-1])])
            ids, taken = ids[:-1], taken + len(names[int(ids[-1])])
        self.ids, self.rest = ids, text[len(text) - taken:]

    def draw(self, state: PrefixState, names: Names, temperature: float, u: float) -> Way:
        """Return one of the ways to write the rest after a state, by u in [0, 1): the likelier ones more often, the
        likeliest one where the temperature is 0."""
        found = ways(state, names, self.rest)
        nats = np.array([way.nats for way in found])
        if temperature == 0:
            return found[int(nats.argmin())]
        share = np.exp((nats.min() - nats) / temperature)
        return found[min(int(np.searchsorted(np.cumsum(share), u * share.sum(), side="right")), len(found) - 1)]


def _written(vocabulary: Vocabulary) -> list[str]:
    """Return how a user's tokenizer writes each of its tokens within a text, after its most frequent one."""
    first = int(np.argmax(vocabulary.counts))
    before = vocabulary.decode([first])
    return [vocabulary.decode([first, id]).removeprefix(before) for id in range(len(vocabulary))]
