"""The likeliest next words, and continuations of several words, whatever the unit of the model is."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

import numpy as np

from fastlm.generation.held import Names, ways
from fastlm.prefix_state import PrefixState
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_BESIDE_LETTERS = "'\u2019-_"   # characters of words beside letters and digits; an assumption
_WIDTH = 12          # continuations of the beginning of a word that are looked at, for each word wanted at least
_EXPANSIONS = 24     # beginnings of words that are gone on with, for each word wanted, at most; an assumption
_LONGEST = 64        # bytes of a word; an assumption


@dataclass(order=True)
class _Beginning:
    """A word, or the beginning of one: -ln p of it after the context, its bytes, whether it has ended, and the state
    after it, None where the last token ``id`` is still to be read."""

    nats: float
    number: int                                                  # decides between equal ones
    text: bytes = field(compare=False)
    ended: bool = field(compare=False, default=False)
    state: PrefixState | None = field(compare=False, default=None)
    id: int | None = field(compare=False, default=None)


class WordSearch:
    """Finds the words that are likeliest to come next.

    A word of characters, bytes or pieces is a run of letters, digits, apostrophes and hyphens; of words it is what
    stands between blanks, as the vocabulary has it.

    >>> search = WordSearch(lm.vocabulary, Names(lm.vocabulary))                     # doctest: +SKIP
    >>> search.next_words(state, "th", 3)                      # doctest: +SKIP
    [('the', 0.7), ('this', 0.1), ('that', 0.1)]
    """

    def __init__(self, vocabulary: Vocabulary, names: Names) -> None:
        self.vocabulary, self._names = vocabulary, names

    @cached_property
    def _heads(self) -> list[bytes]:
        """The bytes at the beginning of each token that may belong to a word which has begun."""
        return [_head(name) for name in self._names.all]

    @cached_property
    def _ends(self) -> Array:
        """Which tokens (V,) bool cannot go on with a word."""
        return np.array([not head for head in self._heads])

    def next_words(self, state: PrefixState, typed: str, k: int, gap: bool = False) -> list[tuple[str, float]]:
        """Return the k likeliest words that begin with what was typed, and p of each given that.

        state: after the context, which is not changed; gap: whether a blank is still to come before the word.
        """
        found = self.words(state, typed, k, gap)
        return [(text, p) for text, p, _ in found]

    def words(self, state: PrefixState, typed: str, k: int, gap: bool = False) -> list[tuple[str, float, PrefixState]]:
        """Return what `next_words` does, and the state after each word."""
        if self.vocabulary.unit == "word":
            return self._of_words(state, typed, k)
        found: dict[bytes, tuple[float, PrefixState]] = {}
        for word in self._ended(self._begun(state, typed, gap), k):
            assert word.state is not None
            nats, after = found.get(word.text) or (np.inf, word.state if word.id is None
                                                   else _after(word.state, word.id))
            found[word.text] = float(-np.logaddexp(-nats, -word.nats)), after
            if len(found) == k:
                break
        named = [(_text(text), float(np.exp(-nats)), after) for text, (nats, after) in found.items()]
        return sorted(((text, p, after) for text, p, after in named if text), key=lambda word: -word[1])

    def _of_words(self, state: PrefixState, typed: str, k: int) -> list[tuple[str, float, PrefixState]]:
        log_p = state.log_probabilities()
        begin = typed.encode("utf-8", "surrogateescape")
        names, order = self._names.sorted
        first = bisect_left(names, begin)
        last = bisect_left(names, begin + b"\xff" * 8) if begin else len(names)
        fit = np.array([id for id, name in zip(order[first:last], names[first:last], strict=True)
                        if name and name != b"\n"], np.int64)
        if not len(fit):
            return []
        best = fit[np.argsort(-log_p[fit], kind="stable")[:k]]
        total = np.exp(log_p[fit].astype(np.float64)).sum()
        return [(self.vocabulary.token(id), float(np.exp(float(log_p[id])) / total), _after(state, id))
                for id in best.tolist()]

    def _begun(self, state: PrefixState, typed: str, gap: bool) -> list[_Beginning]:
        """Return the ways to write what was typed, which together have the probability 1."""
        blank = b" " if gap else b""
        found = ways(state, self._names, blank + typed.encode("utf-8", "surrogateescape"))
        return self._whole([_Beginning(way.nats, number, way.text, False, way.state, way.ids[-1] if way.ids else None)
                            for number, way in enumerate(found)], len(blank))

    def _whole(self, ways: list[_Beginning], blank: int) -> list[_Beginning]:
        """Return ways whose probabilities sum to one, without the blank before the word; those that go on beyond a word
        have ended."""
        if not ways:
            return []
        total = -np.logaddexp.reduce([-way.nats for way in ways])
        for way in ways:
            way.nats -= float(total)
            text = way.text[blank:]
            head = _head(text)
            way.ended, way.text = len(head) < len(text), head
        return ways

    def _ended(self, ways: list[_Beginning], k: int) -> Iterator[_Beginning]:
        """Yield words that begin in one of some ways, the likeliest first."""
        heap, numbers = list(ways), count(1 << 30)
        heapq.heapify(heap)
        left = _EXPANSIONS * k
        while heap:
            best = heapq.heappop(heap)
            if best.ended:
                if best.text:
                    yield best
                continue
            if not left or len(best.text) > _LONGEST:
                continue
            left -= 1
            assert best.state is not None
            state = best.state if best.id is None else _after(best.state, best.id)
            log_p = state.log_probabilities()
            ends = float(np.logaddexp.reduce(log_p[self._ends].astype(np.float64)))
            if best.text and ends > -np.inf:
                heapq.heappush(heap, _Beginning(best.nats - ends, next(numbers), best.text, True, state))
            log_p[self._ends] = -np.inf
            some = min(len(log_p), _WIDTH + k)
            for id in np.argpartition(-log_p, some - 1)[:some].tolist():
                if log_p[id] > -np.inf:
                    name, head = self._names.all[id], self._heads[id]
                    heapq.heappush(heap, _Beginning(best.nats - float(log_p[id]), next(numbers), best.text + head,
                                                    len(head) < len(name), state, id))


def continuations(search: WordSearch, state: PrefixState, typed: str, gap: bool, n: int,
                  words: int) -> list[tuple[str, float]]:
    """Return the n likeliest continuations of so many words, by a beam search, and p of each; what was typed belongs to
    the first word, of which only the rest is returned."""
    beam = [(p, text[len(typed):], after) for text, p, after in search.words(state, typed, 2 * n, gap)]
    for _ in range(words - 1):
        longer = [(p * q, f"{text} {word}", after) for p, text, before in beam[: 2 * n]
                  for word, q, after in search.words(before, "", n, search.vocabulary.unit != "word")]
        if not longer:
            break
        beam = sorted(longer, key=lambda way: -way[0])
    return [(text, p) for p, text, _ in beam[:n]]


def _after(state: PrefixState, id: int) -> PrefixState:
    after = state.copy()
    after.advance(id)
    return after


def _head(name: bytes) -> bytes:
    """Return the bytes at the beginning of a token that may belong to a word; of a part of a character all."""
    text = name.decode("utf-8", "surrogateescape")
    for n, character in enumerate(text):
        if not (character.isalnum() or character in _BESIDE_LETTERS or "\udc80" <= character <= "\udcff"
                or "\u0300" <= character <= "\u036f"):
            return text[:n].encode("utf-8", "surrogateescape")
    return name


def _text(word: bytes) -> str:
    """Return a word as text, nothing where it ends within a character."""
    try:
        return word.decode()
    except UnicodeDecodeError:
        return ""
