"""Messages on standard error: a progress line, which is rewritten in place on a terminal, and sentences."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from typing import Any, TextIO

_EVERY = 10.0   # seconds between two lines where the stream is no terminal


class ProgressLine:
    """A function for the argument `progress` of ``Trainer.fit``, which prints the figures of a run to a stream.

    stream: a text stream, or None to print nothing. Where writing fails (the reader is gone, the disk is full, the
    stream is closed), the stream is not written to again and nothing is raised, so that no training is lost for its
    progress line. ``close()`` ends the line.
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
        """Print a sentence as a line."""
        self._write(sentence + "\n")

    def close(self) -> None:
        """Move the cursor to a new line, unless it is at the beginning of one."""
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
    """Return the figures of a run as one line.

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
    """Print a sentence to standard error. Where that fails, nothing is raised."""
    ProgressLine(sys.stderr).say(sentence)


def open_missing_streams() -> None:
    """Open the null device in place of every standard stream that is closed.

    The next file to be opened would get the number of the closed stream otherwise, and what any library prints to that
    stream would be written into the file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)   # takes the lowest number that is free


def flush_errors() -> None:
    """Flush standard error; where that fails, send the rest to the null device.

    Python would fail to write that rest when it ends, and would change the exit code to 120.
    """
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
