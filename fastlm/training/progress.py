"""What is said on standard error: a progress line, rewritten in place on a terminal, and sentences."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from typing import Any, TextIO

_EVERY = 10.0   # seconds between plain lines


class ProgressLine:
    """Prints the figures of a run to a stream, as ``Trainer.fit``'s `progress`. ``close()`` ends the line.

    stream: a text stream, or None for none. One that fails (its reader is gone, its disk is full, it is closed) is not
    written to again, and nothing is raised: a training is worth more than its progress line.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.terminal = False
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
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
            self._write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._write(text + "\n")

    def say(self, sentence: str) -> None:
        """Print a line of its own."""
        self._write(sentence + "\n")

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.terminal and self._width:
            self._write("\n")
            self._width = 0

    def _write(self, text: str) -> None:
        if self.stream is None:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self.stream = None


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


def tell(sentence: str) -> None:
    """Print a line to standard error, if there is one that takes it: what is done does not depend on it."""
    ProgressLine(sys.stderr).say(sentence)


def open_missing_streams() -> None:
    """Give the numbers of standard streams that are closed to the null device, so that no file of ours gets them: what
    is printed to them by any library would end up in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)   # takes the lowest number that is free


def flush_errors() -> None:
    """Drop what standard error cannot take, which would make the exit code 120 when Python ends."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
