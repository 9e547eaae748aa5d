"""Streams of UTF-8 as checked lines, or whole."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastlm.text.scan import PIECE
from fastlm.text.sources.memory import check_memory
from fastlm.text.sources.strings import checked

_BLANKS = b" \t\n\v\f\r"
_PARTS = 16   # of the longest word, a long run of other units without white space is cut into; an assumption


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


def checked_lines(stream: BinaryIO, name: str, unit: str, longest: int) -> Iterator[bytes]:
    """Yield lines with their "\\n", checked a mebibyte at a time, since single lines are too short to be checked fast.

    Raises what `checked_blocks` raises.
    """
    for block in checked_blocks(stream, name, unit, longest):
        yield from io.BytesIO(block)


def checked_blocks(stream: BinaryIO, name: str, unit: str, longest: int) -> Iterator[bytes]:
    """Yield blocks of whole lines of about a mebibyte, checked; the last line may have no "\\n".

    Raises ValueError for a line of more than `longest` bytes, and what `checked` raises.
    """
    offset, parts, size = 0, list[bytes](), 0
    while block := stream.read(PIECE):
        end = block.rfind(b"\n") + 1
        if end:
            text = checked(b"".join([*parts, block[:end]]), name, offset, unit)
            yield text
            offset, parts, size = offset + len(text), [], 0
        parts.append(block[end:])
        size += len(block) - end
        if size > longest:
            raise ValueError(f"{name}: the line at offset {offset} has more than {longest:,} bytes; shorter lines "
                             'were expected, and documents="file" reads the text whole')
    if size:
        yield checked(b"".join(parts), name, offset, unit)


def checked_parts(stream: BinaryIO, name: str, unit: str, longest: int) -> Iterator[tuple[bytes, bool]]:
    """Yield (part, whether it is the last) of a text of any length, parts of about a mebibyte, checked.

    A part ends before whitespace that follows a word, where every unit begins a new token. Where there is none in a
    sixteenth of `longest` bytes, characters, bytes and pieces are cut between any two characters. Raises ValueError for
    a word of more than `longest` bytes, and what `checked` raises.
    """
    offset, held = 0, b""
    while block := stream.read(max(PIECE, len(held))):
        held += block
        end = _before_blank(held)
        if not end and unit != "word" and len(held) > longest // _PARTS:
            end = _between_characters(held)
        if end:
            text = checked(held[:end], name, offset, unit)
            yield text, False
            offset, held = offset + end, held[end:]
        elif len(held) > longest:
            raise ValueError(f"{name}: the word at offset {offset} has more than {longest:,} bytes; shorter words "
                             'were expected, or unit="char"')
    yield checked(held, name, offset, unit), True


def _before_blank(text: bytes) -> int:
    """Return the last place before whitespace that follows a word, 0 where there is none."""
    end = max(text.rfind(b" "), text.rfind(b"\n"))
    if end <= 0:
        return 0
    return len(text[:end].rstrip(_BLANKS))


def _between_characters(text: bytes) -> int:
    end = len(text)
    while end > len(text) - 4 and text[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1


def lines_of(stream: BinaryIO, name: str, longest: int) -> Iterator[bytes]:
    """Yield lines with their "\\n" as soon as they are there, still to be checked.

    Raises ValueError for a line of more than `longest` bytes.
    """
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise ValueError(f"{name}, line {number} has more than {longest:,} bytes; shorter lines were expected")
        yield line


def whole(stream: BinaryIO, name: str, unit: str, memory: int) -> bytes:
    """Return all of a stream, checked. Raises ValueError where it has more than `memory` bytes, and what `checked`
    raises."""
    text = up_to(memory, stream)
    check_memory(len(text), memory, name, "text", 'less, or documents="line",')
    return checked(text, name, 0, unit)


def up_to(size: int, stream: BinaryIO) -> bytes:
    """Return all of a stream, or more than so many bytes of it where it has more."""
    out = io.BytesIO()
    while out.tell() <= size and (block := stream.read(PIECE)):
        out.write(block)
    return out.getvalue()
