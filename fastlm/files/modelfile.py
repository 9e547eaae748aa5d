"""The format of model files: named arrays and strings in one file, checked to the last bit when they are loaded.

The layout is that of safetensors, so that other tools can open the file:

    8 bytes   length of the header, little-endian
    header    JSON, padded with spaces so that the data begin at a multiple of 64 bytes
              {"__metadata__": {name: string}, tensor: {"dtype", "shape", "data_offsets": [begin, end]}, ...}
    data      the tensors' little-endian bytes in C order, in the header's order, without holes or overlaps; each
              begins at a multiple of the size of its items, and those that fill whole lines of 64 bytes come first

The metadata hold `format` ("fastlm"), `version` ("2") and `sha256`: the SHA-256 of the whole file with the
digest's own 64 characters read as zeros. The digest finds accidents. Whoever makes a hostile file can compute its
digest, so everything else is checked as well. Files of version 1, which have fewer dtypes and begin their data at a
multiple of 8 bytes, are read as well.

A file is mapped, not copied: its pages are read when they are used, and processes that use the same file share them.
So it must not be changed in place while it is used: cut short, it ends the processes that use it (SIGBUS). `save` never
does this, since it replaces the file, and who uses the old one keeps it. `load(path.read_bytes())` holds a copy.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import reprlib
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from fastlm.files import header, trust
from fastlm.files.atomic import check_writable, replace
from fastlm.files.header import DIGEST_KEY, DTYPES, LINE, MAX_HEADER, NO_DIGEST, RESERVED, VERSION, Fault

__all__ = ["Contents", "ModelFileError", "begins_like_one", "check_writable", "load", "read", "save"]

Buffer: TypeAlias = mmap.mmap | bytes
_AT_ONCE = 16 << 20      # bytes that are hashed at once: a signal is answered between two pieces
_FOREIGN = ((rb"PK\x03\x04", "a zip archive"), (rb"\x80[\x02-\x05]", "a Python pickle"),
            (rb"\x1f\x8b", "a gzip file"), (rb"\x93NUMPY", "a NumPy array file"), (rb"GGUF", "a GGUF file"),
            (rb"[\t\n\r -~]{8}", "text"))


class ModelFileError(ValueError):
    """Is raised for a file that is not a sound model file; names the file, the value and what was expected."""


def save(target: str | os.PathLike[str] | BinaryIO, tensors: Mapping[str, np.ndarray],
         metadata: Mapping[str, str]) -> None:
    """Write arrays and strings to one file, which is replaced whole or stays as it was.

    target: the file to write, replaced if it exists (a link stays a link; its target is replaced); or a file object
    that is open for writing bytes, to which the file is written in order.
    tensors: {name: array of any shape}; float16, 32 or 64, int8 to 64 or uint8 to 64; floats have to be finite.
    metadata: {name: string}; `format`, `version` and `sha256` are added here and may not be given.

    The same tensors and metadata give the same bytes, in any order. Raises ValueError for what a file cannot hold, and
    OSError where it cannot be written; the old file is then as it was and no other file is left.

    Example: save("my.fastlm", {"weight": np.zeros((3, 2), np.float32)}, {"unit": "word"})
    """
    arrays = _check_and_sort(tensors)
    start = header.build(arrays, metadata)

    import hashlib  # here, since it costs `import fastlm` 4 ms

    digest = hashlib.sha256(start)
    for array in arrays.values():
        digest.update(_bytes_of(array))

    def write(file: BinaryIO) -> None:
        file.write(start.replace(DIGEST_KEY + NO_DIGEST, DIGEST_KEY + digest.hexdigest().encode()))
        for array in arrays.values():
            file.write(_bytes_of(array))

    if isinstance(target, str | os.PathLike):
        replace(target, write)
    else:
        write(target)


def load(source: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and metadata that `save` wrote, without the three reserved names in the metadata.

    source: as for `read`. Nothing in the file is trusted or run: what `read` checks is checked first, then the digest,
    then that floats are finite. Raises what `read` and `Contents.check` raise.

    Example: tensors, metadata = load("my.fastlm")
    """
    contents = read(source)
    contents.check()
    return contents.tensors, contents.metadata


