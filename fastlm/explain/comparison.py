"""Where two models differ: the words of a text, coloured by which of them expected each more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from fastlm.explain.colours import in_terminal
from fastlm.explain.page import escaped, fragment, page, table, write
from fastlm.scoring.tokens import TokenScores, WordScore

_MOST = 12           # words in the table of the largest differences
_FULL = 6.0          # bits of difference that have the strongest colour; an assumption
_FIRST, _SECOND = (31, 119, 180), (230, 126, 34)     # blue and orange, which every kind of colour vision tells apart
_FAINT = 0.5         # bits, below which a word has no colour


@dataclass(frozen=True)
class WordDifference:
    """A word of both: ``text``, where it ``start``s and ``end``s, and its surprisal in ``bits`` by each model."""

    start: int
    end: int
    text: str
    bits: tuple[float, float]

    @property
    def difference(self) -> float:
        """Bits of the second less those of the first: above 0 the first model expected the word more."""
        return self.bits[1] - self.bits[0]


class Comparison:
    """The words of a text by two models. ``words``: the `WordDifference` of each; ``names``: of the models."""

    def __init__(self, first: TokenScores, second: TokenScores, names: tuple[str, str]) -> None:
        if first.text != second.text:
            raise ValueError("the two models read the text in different normalisation forms; equal ones were expected")
        self.text, self.names = first.text, names
        self.words = [_difference(a, b) for a, b in zip(first.words(), second.words(), strict=True)]

    @property
    def bits(self) -> tuple[float, float]:
        """The surprisals of all words together, by each model."""
        return sum(word.bits[0] for word in self.words), sum(word.bits[1] for word in self.words)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return {name: values of all words}."""
        return {"start": [word.start for word in self.words], "end": [word.end for word in self.words],
                "text": [word.text for word in self.words], "bits_first": [word.bits[0] for word in self.words],
                "bits_second": [word.bits[1] for word in self.words],
                "difference": [word.difference for word in self.words]}

    def __str__(self) -> str:
        if in_terminal():
            return self._with(_painted)
        return "\n".join(f"{word.difference:+9.3f} bits  {word.text!r}" for word in self.words)

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.words):,} words, {self.bits[0]:,.1f} and {self.bits[1]:,.1f} bits>"

    def _repr_html_(self) -> str:
        return fragment(self._body())

    def to_html(self, path: str | os.PathLike[str] | None = None, title: str = "Where two models differ") -> str:
        """Return a page that needs nothing else, and write it to a file where a path is given; an older file of that
        name is replaced. Raises OSError where it cannot be written."""
        found = page(title, f"<h1>{escaped(title)}</h1>{self._body()}")
        if path is not None:
            write(path, found)
        return found

    def _with(self, mark: Any) -> str:
        """Return the text, with every word as `mark` gives it."""
        parts, at = [], 0
        for word in self.words:
            parts += [self._between(at, word.start, mark), mark(word)]
            at = word.end
        return "".join([*parts, self._between(at, len(self.text), mark)])

    def _between(self, first: int, last: int, mark: Any) -> str:
        return escaped(self.text[first:last]) if mark is not _painted else self.text[first:last]

    def _body(self) -> str:
        first, second = map(escaped, self.names)
        most = sorted(self.words, key=lambda word: -abs(word.difference))[:_MOST]
        rows = [(word.text, f"{word.bits[0]:.2f}", f"{word.bits[1]:.2f}", f"{word.difference:+.2f}") for word in most]
        return (f'<p class="note">{self.bits[0]:,.1f} bits by {first}, {self.bits[1]:,.1f} by {second}. '
                f"{_key(_FIRST, f'{first} expected it more')} {_key(_SECOND, f'{second} expected it more')}</p>"
                f'<div class="text">{self._with(_span)}</div><h2>The largest differences</h2>'
                + table(rows, ("word", f"bits, {self.names[0]}", f"bits, {self.names[1]}", "difference")))


def _difference(a: WordScore, b: WordScore) -> WordDifference:
    return WordDifference(a.start, a.end, a.text, (a.bits, b.bits))


def _colour(word: WordDifference) -> tuple[tuple[int, int, int], float]:
    """Return the colour of a word, and how strong it is, 0 to 0.6."""
    return (_FIRST if word.difference > 0 else _SECOND), 0.6 * min(1.0, abs(word.difference) / _FULL)


def _key(colour: tuple[int, int, int], text: str) -> str:
    return (f'<span style="background:rgba{(*colour, 0.45)};color:var(--ink);padding:.1em .45em;border-radius:3px">'
            f"{text}</span>")


def _span(word: WordDifference) -> str:
    colour, strength = _colour(word)
    if abs(word.difference) < _FAINT:
        strength = 0.0
    tip = f"{word.bits[0]:.2f} and {word.bits[1]:.2f} bits"
    return (f'<span class="t" tabindex="0" style="background:rgba{(*colour, round(strength, 3))}">{escaped(word.text)}'
            f'<span class="tip" role="tooltip">{escaped(tip)}</span></span>')


def _painted(word: WordDifference) -> str:
    if abs(word.difference) < _FAINT:
        return word.text
    return f"\x1b[48;5;{153 if word.difference > 0 else 215}m\x1b[38;5;16m{word.text}\x1b[0m"
