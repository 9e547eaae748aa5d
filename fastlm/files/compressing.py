"""Files that are written compressed, by the endings of their names: .gz, .bz2, .xz and .zst."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO


@contextmanager
def compressing(file: BinaryIO, path: str | os.PathLike[str]) -> Iterator[Any]:
    """Give a stream to write to: one that compresses into the open file where the path has such an ending, or the file.

    Raises ValueError for .zst where zstandard is not installed. The same contents give the same bytes.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending == ".gz":
        import gzip  # here and below, since they cost `import fastlm` 3 ms

        stream: Any = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0)
    elif ending == ".bz2":
        import bz2

        stream = bz2.BZ2File(file, "wb")
    elif ending == ".xz":
        import lzma

        stream = lzma.LZMAFile(file, "wb")  # noqa: SIM115, closed below
    elif ending == ".zst":
        stream = _zstd(file)
    else:
        yield file
        return
    with stream:
        yield stream


def _zstd(file: BinaryIO) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]   # of Python 3.14 and later

        return zstd.ZstdFile(file, "wb")
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise ValueError('writing .zst needs zstandard: pip install "fastlm[zstd]"') from None
    return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
