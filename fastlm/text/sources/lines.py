"""The lines of a source one by one, bad ones too, for jobs that want a figure for each of them."""

import codecs
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastlm.text.sources.columns import Row, Table, rows_of
from fastlm.text.sources.compressed import naming_damage
from fastlm.text.sources.containers import Items, recognised
from fastlm.text.sources.documents import contents_of_open
from fastlm.text.sources.encodings import MARK
from fastlm.text.sources.files import Content, contents_of_path
from fastlm.text.sources.normal_form import normalized
from fastlm.text.sources.paths import files
from fastlm.text.sources.reading import Reading
from fastlm.text.sources.strings import checked, is_file


def read_lines(source: Any, unit: str, **options: Any) -> Iterator[Row]:
    """Yield every line of files of text, with its "\\n" and in the normalisation form, and every row of tables.

    source: a path, an open file, or a list of these; options: as in `read_documents`. A line that is empty, too long,
    or not of the encoding has no text and says why; so do rows without a text. Lines come as soon as they are there, so
    that a program that writes one and waits for its figure gets it. Raises what `read_documents` raises for files that
    cannot be read at all.

        >>> import io
        >>> [row.text for row in read_lines(io.BytesIO(b"the cat\\n\\n\\xff\\nend"), "word")]
        [b'the cat\\n', None, None, b'end']
    """
    reading = Reading.of(options)
    form = reading.form(unit)
    if reading.errors == "strict" and not reading.is_utf8:
        reading = reading.but(errors=MARK)
    for content in _contents(source, unit, reading):
        with naming_damage(content.name):
            rows = rows_of(content.held, reading, unit) if isinstance(content.held, Table) else _lines(
                content.held, content.name, reading, unit)
            for row in rows:
                yield row if row.text is None else Row(row.name, normalized(row.text, form))


def _contents(source: Any, unit: str, reading: Reading) -> Iterator[Content]:
    known = recognised(source)
    if not isinstance(known, Items):
        raise TypeError(f"the source is a {type(source).__name__}; a path, an open file or a list of these was "
                        "expected")
    for item in known.items:
        if is_file(item):
            yield from contents_of_open(item, reading, unit)
        elif isinstance(item, os.PathLike) or known.paths:
            for name in files(item):
                yield from contents_of_path(name, reading, unit)
        else:
            raise TypeError(f"an item of the source is a {type(item).__name__}; a path or an open file was expected")


def _lines(stream: BinaryIO, name: str, reading: Reading, unit: str) -> Iterator[Row]:
    number, longest = 0, reading.longest_line
    while line := stream.readline(longest + 1):
        number += 1
        here = f"{name}, line {number}"
        if len(line) > longest:
            while line and not line.endswith(b"\n"):
                line = stream.readline(longest)
            yield Row(here, None, f"{here} has more than {longest:,} bytes; a shorter one was expected")
        elif not line.strip(b"\r\n"):
            yield Row(here, None, f"{here} is empty; text was expected")
        elif reading.errors == MARK and codecs.encode("\udcff", "utf-8", "surrogatepass") in line:
            yield Row(here, None, f"{here} is not {reading.encoding or 'UTF-8'}")
        else:
            yield _checked(line, here, unit)


def _checked(line: bytes, name: str, unit: str) -> Row:
    try:
        return Row(name, checked(line, name, 0, unit))
    except ValueError as error:
        return Row(name, None, str(error))
