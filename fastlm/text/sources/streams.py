"""Streams of UTF-8 as checked lines, or whole."""

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastlm.text.scan import PIECE
from fastlm.text.sources.strings import checked

LONGEST_LINE = 1 << 28   # bytes; a line this long comes of a bomb or of a file that has no lines


class _Followed(io.RawIOBase):
    """Some bytes, and then a stream."""

    def __init__(self, first: bytes, file: Any) -> None:
        self._first, self._file = memoryview(first), file

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        part = self._first[: len(buffer)] if self._first else memoryview(self._file.read1(len(buffer)))
        self._first = self._first[len(part):]
        buffer[: len(part)] = part
        return len(part)


def followed_by(first: bytes, file: Any) -> BinaryIO:
    """Return a stream of some bytes and what is left of a stream."""
    return io.BufferedReader(_Followed(first, file))


def checked_lines(stream: BinaryIO, name: str, unit: str) -> Iterator[bytes]:
    """Yield lines with their "\\n", checked a mebibyte at a time, since single lines are too short to be checked fast.

    Raises ValueError for a line of more than `LONGEST_LINE` bytes, and what `checked` raises.
    """
    offset, parts, size = 0, list[bytes](), 0
    while block := stream.read(PIECE):
        end = block.rfind(b"\n") + 1
        if end:
            text = checked(b"".join([*parts, block[:end]]), name, offset, unit)
            yield from io.BytesIO(text)
            offset, parts, size = offset + len(text), [], 0
        parts.append(block[end:])
        size += len(block) - end
        if size > LONGEST_LINE:
            raise ValueError(f"{name}: the line at offset {offset} has more than {LONGEST_LINE:,} bytes; shorter lines "
                             'were expected, and documents="file" reads the text whole')
    if size:
        yield checked(b"".join(parts), name, offset, unit)


def whole(stream: BinaryIO, name: str, unit: str, packed: bool) -> bytes:
    """Return all of a stream, checked. packed: whether it comes out of a compressed file, which may hold more than this
    machine can: half of its memory is the limit then."""
    if not packed:
        return checked(stream.read(), name, 0, unit)
    out, limit = io.BytesIO(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    while block := stream.read(PIECE):
        if out.tell() > limit:
            raise ValueError(f"{name} holds more than {limit:,} bytes, half of this machine's memory; less was "
                             'expected, or documents="line"')
        out.write(block)
    return checked(out.getvalue(), name, 0, unit)
