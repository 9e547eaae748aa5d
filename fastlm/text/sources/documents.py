"""Documents out of whatever the caller has: paths, folders, open files, tables, strings; compressed or not."""

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from fastlm.text.sources.columns import Table, texts_of
from fastlm.text.sources.compressed import naming_damage
from fastlm.text.sources.containers import Items, TokenLists, recognised
from fastlm.text.sources.encodings import encoded_file
from fastlm.text.sources.files import Content, contents, contents_of_path
from fastlm.text.sources.memory import check_memory
from fastlm.text.sources.normal_form import normalized
from fastlm.text.sources.paths import files, is_name
from fastlm.text.sources.reading import DOCUMENTS, Reading, check_choice
from fastlm.text.sources.streams import checked_blocks, checked_lines, checked_parts, whole
from fastlm.text.sources.strings import is_file, shown, text_bytes, without_bom
from fastlm.text.sources.token_lists import joined
from fastlm.text.tokens import TOKENIZER, UNITS

Text = tuple[str, bytes]
_SHORT = 1 << 12       # bytes of a text that is looked at together with others
_TOGETHER = 1 << 16    # bytes of all of them


def read_documents(source: Any, documents: str = "file", unit: str = "word", **options: Any) -> Iterator[Text]:
    """Yield the documents of a source as (name, text); text is UTF-8 or, for unit "byte", the bytes as they are there.

    source: a path (every `str` is one) of a file, a folder (its files in the order of their names, hidden ones left
    out) or a pattern ("data/**/*.txt"); an open file; a table; or an iterable of paths, of texts (of bytes where unit
    is "byte"), of mappings (the rows of a table), or of lists of words. The strings of an iterable are paths where they
    name files. What begins like .gz, .bz2, .xz, .zst or .zip is uncompressed, whatever its name. Each row of .jsonl,
    .csv, .tsv, .parquet, .arrow and of tables in memory is a text.
    documents: "file", a text is a document; "line", every line, with its "\\n"; "blank-line", what stands
    between lines of nothing but whitespace. Lines end at "\\n" only.
    options: text_key, format, encoding, errors, normalize and memory, as `Reading` takes them.

    Raises FileNotFoundError for a path that does not exist, TypeError for an object that is not a source, and
    ValueError for text that is not UTF-8 or contains a NUL (both are allowed where unit is "byte"), that cannot
    be uncompressed, or that is in none of the columns of a table; each names the file and the place.

        >>> list(read_documents(["I am\\na", "machine"], documents="line"))
        [('documents[0]', b'I am\\n'), ('documents[0]', b'a'), ('documents[1]', b'machine')]
    """
    check_choice("documents", documents, DOCUMENTS)
    check_choice("unit", unit, (*UNITS, TOKENIZER))
    reading = Reading.of(options)
    return _documents(source, documents, unit, reading)


class Part(NamedTuple):
    """A part of a source: ``text``, of the text called ``name``. ``ends``: whether a document ends with it; ``lines``:
    whether it is lines, each of which is a document. ``names``: of several short documents of one line each, which lie
    in the text one after another, and ``sizes``, their bytes; empty for others."""

    name: str
    text: bytes
    ends: bool = True
    lines: bool = False
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()


def read_parts(source: Any, documents: str = "file", unit: str = "word", **options: Any) -> Iterator[Part]:
    """Yield a source part by part, in memory that does not grow with it; the arguments and errors are those of
    `read_documents`.

    A long document comes in parts that are cut before whitespace, and lines many at a time.

        >>> [(part.text, part.ends, part.lines) for part in read_parts(["I am\\na"], documents="line")]
        [(b'I am\\na', True, True)]
    """
    check_choice("documents", documents, DOCUMENTS)
    check_choice("unit", unit, (*UNITS, TOKENIZER))
    reading = Reading.of(options)
    return _parts(source, documents, unit, reading)


def _parts(source: Any, documents: str, unit: str, reading: Reading) -> Iterator[Part]:
    form, extent = reading.form(unit), reading.extent
    found = _texts(source, unit, reading)
    together = unit == "word" and form is None and documents != "blank-line" and extent is None
    for part in _together(found, documents, unit, reading) if together else (
            part for text in found for part in _parts_of(text, documents, unit, reading)):
        if extent is not None and not extent.takes(len(part.text)):
            return
        yield part._replace(text=normalized(part.text, form))


def _together(found: Iterator[Content | Text], documents: str, unit: str, reading: Reading) -> Iterator[Part]:
    """Yield the parts of texts, those of one line each many at a time, since each by itself takes longer to look at."""
    names, texts, size = list[str](), list[bytes](), 0
    for item in found:
        name, text = ("", b"") if isinstance(item, Content) else item
        short = 0 < len(text) < _SHORT and text.find(b"\n", 0, -1) < 0
        if texts and (not short or size >= _TOGETHER):
            yield _side_by_side(names, texts)
            names, texts, size = [], [], 0
        if short:
            names.append(name)
            texts.append(text)
            size += len(text)
        else:
            yield from _parts_of(item, documents, unit, reading)
    if texts:
        yield _side_by_side(names, texts)


