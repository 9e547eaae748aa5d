"""How much of a source is read: as much as there is time and memory for, from all over it where its size is known."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from fastlm.text.sources.paths import files

PARTS = 256           # parts, evenly spaced, that are read of a source that is too large
SAMPLE = 1 << 22      # bytes after which it is decided how much there is time for
SMALL_FILE = 1 << 18  # bytes: a file of no more is read whole or not at all
_LONGEST_REST = 1 << 16   # bytes of a line that are read beyond the end of a part
_CAUTION = 0.8        # share of what the time would allow at the speed so far, since vocabularies grow


class Extent:
    """How much of a source is read, for its readers to ask, and how much was.

    left: returns the seconds that are left for reading, infinite for no limit. most: bytes at most; most_tokens: tokens
    at most, about, where the reader tells how many there are; word_seconds: seconds of the time that each different one
    takes after reading; sample, parts, small_file: as the constants above say. ``read``: the bytes read so far;
    ``total``: those of the source, None where that is not known; ``whole``: whether nothing was left out.

    >>> extent = Extent(most=10)
    >>> extent.takes(8), extent.takes(8), extent.takes(8), extent.read, extent.whole
    (True, True, False, 16, False)
    """

    def __init__(self, left: Callable[[], float] = lambda: float("inf"), most: float = float("inf"),
                 most_tokens: float = float("inf"), word_seconds: float = 0.0, sample: int = SAMPLE,
                 parts: int = PARTS, small_file: int = SMALL_FILE) -> None:
        self._time, self.most, self.most_tokens, self._word_seconds = left, most, most_tokens, word_seconds
        self._sample, self._parts, self._small_file = sample, parts, small_file
        self._different = 0
        self._begun: float | None = None
        self._some = False                      # whether a part has been taken
        self.read, self.whole = 0, True
        self.total: int | None = None
        self._passed = 0                        # bytes of the files before the one that is read
        self._end_of_stride = self._end_of_part = 0   # of each stride only its beginning is a part that is read

    def measure(self, paths: Iterable[Any]) -> None:
        """Find the size of the files of paths that can be known without reading them."""
        self.total = sum(os.path.getsize(name) for path in paths for name in files(path))

    def takes(self, size: int) -> bool:
        """Return whether the next part, of so many bytes of text, is read, and count it, unless the bytes of the files
        are counted."""
        if self._begun is None:
            self._begun = self._left()
        if self._some and (self.read >= self.most or self._left() <= 0):
            self.whole = False
            return False
        self._some = True
        if self.total is None:
            self.read += size
        return True

    def _left(self) -> float:
        return self._time() - self._word_seconds * self._different

    def made(self, tokens: int, different: int = 0) -> None:
        """Note that what was read so far has made so many tokens, so many of them different: there may be no more than
        `most_tokens`, and each different one takes time later."""
        self._different = different
        if tokens:
            self.most = self.most_tokens * self.read / tokens

    def end(self) -> None:
        """Let nothing more be read: memory holds no more.

        >>> extent = Extent()
        >>> extent.takes(8), extent.end(), extent.takes(8), extent.whole
        (True, None, False, False)
        """
        self.most = self.most_tokens = 0

    def count(self, size: int) -> None:
        """Count so many bytes of a file that are read."""
        if self.total is not None:
            self.read += size

    def opened(self, file: BinaryIO, size: int) -> BinaryIO | None:
        """Return a stream of the parts of a file that are read, None where it is nothing. The file is plain text of
        lines, of so many bytes."""
        begin, self._passed = self._passed, self._passed + size
        if self.total is None:
            return file
        if size > self._small_file:
            return io.BufferedReader(_Spaced(file, self, begin, size))
        if self.end_of_part(begin) <= begin and size:
            self.whole = False
            return None
        self.count(size)
        return file

    def end_of_part(self, place: int) -> int:
        """Return where the part ends that the byte at a place is in; the place itself where it is in none."""
        if self.total is None or (self._left() == float("inf") and self.most >= self.total):
            return sys.maxsize
        if place >= self._end_of_stride:
            if self.read < self._sample:
                return place + self._sample - self.read
            stride = max(1, self.total // self._parts)
            self._end_of_stride = (place // stride + 1) * stride
            length = int(stride * self._share(place))
            self._end_of_part = self._end_of_stride - stride + length
        return max(place, self._end_of_part)

    def next_part(self, place: int) -> int:
        """Return where the part after the one of a place begins."""
        return max(place + 1, self._end_of_stride)

    def _share(self, place: int) -> float:
        """Return how large a share of what is left of the source can be read, at the speed so far."""
        assert self.total is not None
        left = self._left()
        affordable = self.most - self.read
        if left < float("inf"):
            affordable = min(affordable, _CAUTION * left * self.read / max(1e-9, (self._begun or left) - left))
        return min(1.0, max(0.0, affordable) / max(1, self.total - place))


class _Spaced(io.RawIOBase):
    """The lines of a file that are in parts of its extent, one part after another."""

    def __init__(self, file: BinaryIO, extent: Extent, begin: int, size: int) -> None:
        self._file, self._extent, self._begin, self._size = file, extent, begin, size
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        if not self._ready:
            self._ready = memoryview(self._next(len(buffer)))
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part):]
        return len(part)

    def _next(self, size: int) -> bytes:
        """Return the next bytes that are read, up to the end of a line where a part ends."""
        at = self._begin + self._file.tell()
        end = self._extent.end_of_part(at)
        if end <= at:
            self._extent.whole = False
            begin = self._extent.next_part(at) - self._begin
            if begin >= self._size:
                return b""
            self._file.seek(begin)
            self._rest_of_line()
            return self._next(size)
        text = self._file.read(min(size, end - at))
        if text and len(text) == end - at:
            text += self._rest_of_line()
        self._extent.count(len(text))
        return text

    def _rest_of_line(self) -> bytes:
        """Read up to the end of the line, or of a character where the line is long."""
        line = self._file.readline(_LONGEST_REST)
        while len(line) >= _LONGEST_REST and (byte := self._file.read(1)):
            if byte[0] & 0xC0 != 0x80:
                self._file.seek(-1, os.SEEK_CUR)
                break
            line += byte
        return line
