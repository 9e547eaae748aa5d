"""The progress line: rewritten in place on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
from typing import Any, TextIO

_EVERY = 10.0   # seconds between plain lines


class ProgressLine:
    """Prints the figures of a run to a stream, as ``Trainer.fit``'s `progress`. ``close()`` ends the line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self._printed = -math.inf
        self._width = 0

    def __call__(self, figures: dict[str, Any]) -> None:
        seconds = figures["seconds"]
        if not self.terminal and seconds - self._printed < _EVERY and figures["progress"] < 1:
            return
        self._printed = seconds
        text = describe(figures)
        if self.terminal:
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def say(self, sentence: str) -> None:
        """A line of its own."""
        self.stream.write(sentence + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Leaves the cursor on a fresh line."""
        if self.terminal and self._width:
            self.stream.write("\n")
            self.stream.flush()
            self._width = 0


def describe(figures: dict[str, Any]) -> str:
    """One line of figures.

    >>> describe({"progress": 0.5, "tokens_per_second": 51234.0, "loss": 1.9, "valid": None, "seconds_left": 31.2})
    ' 50%  51,234 tokens/s  loss 1.900  held-out perplexity -  31 s left'
    """
    valid = figures["valid"]
    held_out = "-" if valid is None else f"{math.exp(min(valid, 700.0)):.2f}"
    left = figures["seconds_left"]
    return (f"{100 * figures['progress']:3.0f}%  {figures['tokens_per_second']:,.0f} tokens/s  "
            f"loss {figures['loss']:.3f}  held-out perplexity {held_out}  "
            f"{'?' if left is None else format(max(0.0, left), '.0f')} s left")
