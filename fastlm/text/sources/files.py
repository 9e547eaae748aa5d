"""One file of any kind: a stream of text, or a table; an archive is several."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fastlm.text.sources import archive
from fastlm.text.sources.columns import Table
from fastlm.text.sources.compressed import buffered, naming_damage, refuse_others, uncompressed
from fastlm.text.sources.encodings import in_utf8
from fastlm.text.sources.extent import Extent
from fastlm.text.sources.formats import format_of
from fastlm.text.sources.memory import JSON_GROWS, check_memory
from fastlm.text.sources.reading import Reading
from fastlm.text.sources.streams import followed_by, lines_of, up_to
from fastlm.text.tokens import RAW_UNITS

_HEAD = 1 << 16     # bytes of a file by which its kind is told


@dataclass(frozen=True)
class Content:
    """What a file holds: a stream of UTF-8, still to be checked, or a table. ``any_bytes``: whether the stream
    may hold bytes that are not UTF-8."""

    name: str
    held: BinaryIO | Table
    any_bytes: bool = False


def contents(name: str, file: Any, reading: Reading, unit: str, inside: bool = False) -> Iterator[Content]:
    """Yield what a binary file holds, once it is uncompressed: itself, or every member of an archive.

    inside: whether the file is itself a member of an archive. Raises ValueError for a file that cannot be uncompressed
    or is no text.
    """
    with naming_damage(name):
        stream, packed = uncompressed(buffered(file), name)
        stream = buffered(stream)
        head = stream.peek(_HEAD)
        if head.startswith(archive.MAGIC):
            if inside:
                raise ValueError(f"{name} is an archive in an archive; a file of text was expected")
            for member, opened in archive.members(stream, name, _most(packed, reading)):
                yield from contents(member, opened, reading, unit, True)
            return
        refuse_others(head, name, unit == "byte")
        yield _content(name, stream, head, packed or inside, reading, unit)


def contents_of_path(name: str, reading: Reading, unit: str) -> Iterator[Content]:
    """Yield what the file of a name holds."""
    with open(name, "rb") as file:
        stream = file if reading.extent is None else within(reading.extent, name, file, reading, unit)
        if stream is not None:
            yield from contents(name, stream, reading, unit)


def within(extent: Extent, name: str, file: Any, reading: Reading, unit: str) -> BinaryIO | None:
    """Return a stream of what is to be read of a file, None for nothing; of a file whose parts cannot be read by
    themselves, because it is compressed or no lines, everything."""
    head = file.peek(_HEAD)
    plain = uncompressed(file, name)[0] is file and not head.startswith(archive.MAGIC)
    if plain and reading.is_utf8 and format_of(name, head, reading, unit) in ("text", "jsonl"):
        return extent.opened(file, os.path.getsize(name))
    extent.total = None
    return file


def _content(name: str, stream: Any, head: bytes, packed: bool, reading: Reading, unit: str) -> Content:
    if not head:   # an empty file holds nothing, whatever its name is
        return Content(name, stream)
    kind = format_of(name, head, reading, unit)
    if kind in ("parquet", "arrow"):
        from fastlm.text.sources import arrow_files

        table = arrow_files.parquet if kind == "parquet" else arrow_files.arrow
        return Content(name, table(name, stream, _most(packed, reading)))
    text = in_utf8(stream, name, reading, unit)
    if kind in ("csv", "tsv"):
        from fastlm.text.sources.delimited import delimited

        lines = lines_of(text, name, reading.longest_line)
        return Content(name, delimited(name, lines, kind == "tsv", reading.text_key))
    if kind in ("jsonl", "json", "like-json"):
        return Content(name, _json(name, text, kind, packed, reading))
    if reading.text_key is not None:
        reading.note(name, " is read as plain text, which has no columns")
    return Content(name, text, unit in RAW_UNITS and reading.errors == "surrogateescape")


def _most(packed: bool, reading: Reading) -> int:
    """Return how many bytes a file may have that is read whole or copied: of a compressed one as many as memory has."""
    return reading.most_memory if packed else sys.maxsize


def _json(name: str, text: Any, kind: str, packed: bool, reading: Reading) -> Table | BinaryIO:
    """Return the table of JSON; text that only begins like JSON is returned as a stream of text, and JSON that is no
    table, too, where neither its name nor `format` calls it JSON."""
    from fastlm.text.sources import json_lines

    most = reading.most_memory // (JSON_GROWS if packed else 1)
    longest = min(reading.longest_line, most)
    if kind == "jsonl":
        return json_lines.json_lines(name, enumerate(lines_of(text, name, longest), 1))
    first = text.readline(most + 1)
    is_row = len(first) <= longest and json_lines.begins_with_object(first)
    if is_row and kind == "json" and json_lines.is_columns(json_lines.parsed(first, name)) and not text.peek(1):
        return json_lines.json_file(name, first)
    if is_row:
        lines = lines_of(followed_by(first, text), name, longest)
        if kind == "like-json":
            reading.note(name, ' is read as JSON lines, as it begins; format="text" (--format text) reads it as it '
                         "stands")
        return json_lines.json_lines(name, enumerate(lines, 1))
    if kind == "like-json" and first.lstrip()[:1] != b"[":
        return followed_by(first, text)
    held = up_to(most, followed_by(first, text))
    if kind == "json":
        check_memory(len(held), most, name, "JSON", "less, or a file of JSON lines,")
        return json_lines.json_file(name, held)
    try:
        return json_lines.json_file(name, held) if len(held) <= most else followed_by(held, text)
    except ValueError:
        return followed_by(held, text)