def _side_by_side(names: list[str], texts: list[bytes]) -> Part:
    return Part(names[0], b"".join(texts), names=tuple(names), sizes=tuple(map(len, texts)))


def _parts_of(found: Content | Text, documents: str, unit: str, reading: Reading) -> Iterator[Part]:
    if not isinstance(found, Content):
        if documents == "blank-line":
            yield from (Part(*document) for document in _cut(*found, documents, reading))
        else:
            yield Part(*found, lines=documents == "line")
        return
    stream: BinaryIO = found.held  # type: ignore[assignment]
    unit, longest = "byte" if found.any_bytes else unit, reading.longest_line
    with naming_damage(found.name):
        if documents == "line":
            yield from (Part(found.name, block, lines=True)
                        for block in checked_blocks(stream, found.name, unit, longest))
        elif documents == "blank-line":
            yield from (Part(*document) for document in _cut_content(found, documents, unit, reading))
        else:
            yield from (Part(found.name, *part) for part in checked_parts(stream, found.name, unit, longest))


def _documents(source: Any, documents: str, unit: str, reading: Reading) -> Iterator[Text]:
    form = reading.form(unit)
    for found in _texts(source, unit, reading):
        cut = (_cut_content(found, documents, unit, reading) if isinstance(found, Content)
               else _cut(*found, documents, reading))
        for name, text in cut:
            yield name, normalized(text, form)


def _texts(source: Any, unit: str, reading: Reading) -> Iterator[Content | Text]:
    """Yield what a source holds: (name, checked bytes) of a string or a row, or the stream of a file."""
    known = recognised(source)
    if isinstance(known, Table):
        yield from texts_of(known, reading, unit)
    elif isinstance(known, TokenLists):
        for n, document in enumerate(known.documents):
            yield f"documents[{n}]", joined(document, f"documents[{n}]", unit)
    elif isinstance(known, Items):
        for content in _items(known, unit, reading):
            if isinstance(content, Content) and isinstance(content.held, Table):
                yield from _named_rows(content, unit, reading)
            else:
                yield content
    else:
        raise TypeError("the documents are lists of ids; texts were expected")


def _named_rows(content: Content, unit: str, reading: Reading) -> Iterator[Text]:
    with naming_damage(content.name):
        yield from texts_of(content.held, reading, unit)  # type: ignore[arg-type]


def _items(source: Items, unit: str, reading: Reading) -> Iterator[Content | Text]:
    for n, item in enumerate(source.items):
        if isinstance(item, os.PathLike) or (source.paths and isinstance(item, str)):
            if isinstance(item, str) and n and not is_name(item):
                raise ValueError(f"documents[{n}], {shown(item)}, names no file, as the first ones do; expected all "
                                 "paths or all documents")
            for name in files(item):
                yield from contents_of_path(name, reading, unit)
        elif is_file(item):
            yield from contents_of_open(item, reading, unit)
        else:
            text = text_bytes(item, f"documents[{n}]", unit)
            yield f"documents[{n}]", without_bom(text, unit)


def contents_of_open(file: Any, reading: Reading, unit: str) -> Iterator[Content]:
    """Yield what an open file, binary or of text, holds from where it stands."""
    name = str(getattr(file, "name", "the open file"))
    if isinstance(file.read(0), str):
        yield from contents(name, encoded_file(file, name, unit), reading.but(encoding=None, errors="strict"), unit)
    else:
        yield from contents(name, file, reading, unit)


def _cut_content(content: Content, documents: str, unit: str, reading: Reading) -> Iterator[Text]:
    """Yield the documents of a stream, whose bytes are checked here, each in the memory that the reading allows."""
    stream: BinaryIO = content.held  # type: ignore[assignment]
    unit = "byte" if content.any_bytes else unit
    with naming_damage(content.name):
        if documents == "file":
            yield content.name, whole(stream, content.name, unit, reading.most_memory)
        else:
            lines = checked_lines(stream, content.name, unit, reading.longest_line)
            yield from _cut_lines(content.name, lines, documents, reading)


def _cut(name: str, text: bytes, documents: str, reading: Reading) -> Iterator[Text]:
    """Yield the documents of a text whose bytes are checked already."""
    if documents == "file":
        yield name, text
    else:
        yield from _cut_lines(name, iter(io.BytesIO(text)), documents, reading)


def _cut_lines(name: str, lines: Iterator[bytes], documents: str, reading: Reading) -> Iterator[Text]:
    block, size, memory = io.BytesIO(), 0, reading.most_memory
    for line in lines:
        if documents == "line":
            yield name, line
        elif line.isspace():
            if size:
                yield name, block.getvalue()
            block, size = io.BytesIO(), 0
        else:
            size += block.write(line)
            check_memory(size, memory, name, "text without a blank line", 'less, or documents="line",')
    if size:
        yield name, block.getvalue()
