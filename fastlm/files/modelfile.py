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
"""

import os
import re
import reprlib
import stat
from collections.abc import Mapping
from io import BufferedReader
from typing import BinaryIO

import numpy as np

from fastlm.files import header
from fastlm.files.atomic import check_writable, replace
from fastlm.files.header import DIGEST_KEY, DTYPES, LINE, MAX_HEADER, RESERVED, VERSION, Fault

__all__ = ["ModelFileError", "check_writable", "load", "save"]

_FOREIGN = ((rb"PK\x03\x04", "a zip archive"), (rb"\x80[\x02-\x05]", "a Python pickle"),
            (rb"\x1f\x8b", "a gzip file"), (rb"\x93NUMPY", "a NumPy array file"), (rb"GGUF", "a GGUF file"),
            (rb"[\t\n\r -~]{8}", "text"))


class ModelFileError(ValueError):
    """Is raised for a file that is not a sound model file; names the file, the value and what was expected."""


def save(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray],
         metadata: Mapping[str, str]) -> None:
    """Write arrays and strings to one file, which is replaced whole or stays as it was.

    path: the file to write, replaced if it exists (a link stays a link; its target is replaced).
    tensors: {name: array of any shape}; float16, 32 or 64, int8 to 64 or uint8 to 64; floats have to be finite.
    metadata: {name: string}; `format`, `version` and `sha256` are added here and may not be given.

    The same tensors and metadata give the same bytes, in any order. Raises ValueError for what a file cannot hold, and
    OSError where it cannot be written; the old file is then as it was and no other file is left.

    Example: save("my.fastlm", {"weight": np.zeros((3, 2), np.float32)}, {"unit": "word"})
    """
    arrays = _check_and_sort(tensors)
    start = header.build(arrays, metadata)

    import hashlib  # here, since it costs `import fastlm` 4 ms

    def write(file: BinaryIO) -> None:
        file.write(start)
        digest = hashlib.sha256(start)
        for array in arrays.values():
            flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
            file.write(flat.data)
            digest.update(flat.data)
        file.seek(start.index(DIGEST_KEY) + len(DIGEST_KEY))
        file.write(digest.hexdigest().encode())

    replace(path, write)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and metadata that `save` wrote, without the three reserved names in the metadata.

    Nothing in the file is trusted or run. Lengths are checked against the size of the file before memory is taken,
    which besides the arrays is a few times the header at most; then the digest is checked, then that floats are finite.
    Raises ModelFileError for a damaged, foreign or newer file, and OSError where it cannot be read.

    Example: tensors, metadata = load("my.fastlm")
    """
    path = os.fspath(path)
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise ModelFileError(f"{path} is {kind}, expected a model file")
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except Fault as fault:
        raise ModelFileError(f"{path} {fault}") from None


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


def _read(file: BufferedReader, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    start = file.read(8)
    if len(start) < 8:
        raise Fault(f"is not a model file: it is {size} bytes long, expected at least 8")
    length = int.from_bytes(start, "little")
    limit = min(size - 8, MAX_HEADER)
    if not 8 <= length <= limit or length % 8:
        if kind := next((kind for start_of_kind, kind in _FOREIGN if re.match(start_of_kind, start)), ""):
            raise Fault(f"is not a model file: it looks like {kind}")
        raise Fault(f"is cut short or not a model file: its header would take {length} bytes, "
                    f"expected a multiple of 8 up to {limit}")
    import hashlib

    text = file.read(length)
    if text[:1] != b"{":
        raise Fault(f"is not a model file: its header starts with {text[:1]!r}, expected b'{{'")
    entries, metadata = header.parse(text)
    layout = list(header.layout(entries, metadata, size - 8 - length))
    digest = hashlib.sha256(start)
    digest.update(header.without_digest(text, metadata["sha256"]))
    tensors = {}
    for name, dtype, shape, _ in layout:
        array = np.empty(shape, dtype)
        flat = array.reshape(-1).view(np.uint8)
        if file.readinto(flat.data) != flat.size:
            raise Fault(f"was cut short while it was read: tensor {reprlib.repr(name)} is not whole")
        digest.update(flat.data)
        tensors[name] = array
    if digest.hexdigest() != metadata["sha256"]:
        raise Fault(f"is damaged: its SHA-256 is {digest.hexdigest()}, expected {metadata['sha256']}")
    for name, array in tensors.items():
        if (index := _first_not_finite(array)) is not None:
            raise Fault(f"has {array.flat[index]} at index {index} of tensor {reprlib.repr(name)}, "
                        "expected finite numbers")
    for name in RESERVED:
        del metadata[name]
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False)
            for name, array in tensors.items()}, metadata


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
