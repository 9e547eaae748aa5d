"""Zip archives: their members are read one after another, and never unpacked to disk."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastlm.text.sources.memory import check_memory
from fastlm.text.sources.strings import shown

MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_IN_MEMORY = 1 << 24     # bytes of a stream that are copied to memory; more go to a temporary file
_OFFICE = ("[Content_Types].xml", "META-INF/manifest.xml", "META-INF/container.xml")


def members(file: Any, name: str, most: int = sys.maxsize) -> Iterator[tuple[str, BinaryIO]]:
    """Yield (name, stream) of the members of a zip archive in the order of their names, without hidden ones, as in a
    folder. most: see `seekable`.

    Raises ValueError for an archive without files, for one that is damaged or encrypted, and for documents of office
    programs, which are archives of markup.
    """
    import zipfile

    try:
        opened = zipfile.ZipFile(seekable(file, name, most))
    except NotImplementedError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    with opened as archive:
        infos = sorted((info for info in archive.infolist() if _is_read(info.filename)), key=lambda it: it.filename)
        office = {info.filename for info in archive.infolist()}.intersection(_OFFICE)
        if office:
            raise ValueError(f"{name} is a document or program in a zip archive: it holds {min(office)}; text was "
                             "expected, so save it as plain text")
        if not infos:
            raise ValueError(f"the archive {name} holds no files")
        for info in infos:
            member = f"{name}, member {shown(info.filename)}"
            try:
                with archive.open(info) as stream:
                    yield member, stream  # type: ignore[misc]
            except (RuntimeError, NotImplementedError) as error:
                raise ValueError(f"{member} cannot be read: {error}") from error


def seekable(file: Any, name: str, most: int = sys.maxsize) -> Any:
    """Return a stream that can seek: the file itself, or a copy of what is left of it, in memory where it is small.

    Raises ValueError where that is more than `most` bytes: the copy is on the disk, which may be in memory, too."""
    if file.seekable():
        return file
    from fastlm.text.sources.copies import Copy  # here, since tempfile takes time to import

    copy = Copy(_IN_MEMORY)
    while piece := file.read(1 << 20):
        copy.write(piece)
        check_memory(copy.tell(), most, name, "an archive or table", "less, or the file uncompressed,")
    copy.seek(0)
    return copy


def _is_read(name: str) -> bool:
    """Return whether a member is a file that is not hidden."""
    parts = name.split("/")
    return bool(parts[-1]) and not any(part.startswith(".") or part == "__MACOSX" for part in parts)
