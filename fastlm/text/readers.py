"""Documents out of whatever the caller has: paths, folders, open files, strings; compressed or not."""

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from fastlm.text.scan import PIECE, pieces

UNITS = ("word", "char", "byte")
DOCUMENTS = ("file", "line", "blank-line")

# The magic of bzip2 is plain ASCII, so the block header behind it is looked at too: text may begin with BZh9.
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_ENDINGS = (".txt", ".gz", ".bz2", ".xz", ".md")
_LONGEST_NAME = 4096  # characters; PATH_MAX of Linux, and more than other systems allow


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError where the value of an argument is not one of its choices."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r}; expected one of {', '.join(map(repr, choices))}")


def read_documents(source: Any, documents: str = "file", unit: str = "word") -> Iterator[tuple[str, bytes]]:
    """Yield the documents of a source as (name, text); text is the bytes as they are there, uncompressed.

    source: a path (every `str` is one), a folder (its files in the order of their names, hidden ones left
    out), an open file, a list of paths, or an iterable of strings, one text each (of bytes where unit is
    "byte"). What begins like .gz, .bz2 or .xz is uncompressed, whatever its name.
    documents: "file", a text is a document; "line", every line, with its "\\n"; "blank-line", what stands
    between lines of nothing but whitespace. Lines end at "\\n" only.

    Raises FileNotFoundError for a path that does not exist, TypeError for an object that is not a source, and
    ValueError for text that is not UTF-8 or contains a NUL (both are allowed where unit is "byte") or that cannot
    be uncompressed; each names the file and the offset.

        >>> list(read_documents(["I am\\na", "machine"], documents="line"))
        [('documents[0]', b'I am\\n'), ('documents[0]', b'a'), ('documents[1]', b'machine')]
    """
    check_choice("documents", documents, DOCUMENTS)
    check_choice("unit", unit, UNITS)
    return _cut_all(source, documents, unit)


def text_bytes(text: str | bytes, name: str, unit: str) -> bytes:
    """Return a string as UTF-8, once it is checked for NUL characters and lone surrogates, which words and characters
    cannot hold.

    For unit "byte", bytes are returned as they are, and U+DC80..U+DCFF stand for the bytes that `decode` made them
    from. Raises TypeError for anything but a string, and ValueError for such characters.
    """
    if isinstance(text, bytes | bytearray) and unit == "byte":
        return bytes(text)
    if not isinstance(text, str):
        wanted = "str or bytes" if unit == "byte" else "str"
        raise TypeError(f'{name} is a {type(text).__name__}; expected {wanted} for unit="{unit}"')
    try:
        encoded = text.encode("utf-8", "surrogateescape" if unit == "byte" else "strict")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise ValueError(f"{name}: U+{code:04X} at position {error.start} is half a surrogate pair") from None
    if unit != "byte" and b"\0" in encoded:
        raise ValueError(f'{name}: NUL at position {text.index(chr(0))}; only unit="byte" reads those')
    return encoded


def _cut_all(source: Any, documents: str, unit: str) -> Iterator[tuple[str, bytes]]:
    for name, text in _texts(source, unit):
        try:
            yield from _cut(name, text, documents, unit)
        except OSError as error:
            if error.errno is not None:
                raise
            raise ValueError(f"{name} cannot be uncompressed: {error}") from error
        except Exception as error:
            if not _is_of_compression(error):
                raise
            raise ValueError(f"{name} cannot be uncompressed: {error}") from error


def _is_of_compression(error: Exception) -> bool:
    import lzma  # here and in _uncompressed, since they cost `import fastlm` 3 ms
    import zlib

    return isinstance(error, EOFError | zlib.error | lzma.LZMAError)


def _cut(name: str, text: bytes | BinaryIO, documents: str, unit: str) -> Iterator[tuple[str, bytes]]:
    """Yield the documents of one text; the bytes of a file are checked here, strings were when they were encoded."""
    if documents == "file":
        whole = text if isinstance(text, bytes) else _checked(text.read(), name, 0, unit)
        yield name, whole
        return
    block: list[bytes] = []
    for line in io.BytesIO(text) if isinstance(text, bytes) else _checked_lines(text, name, unit):
        if documents == "line":
            yield name, line
        elif line.isspace():
            if block:
                yield name, b"".join(block)
            block = []
        else:
            block.append(line)
    if block:
        yield name, b"".join(block)


def _checked_lines(stream: BinaryIO, name: str, unit: str) -> Iterator[bytes]:
    """Yield lines, checked a mebibyte at a time, since single lines are too short to be checked fast."""
    offset = 0
    while lines := stream.readlines(PIECE):
        offset += len(_checked(b"".join(lines), name, offset, unit))
        yield from lines


