"""The format of model files: named arrays and strings in one file, checked to the last bit when they are loaded.

The layout is that of safetensors, so that other tools can open the file:

    8 bytes   length of the header, little-endian
    header    JSON, padded with spaces to a multiple of 8 bytes
              {"__metadata__": {name: string}, tensor: {"dtype", "shape", "data_offsets": [begin, end]}, ...}
    data      the tensors' little-endian bytes in C order, in the header's order, without holes or overlaps

The metadata hold `format` ("fastlm"), `version` ("1") and `sha256`: the SHA-256 of the whole file with the
digest's own 64 characters read as zeros. The digest finds accidents. Whoever makes a hostile file can compute its
digest, so everything else is checked as well.
"""

import json
import math
import os
import re
import reprlib
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, BinaryIO, NoReturn

import numpy as np

from fastlm.files.atomic import check_writable, replace

__all__ = ["ModelFileError", "check_writable", "load", "save"]

FORMAT = "fastlm"
VERSION = "1"
RESERVED = ("format", "version", "sha256")
DTYPES = {name: np.dtype(code) for name, code in
          (("F64", "<f8"), ("I64", "<i8"), ("F32", "<f4"), ("I32", "<i4"), ("I8", "|i1"), ("U8", "|u1"))}
MAX_HEADER = 64 << 20
MAX_STRUCTURE = 256 << 10      # header bytes outside strings: limits what parsing a hostile header can cost
MAX_AXES = 32
_DIGEST_KEY = b'"sha256":"'    # occurs once: inside a JSON string its quotes would be escaped
_NO_DIGEST = b"0" * 64
_FOREIGN = ((rb"PK\x03\x04", "a zip archive"), (rb"\x80[\x02-\x05]", "a Python pickle"),
            (rb"\x1f\x8b", "a gzip file"), (rb"\x93NUMPY", "a NumPy array file"), (rb"GGUF", "a GGUF file"),
            (rb"[\t\n\r -~]{8}", "text"))


class ModelFileError(ValueError):
    """Is raised for a file that is not a sound model file; names the file, the value and what was expected."""


def save(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray],
         metadata: Mapping[str, str]) -> None:
    """Write arrays and strings to one file, which is replaced whole or stays as it was.

    path: the file to write, replaced if it exists (a link stays a link; its target is replaced).
    tensors: {name: array of any shape}; float32, float64, int32, int64, int8 or uint8; floats have to be finite.
    metadata: {name: string}; `format`, `version` and `sha256` are added here and may not be given.

    The same tensors and metadata give the same bytes, in any order. Raises ValueError for what a file cannot hold, and
    OSError where it cannot be written; the old file is then as it was and no other file is left.

    Example: save("my.fastlm", {"weight": np.zeros((3, 2), np.float32)}, {"unit": "word"})
    """
    arrays = _check_and_sort(tensors)
    header = _header(arrays, metadata)

    import hashlib  # here, since it costs `import fastlm` 4 ms

    def write(file: BinaryIO) -> None:
        start = len(header).to_bytes(8, "little") + header
        file.write(start)
        digest = hashlib.sha256(start)
        for array in arrays.values():
            flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
            file.write(flat.data)
            digest.update(flat.data)
        file.seek(start.index(_DIGEST_KEY) + len(_DIGEST_KEY))
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
    except _Fault as fault:
        raise ModelFileError(f"{path} {fault}") from None


def _check_and_sort(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors in the order of the file: larger items first, so that each is aligned to its item size.

    Raises ValueError for an array that a file cannot hold.
    """
    for name, array in tensors.items():
        if not isinstance(array, np.ndarray) or array.dtype not in DTYPES.values():
            given = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"tensor {name!r} is {given}, expected an array of "
                             "float64, int64, float32, int32, int8 or uint8")
        if (index := _first_not_finite(array)) is not None:
            raise ValueError(f"tensor {name!r} has {array.flat[index]} at index {index}, "
                             "expected finite numbers")
    return dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the padded header with zeros for its digest. Raises ValueError for a header that `load` would refuse."""
    for name, value in metadata.items():
        if name in RESERVED or not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"metadata {name!r}: {reprlib.repr(value)} cannot be kept, expected strings "
                             f"under names other than {', '.join(RESERVED)}")
    reserved = {"format": FORMAT, "version": VERSION, "sha256": _NO_DIGEST.decode()}
    entries: dict[str, Any] = {"__metadata__": reserved | dict(sorted(metadata.items()))}
    end = 0
    for name, array in arrays.items():
        if not isinstance(name, str) or name in entries:
            raise ValueError(f"tensor name {name!r} cannot be kept, "
                             "expected a string other than '__metadata__'")
        code = next(code for code, dtype in DTYPES.items() if dtype == array.dtype)
        entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    try:
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("the names and strings of a model file cannot be written as UTF-8: "
                         f"{error.object[error.start:error.end]!r}") from None
    header = text + b" " * (-len(text) % 8)
    try:
        list(_layout(_parse(header)[0], end))
    except _Fault as fault:
        raise ValueError(f"the model file {fault}") from None
    return header


class _Fault(Exception):
    """Says what is wrong with a file, in a sentence without the name of the file, with which it begins."""


