"""Surprisal as colour: eight steps from light to dark, which differ in lightness, so that everybody can tell them."""

from __future__ import annotations

import os
import sys

EDGES = (1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 15.0)     # bits, between the steps; an assumption
# Of the palette "cividis" (Nuñez, Anderton & Renslow 2018), which looks the same with any kind of colour vision.
LIGHT = ("#ffffff", "#fdf3c0", "#f2dd7e", "#d9bf55", "#b09a63", "#736c66", "#525a71", "#1b3a6b")
DARK = ("#16181d", "#10294f", "#2f4066", "#555b6c", "#828078", "#a59c74", "#d1bf5f", "#fee838")
_TERMINAL = (None, 230, 222, 179, 137, 243, 60, 18)    # the same of the 256 colours of terminals
_WHITE_FROM = 5                                        # the step from which letters are white on them


def step_of(bits: float) -> int:
    """Return the step 0 to 7 of a surprisal.

    >>> [step_of(bits) for bits in (0.0, 1.0, 9.5, 40.0)]
    [0, 1, 5, 7]
    """
    return sum(bits >= edge for edge in EDGES)


def painted(text: str, bits: float) -> str:
    """Return a text with the codes that colour it in a terminal."""
    step = step_of(bits)
    colour = _TERMINAL[step]
    if colour is None:
        return text
    letters = 231 if step >= _WHITE_FROM else 16
    return f"\x1b[48;5;{colour}m\x1b[38;5;{letters}m{text}\x1b[0m"


def in_terminal() -> bool:
    """Return whether standard output shows colours: it is a terminal, and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):
        return False