def _checked(text: bytes, name: str, offset: int, unit: str) -> bytes:
    if unit == "byte":
        return text
    nul = text.find(0)
    if nul >= 0:
        raise ValueError(f'{name}: NUL at offset {offset + nul}; only unit="byte" reads those')
    start = 0
    try:
        for start, piece in pieces(text):  # noqa: B007, the handler reads it
            str(piece, "utf-8")
    except UnicodeDecodeError as error:
        at = start + error.start
        place = f"byte 0x{text[at]:02X} at offset {offset + at}"
        raise ValueError(f'{name}: {place} is not UTF-8; unit="byte" reads any bytes') from None
    return text


def _texts(source: Any, unit: str) -> Iterator[tuple[str, bytes | BinaryIO]]:
    """Yield (name, text): the bytes of a string, or a stream of uncompressed bytes for a file."""
    if isinstance(source, str | os.PathLike):
        yield from _files(source)
    elif hasattr(source, "read"):
        yield _open_file(source, unit)
    elif isinstance(source, bytes | bytearray | memoryview | Mapping) or not isinstance(source, Iterable):
        raise TypeError(
            f"the source is a {type(source).__name__}; expected a path, an open file or a list of documents"
        )
    else:
        strings_are_paths = isinstance(source, list | tuple) and _are_paths(source)
        for n, item in enumerate(source):
            if isinstance(item, os.PathLike) or (strings_are_paths and isinstance(item, str)):
                yield from _files(item)
            else:
                yield f"documents[{n}]", text_bytes(item, f"documents[{n}]", unit)


def _are_paths(source: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether the strings of a list are paths: all of them must name files, or none."""
    strings = [item for item in source if isinstance(item, str)]
    missing = [item for item in strings if "\n" in item or not os.path.exists(item)]
    others = [item for item in source if isinstance(item, os.PathLike)]
    if not missing:
        return True
    if len(missing) == len(strings) and not others:
        if all(map(_like_a_file_name, missing)):
            raise FileNotFoundError(f"{_shown(missing[0])} does not exist, and looks like the name of a file")
        return False
    named = str(others[0]) if others else next(item for item in strings if os.path.exists(item))
    raise ValueError(
        f"{_shown(named)} names a file and {_shown(missing[0])} does not; expected all paths or all documents"
    )


def _like_a_file_name(text: str) -> bool:
    """Return whether a text is short enough for a path, without whitespace, and has a slash or the ending of a file."""
    return len(text) <= _LONGEST_NAME and ("/" in text or text.endswith(_ENDINGS)) and not re.search(r"\s", text)


def _files(path: str | os.PathLike[str]) -> Iterator[tuple[str, BinaryIO]]:
    if not os.path.exists(path):
        hint = "; a document itself goes into a list, [text]" if re.search(r"\s", os.fspath(path)) else ""
        raise FileNotFoundError(f"{_shown(os.fspath(path))} does not exist{hint}")
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            yield os.fspath(path), _uncompressed(file)
        return
    found = False
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            full = os.path.join(folder, name)
            if not name.startswith(".") and os.path.isfile(full):
                found = True
                yield from _files(full)
    if not found:
        raise ValueError(f"the folder {_shown(os.fspath(path))} holds no files")


def _open_file(file: Any, unit: str) -> tuple[str, bytes | BinaryIO]:
    name = str(getattr(file, "name", "the open file"))
    if not isinstance(file.read(0), str):
        return name, _uncompressed(file if hasattr(file, "peek") else _buffered(file.read()))
    try:
        return name, text_bytes(file.read(), name, unit)
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02X} at offset {error.start}"
        raise ValueError(f"{name}: {place} is not {error.encoding}") from None


def _buffered(text: bytes) -> BinaryIO:
    # A reader around the caller's own raw file would close that file when it is collected; this one holds a copy.
    return io.BufferedReader(io.BytesIO(text))


def _uncompressed(file: Any) -> Any:
    """Return the stream itself, or its uncompressed contents where it begins like .gz, .bz2 or .xz."""
    head = file.peek(16)
    if head[:2] == b"\x1f\x8b":
        import gzip

        return gzip.GzipFile(fileobj=file)
    if _BZIP2.match(head):
        import bz2

        return bz2.BZ2File(file)
    if head[:6] == b"\xfd7zXZ\0":
        import lzma

        return lzma.LZMAFile(file)
    return file


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