def _read(file: BufferedReader, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    start = file.read(8)
    if len(start) < 8:
        raise _Fault(f"is not a model file: it is {size} bytes long, expected at least 8")
    length = int.from_bytes(start, "little")
    limit = min(size - 8, MAX_HEADER)
    if not 8 <= length <= limit or length % 8:
        if kind := next((kind for start_of_kind, kind in _FOREIGN if re.match(start_of_kind, start)), ""):
            raise _Fault(f"is not a model file: it looks like {kind}")
        raise _Fault(f"is cut short or not a model file: its header would take {length} bytes, "
                     f"expected a multiple of 8 up to {limit}")
    import hashlib

    header = file.read(length)
    if header[:1] != b"{":
        raise _Fault(f"is not a model file: its header starts with {header[:1]!r}, expected b'{{'")
    entries, metadata = _parse(header)
    layout = list(_layout(entries, size - 8 - length))
    digest = hashlib.sha256(start)
    digest.update(_without_digest(header, metadata["sha256"]))
    tensors = {}
    for name, dtype, shape in layout:
        array = np.empty(shape, dtype)
        flat = array.reshape(-1).view(np.uint8)
        if file.readinto(flat.data) != flat.size:
            raise _Fault(f"was cut short while it was read: tensor {reprlib.repr(name)} is not whole")
        digest.update(flat.data)
        tensors[name] = array
    if digest.hexdigest() != metadata["sha256"]:
        raise _Fault(f"is damaged: its SHA-256 is {digest.hexdigest()}, expected {metadata['sha256']}")
    for name, array in tensors.items():
        if (index := _first_not_finite(array)) is not None:
            raise _Fault(f"has {array.flat[index]} at index {index} of tensor {reprlib.repr(name)}, "
                         "expected finite numbers")
    for name in RESERVED:
        del metadata[name]
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False)
            for name, array in tensors.items()}, metadata


def _parse(header: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entries of the tensors and the metadata in a header, whose three reserved names are checked."""
    if len(header) > MAX_HEADER:
        raise _Fault(f"has a header of {len(header)} bytes, expected at most {MAX_HEADER}")
    structure = len(re.sub(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?', b"", header.rstrip(b" ")))
    if structure > MAX_STRUCTURE:
        raise _Fault(f"has {structure} bytes of structure in its header, expected at most {MAX_STRUCTURE}")
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(entries, ensure_ascii=False).encode("utf-8")            # finds escaped lone surrogates
    except RecursionError:
        raise _Fault("has a header nested too deeply, expected two levels") from None
    except ValueError as error:
        raise _Fault(f"has a header that is not UTF-8 JSON: {reprlib.repr(str(error))}") from None
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise _Fault("is a safetensors file of something else: its metadata lack the format 'fastlm'")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise _Fault(f"has {reprlib.repr(value)} as metadata {reprlib.repr(name)}, expected a string")
    if metadata.get("version") != VERSION:
        raise _Fault(f"has format version {reprlib.repr(metadata.get('version'))}, expected '1': "
                     "a newer fastlm wrote it or it is damaged")
    if not re.fullmatch("[0-9a-f]{64}", metadata.get("sha256", "")):
        raise _Fault(f"has the digest {reprlib.repr(metadata.get('sha256'))}, expected 64 hexadecimal digits")
    return entries, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Fault(f"has the name {reprlib.repr(name)} twice in its header, expected once")
        found[name] = value
    return found


def _no_constant(constant: str) -> NoReturn:
    raise _Fault(f"has {constant} in its header, expected finite numbers")


def _layout(entries: dict[str, Any], data_size: int) -> Iterator[tuple[str, np.dtype, tuple[int, ...]]]:
    """Yield the name, dtype and shape of each tensor in the order of the data, which they have to fill exactly."""
    end = 0
    for name, entry in entries.items():
        who = f"tensor {reprlib.repr(name)}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise _Fault(f"has {reprlib.repr(entry)} for {who}, expected dtype, shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in DTYPES:
            raise _Fault(f"has dtype {reprlib.repr(code)} for {who}, expected one of {', '.join(DTYPES)}")
        dtype = DTYPES[code]
        if not _are_counts(shape) or len(shape) > MAX_AXES:
            raise _Fault(f"has shape {reprlib.repr(shape)} for {who}, "
                         f"expected at most {MAX_AXES} whole numbers")
        if not _are_counts(offsets) or len(offsets) != 2:
            raise _Fault(f"has data_offsets {reprlib.repr(offsets)} for {who}, expected two whole numbers")
        # NumPy multiplies the extents without the zeros, so an empty array can be too large as well.
        if math.prod(extent or 1 for extent in shape) * dtype.itemsize >= 1 << 63:
            raise _Fault(f"has shape {reprlib.repr(shape)} for {who}, expected fewer than 2^63 bytes")
        expected = [end, end + math.prod(shape) * dtype.itemsize]
        if offsets != expected:
            raise _Fault(f"has data_offsets {reprlib.repr(offsets)} for {who}, expected {expected}: "
                         "tensors follow each other without holes or overlaps")
        end = expected[1]
        if end > data_size:
            raise _Fault(f"is cut short: {who} ends at byte {end} of its data, expected at most {data_size}")
        yield name, dtype, tuple(shape)
    if end != data_size:
        raise _Fault(f"has {data_size} bytes of data, expected {end}: its tensors take no more")


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _without_digest(header: bytes, digest: str) -> bytes:
    """Return the header with zeros in place of the digest's 64 characters."""
    entry = _DIGEST_KEY + digest.encode()
    if header.count(entry) != 1:
        raise _Fault(f"has {header.count(entry)} digests in its header, expected 1")
    return header.replace(entry, _DIGEST_KEY + _NO_DIGEST)


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
