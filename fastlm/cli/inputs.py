"""What the sub-commands read: files by name, and standard input."""

from __future__ import annotations

import argparse
import io
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastlm.text.sources.documents import read_documents
from fastlm.text.sources.paths import expanded
from fastlm.text.sources.reading import Reading
from fastlm.training.progress import tell


class StandardInput(io.RawIOBase):
    """Standard input, which calls a function before it waits for what is not there yet."""

    name = "standard input"

    def __init__(self, before_waiting: Callable[[], None]) -> None:
        self._file: Any = sys.stdin.buffer
        self._before_waiting = before_waiting

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        if not self._is_ready():
            self._before_waiting()
        part = self._file.read1(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _is_ready(self) -> bool:
        try:
            return bool(select.select([self._file], [], [], 0)[0])
        except (OSError, ValueError):   # no file of the system
            return True


def names_of(arguments: list[str]) -> list[str]:
    """Return the names of the files that arguments name; patterns that the shell has not expanded are."""
    return [name for given in arguments
            for name in ([given] if given == "-" or os.path.exists(given) else expanded(given) or [given])]


def source_of(names: list[str]) -> list[Any]:
    """Return the source that names stand for: paths, and standard input for "-"."""
    return [sys.stdin.buffer if name == "-" else Path(name) for name in names]


def reading_of(options: argparse.Namespace) -> Reading:
    """Return the choices of reading that were given; what is guessed is said on standard error."""
    return Reading(options.text_key, options.format, options.encoding, options.errors,
                   say=lambda sentence: tell(f"fastlm: {sentence}"))


def text_argument(text: str, unit: str, options: argparse.Namespace) -> str:
    """Return a text that was given, or standard input for "-", without the end of its last line."""
    if text != "-":
        return text
    reading = reading_of(options).but(normalize=None)
    parts = [part for _, part in read_documents(sys.stdin.buffer, "file", unit, reading=reading)]
    return b"\n".join(parts).decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
