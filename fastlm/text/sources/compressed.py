"""Compressed files, told by how they begin, whatever their names are."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The magic of bzip2 is plain ASCII, so the block header behind it is looked at too: text may begin with BZh9.
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_OTHERS = (
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed by lz4"),
    (re.compile(rb"\x1f\x9d"), "compressed by compress"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"Rar!\x1a\x07"), "a rar archive"),
    (re.compile(rb"%PDF-\d"), "a PDF document"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "a document of an office program"),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database"),
)
_TAR = re.compile(rb"(?s).{257}ustar[\0 ]")
_ZSTD_CHUNK = 1 << 11   # bytes of input at once; 128 KiB of zeros take four of them, so this makes 64 MiB at most


class _Reader(io.RawIOBase):
    """A file that cannot peek; closing this, or collecting it, leaves the file open."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        part = self._file.read(len(buffer)) or b""
        buffer[: len(part)] = part
        return len(part)


def buffered(file: Any) -> Any:
    """Return a binary stream that can peek and `read1`: the file itself, or a reader around it."""
    return file if hasattr(file, "peek") and hasattr(file, "read1") else io.BufferedReader(_Reader(file))


def uncompressed(file: Any, name: str) -> tuple[Any, bool]:
    """Return (stream, whether it was compressed): the stream itself, or its contents where it begins like .gz, .bz2,
    .xz or .zst."""
    head = file.peek(512)
    if head[:2] == b"\x1f\x8b":
        import gzip  # here, as the others, since they cost `import fastlm` 3 ms

        return gzip.GzipFile(fileobj=file), True
    if _BZIP2.match(head):
        import bz2

        return bz2.BZ2File(file), True
    if head[:6] == b"\xfd7zXZ\0" or head[:3] == b"]\0\0":
        import lzma

        return lzma.LZMAFile(file), True
    if _ZSTD.match(head):
        return _zstd(file, name), True
    return file, False


def refuse_others(head: bytes, name: str, unit_reads_bytes: bool) -> None:
    """Raise ValueError for what begins like a kind of file that is no text and that is not read."""
    if unit_reads_bytes:
        return
    if _TAR.match(head):
        raise ValueError(f"{name} is a tar archive; its files were expected, unpacked")
    for pattern, kind in _OTHERS:
        if pattern.match(head):
            raise ValueError(f"{name} is {kind}; text was expected, or .gz, .bz2, .xz, .zst, .zip, .jsonl, .csv, .tsv, "
                             ".parquet or .arrow")


@contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn the errors of damaged compressed files into a ValueError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{name} cannot be uncompressed: {error}") from error
    except Exception as error:
        if not _is_of_compression(error):
            raise
        raise ValueError(f"{name} cannot be uncompressed: {error}") from error


def _is_of_compression(error: Exception) -> bool:
    import lzma
    import zlib

    return isinstance(error, EOFError | zlib.error | lzma.LZMAError) or type(error).__name__ in (
        "ZstdError", "BadZipFile")


def _zstd(file: Any, name: str) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]   # of Python 3.14 and later

        return zstd.ZstdFile(file)
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise ValueError(f'{name}: reading .zst needs zstandard: pip install "fastlm[zstd]"') from None
    return io.BufferedReader(_Zstd(file, zstandard))


class _Zstd(io.RawIOBase):
    """The contents of frames of zstandard, one after another.

    The package's own reader takes a truncated file for a whole one; an object that decompresses one frame knows.
    """

    def __init__(self, file: Any, zstandard: Any) -> None:
        self._file, self._zstandard = file, zstandard
        self._frame: Any = None
        self._rest, self._ready = b"", memoryview(b"")

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        while not self._ready and (chunk := self._rest or self._file.read1(_ZSTD_CHUNK)):
            if self._frame is None:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._frame.decompress(chunk))
            self._rest = b""
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        if not self._ready and self._frame is not None:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size
