"""A text whose tokens are coloured by their surprisal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from fastlm.explain.colours import in_terminal, painted, step_of
from fastlm.explain.page import escaped, fragment, legend, page, write
from fastlm.scoring.score import LN2
from fastlm.scoring.tokens import TokenScore, TokenScores


class Explanation:
    """What a model thinks of a text, token by token.

    ``tokens``: the `TokenScores`, each with its likeliest alternatives. ``print`` shows it in colours, a notebook and
    `to_html` with what stands behind each token; `to_dict` gives it as data.
    """

    def __init__(self, tokens: TokenScores) -> None:
        self.tokens = tokens

    def __str__(self) -> str:
        if not in_terminal():
            return str(self.tokens)
        return "".join(between + painted(shown(token), token.bits) + ("\n" if "\n" in token.text else "")
                       for between, token in self._parts())

    def __repr__(self) -> str:
        return f"<Explanation of {len(self.tokens):,} tokens, {self.bits:,.1f} bits>"

    @property
    def bits(self) -> float:
        """The surprisals of all tokens together."""
        return sum(token.nats for token in self.tokens) / LN2

    def _parts(self) -> Iterator[tuple[str, TokenScore]]:
        """Yield the tokens that are written, each with what stands before it and is no token."""
        at = 0
        for token in self.tokens:
            if token.text:
                yield self.tokens.text[at:token.start], token
                at = token.end

    def to_dict(self) -> dict[str, list[Any]]:
        """Return {name: values of all tokens}."""
        return self.tokens.to_dict()

    def _repr_html_(self) -> str:
        return fragment(self._body())

    def to_html(self, path: str | os.PathLike[str] | None = None, title: str = "What the model expected") -> str:
        """Return a page that needs nothing else, and write it to a file where a path is given; an older file of that
        name is replaced. Raises OSError where it cannot be written."""
        found = page(title, f"<h1>{escaped(title)}</h1>{self._body()}")
        if path is not None:
            write(path, found)
        return found

    def _body(self) -> str:
        count = sum(1 for token in self.tokens if token.text)
        note = (f'<p class="note">{len(self.tokens):,} tokens, {self.bits:,.1f} bits, '
                f"{self.bits / max(1, count):.2f} a token. The darker a token, the less it was expected; point at it, "
                "or move to it with the tab key, to see what was.</p>")
        spans = "".join(escaped(between) + _span(token) for between, token in self._parts())
        return f'{note}{legend()}<div class="text">{spans}</div>'


def shown(token: TokenScore) -> str:
    """Return a token as it is shown: ends of lines as a sign."""
    return token.text.replace("\r", "").replace("\n", "\u21b5")


def _span(token: TokenScore) -> str:
    tip = [f"{token.bits:.2f} bits, p = {_percent(token.probability)}", f"rank {token.rank:,}, entropy "
           f"{token.entropy / LN2:.1f} bits" + (f", {token.order}-gram" if token.order else "")]
    if token.unknown:
        tip.append(f"unknown, spelt for {token.spelling_nats / LN2:.1f} bits")
    tip += [f"{_percent(p):>7}  {quoted(text)}" for text, p in token.alternatives]
    ends = "\n" if token.text.endswith("\n") else ""
    return (f'<span class="t s{step_of(token.bits)}" tabindex="0">{escaped(shown(token))}'
            f'<span class="tip" role="tooltip">{escaped(chr(10).join(tip))}</span></span>{ends}')


def quoted(text: str) -> str:
    """Return a token so that blanks in it can be seen."""
    return text.replace("\n", "\u21b5").replace(" ", "\u2423").replace("\t", "\u21e5")


def _percent(p: float) -> str:
    return f"{100 * p:.1f} %" if p >= 1e-3 else f"{100 * p:.1g} %"