def read(source: Any) -> Contents:
    """Return what is in a model file, of which only the header is read and checked here.

    source: the name of a file, which is mapped; bytes, a bytearray or a memoryview; or a file object that gives bytes,
    which is read from where it stands to its end. Lengths are checked against the size of the file before memory is
    taken, which is a few times the header at most. Raises ModelFileError for a damaged, foreign or newer file, OSError
    where it cannot be read, and TypeError for other sources.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        mode = os.stat(name).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise ModelFileError(f"{name} is {kind}, expected a model file")
        with open(name, "rb") as file:
            return _parse(name, *_map(file))
    if isinstance(source, bytes | bytearray | memoryview):
        return _parse(f"the {type(source).__name__} object", bytes(source), None)
    if not callable(getattr(source, "read", None)):
        raise TypeError(f"a {type(source).__name__} was given; the name of a model file, bytes or a file object was "
                        "expected")
    given = source.read()
    if not isinstance(given, bytes):
        raise TypeError(f"the file object gave a {type(given).__name__}; one that is open for reading bytes was "
                        "expected")
    return _parse(f"the file object {reprlib.repr(getattr(source, 'name', type(source).__name__))}", given, None)


def begins_like_one(source: Any) -> bool:
    """Return whether a source, as `read` takes it, begins as model files do; True for what cannot be looked at first:
    what is no file or bytes, and pipes. A file object stays where it stands. Raises OSError as `read` does."""
    if isinstance(source, str | os.PathLike):
        if not os.path.isfile(source):
            return True
        with open(source, "rb") as file:
            head = file.read(9)
    elif isinstance(source, bytes | bytearray | memoryview):
        head = bytes(source[:9])
    elif callable(getattr(source, "seekable", None)) and source.seekable():
        start = source.tell()
        head = source.read(9)
        source.seek(start)
    else:
        return True
    return head[8:9] == b"{"   # the header, after its length


@dataclass(frozen=True)
class Contents:
    """What is in a model file of which only the header has been read and checked.

    ``name``: how errors name the file; ``tensors``: arrays in its memory; ``metadata``: without the three reserved
    names. ``buffer``: the whole file; ``header``: its first bytes, with zeros for the ``digest``; ``status``: of a
    file that was opened by its name, otherwise None; ``opened``: when, in nanoseconds. Arrays of a mapped file may be
    written to, which copies their pages and leaves the file as it is; those of bytes are read-only.
    """

    name: str
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    buffer: Buffer
    header: bytes
    digest: str
    status: os.stat_result | None
    opened: int

    def check(self) -> None:
        """Read every byte; raise ModelFileError unless the digest is right and all floats are finite.

        This is done before anything is written to an array: the memory of the pages that were read is given back.
        """
        import hashlib

        found = hashlib.sha256(self.header)
        with memoryview(self.buffer) as view:
            for begin in range(len(self.header), len(view), _AT_ONCE):
                found.update(view[begin: begin + _AT_ONCE])
        if found.hexdigest() != self.digest:
            raise ModelFileError(f"{self.name} is damaged: its SHA-256 is {found.hexdigest()}, expected {self.digest}")
        for name, array in self.tensors.items():
            if (index := _first_not_finite(array)) is not None:
                raise ModelFileError(f"{self.name} has {array.flat[index]} at index {index} of tensor "
                                     f"{reprlib.repr(name)}, expected finite numbers")
        if isinstance(self.buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.buffer.madvise(mmap.MADV_DONTNEED)

    def is_known(self) -> bool:
        """Return whether this user has verified the file before and it is unchanged, see `trust`."""
        return self.status is not None and trust.is_known(self.status, self.digest)

    def remember(self) -> None:
        """Record that the file is sound, after every check."""
        if self.status is not None:
            with contextlib.suppress(OSError):
                trust.remember(self.status, os.stat(self.name), self.opened, self.digest)


def _map(file: BufferedReader) -> tuple[Buffer, os.stat_result]:
    """Return the bytes of an open file, mapped so that processes share them, and its status before."""
    status = os.fstat(file.fileno())
    try:
        if status.st_size:
            return mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_COPY), status
    except (OSError, ValueError):    # some file systems cannot map; and a file may just have been cut short
        pass
    return file.read(), status


def _parse(name: str, buffer: Buffer, status: os.stat_result | None) -> Contents:
    """Check the header of a file; return its contents. name, buffer, status: as in `Contents`."""
    opened = time.time_ns()
    try:
        start, size = buffer[:8], len(buffer)
        if len(start) < 8:
            raise Fault(f"is not a model file: it is {size} bytes long, expected at least 8")
        length = int.from_bytes(start, "little")
        limit = min(size - 8, MAX_HEADER)
        if not 8 <= length <= limit or length % 8:
            if kind := next((kind for start_of_kind, kind in _FOREIGN if re.match(start_of_kind, start)), ""):
                raise Fault(f"is not a model file: it looks like {kind}")
            raise Fault(f"is cut short or not a model file: its header would take {length} bytes, "
                        f"expected a multiple of 8 up to {limit}")
        text, data = buffer[8: 8 + length], 8 + length
        if text[:1] != b"{":
            raise Fault(f"is not a model file: its header starts with {text[:1]!r}, expected b'{{'")
        entries, metadata = header.parse(text)
        layout = list(header.layout(entries, metadata, size - data))
        blank = header.without_digest(text, metadata["sha256"])
    except Fault as fault:
        raise ModelFileError(f"{name} {fault}") from None
    tensors = {}
    for tensor, dtype, shape, begin in layout:
        array = np.ndarray(shape, dtype, buffer, data + begin)
        # Version 1 aligns nothing, and other processors order bytes otherwise; both are copied.
        tensors[tensor] = array.astype(dtype.newbyteorder("="), copy=not array.flags.aligned)
    return Contents(name, tensors, {key: value for key, value in metadata.items() if key not in RESERVED},
                    buffer, start + blank, metadata["sha256"], status, opened)


def _check_and_sort(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors in the order of the file: those that fill whole lines first, so that each of them begins with
    a line, then larger items first, so that each tensor is aligned to its item size.

    Raises ValueError for an array that a file cannot hold.
    """
    for name, array in tensors.items():
        if not isinstance(array, np.ndarray) or array.dtype not in DTYPES.values():
            given = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"tensor {name!r} is {given}, expected an array of "
                             "float16 to 64, int8 to 64 or uint8 to 64")
        if (index := _first_not_finite(array)) is not None:
            raise ValueError(f"tensor {name!r} has {array.flat[index]} at index {index}, "
                             "expected finite numbers")
    return dict(sorted(tensors.items(), key=lambda item: (
        item[1].nbytes % LINE[VERSION] != 0, -item[1].dtype.itemsize, item[0])))


def _bytes_of(array: np.ndarray) -> memoryview:
    """Return the bytes of an array in C order, little-endian."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _first_not_finite(array: np.ndarray) -> int | None:
    """Return the flat index of the first value that is not finite, or None. Works in pieces, to save memory."""
    if array.dtype.kind != "f":
        return None
    flat = array.reshape(-1)
    for begin in range(0, flat.size, 1 << 18):
        finite = np.isfinite(flat[begin:begin + (1 << 18)])
        if not finite.all():
            return begin + int(finite.argmin())
    return None
