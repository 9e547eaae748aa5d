"""The header of model files: what it says about the arrays, written, read and checked.

`modelfile` describes the layout. Nothing here trusts a header: lengths, names and numbers are checked before memory is
taken for what they describe.
"""

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

FORMAT = "fastlm"
VERSION = "2"
RESERVED = ("format", "version", "sha256")
# {name in files: dtype}, of each version. Version 1 has the first six.
DTYPES = {name: np.dtype(code) for name, code in (
    ("F64", "<f8"), ("I64", "<i8"), ("F32", "<f4"), ("I32", "<i4"), ("I8", "|i1"), ("U8", "|u1"),
    ("U64", "<u8"), ("U32", "<u4"), ("F16", "<f2"), ("U16", "<u2"), ("I16", "<i2"))}
VERSIONS = {"1": dict(list(DTYPES.items())[:6]), "2": DTYPES}
# Bytes that the data of version 2 begin at a multiple of: a line of the processor's cache, and its widest vector.
LINE = {"1": 8, "2": 64}
MAX_HEADER = 64 << 20
MAX_STRUCTURE = 256 << 10      # header bytes outside strings: limits what parsing a hostile header can cost
MAX_AXES = 32
DIGEST_KEY = b'"sha256":"'     # occurs once: inside a JSON string its quotes would be escaped
NO_DIGEST = b"0" * 64


class Fault(Exception):
    """Says what is wrong with a file, in a sentence without the name of the file, with which it begins."""


def build(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the length of the header and the padded header, with zeros for its digest.

    arrays: in the order of the file. Raises ValueError for a header that `parse` would refuse.
    """
    for name, value in metadata.items():
        if name in RESERVED or not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"metadata {name!r}: {reprlib.repr(value)} cannot be kept, expected strings "
                             f"under names other than {', '.join(RESERVED)}")
    reserved = {"format": FORMAT, "version": VERSION, "sha256": NO_DIGEST.decode()}
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
    header = text + b" " * (-(8 + len(text)) % LINE[VERSION])
    try:
        list(layout(*parse(header), end))
    except Fault as fault:
        raise ValueError(f"the model file {fault}") from None
    return len(header).to_bytes(8, "little") + header


def parse(header: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entries of the tensors and the metadata in a header, whose three reserved names are checked."""
    if len(header) > MAX_HEADER:
        raise Fault(f"has a header of {len(header)} bytes, expected at most {MAX_HEADER}")
    structure = len(re.sub(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?', b"", header.rstrip(b" ")))
    if structure > MAX_STRUCTURE:
        raise Fault(f"has {structure} bytes of structure in its header, expected at most {MAX_STRUCTURE}")
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(entries, ensure_ascii=False).encode("utf-8")            # finds escaped lone surrogates
    except RecursionError:
        raise Fault("has a header nested too deeply, expected two levels") from None
    except ValueError as error:
        raise Fault(f"has a header that is not UTF-8 JSON: {reprlib.repr(str(error))}") from None
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise Fault("is a safetensors file of something else: its metadata lack the format 'fastlm'")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise Fault(f"has {reprlib.repr(value)} as metadata {reprlib.repr(name)}, expected a string")
    if metadata.get("version") not in VERSIONS:
        raise Fault(f"has format version {reprlib.repr(metadata.get('version'))}, expected '1' or '2': "
                    "a newer fastlm wrote it or it is damaged")
    line = LINE[metadata["version"]]
    if (8 + len(header)) % line:
        raise Fault(f"has data that begin at byte {8 + len(header)}, expected a multiple of {line}")
    if not re.fullmatch("[0-9a-f]{64}", metadata.get("sha256", "")):
        raise Fault(f"has the digest {reprlib.repr(metadata.get('sha256'))}, expected 64 hexadecimal digits")
    return entries, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Fault(f"has the name {reprlib.repr(name)} twice in its header, expected once")
        found[name] = value
    return found


def _no_constant(constant: str) -> NoReturn:
    raise Fault(f"has {constant} in its header, expected finite numbers")


def layout(entries: dict[str, Any], metadata: dict[str, str],
           data_size: int) -> Iterator[tuple[str, np.dtype, tuple[int, ...], int]]:
    """Yield the name, dtype, shape and offset of each tensor in the order of the data, which they have to fill exactly.

    entries, metadata: as `parse` returns them. Offsets count from the beginning of the data.
    """
    dtypes, end = VERSIONS[metadata["version"]], 0
    for name, entry in entries.items():
        who = f"tensor {reprlib.repr(name)}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise Fault(f"has {reprlib.repr(entry)} for {who}, expected dtype, shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in dtypes:
            raise Fault(f"has dtype {reprlib.repr(code)} for {who}, expected one of {', '.join(dtypes)}")
        dtype, begin = dtypes[code], end
        if not _are_counts(shape) or len(shape) > MAX_AXES:
            raise Fault(f"has shape {reprlib.repr(shape)} for {who}, "
                        f"expected at most {MAX_AXES} whole numbers")
        if not _are_counts(offsets) or len(offsets) != 2:
            raise Fault(f"has data_offsets {reprlib.repr(offsets)} for {who}, expected two whole numbers")
        # NumPy multiplies the extents without the zeros, so an empty array can be too large as well.
        if math.prod(extent or 1 for extent in shape) * dtype.itemsize >= 1 << 63:
            raise Fault(f"has shape {reprlib.repr(shape)} for {who}, expected fewer than 2^63 bytes")
        end = begin + math.prod(shape) * dtype.itemsize
        if offsets != [begin, end]:
            raise Fault(f"has data_offsets {reprlib.repr(offsets)} for {who}, expected {[begin, end]}: "
                        "tensors follow each other without holes or overlaps")
        if end > data_size:
            raise Fault(f"is cut short: {who} ends at byte {end} of its data, expected at most {data_size}")
        if metadata["version"] != "1" and begin % dtype.itemsize:
            raise Fault(f"has {who} at byte {begin} of its data, expected a multiple of {dtype.itemsize}")
        yield name, dtype, tuple(shape), begin
    if end != data_size:
        raise Fault(f"has {data_size} bytes of data, expected {end}: its tensors take no more")


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def without_digest(header: bytes, digest: str) -> bytes:
    """Return the header with zeros in place of the digest's 64 characters."""
    entry = DIGEST_KEY + digest.encode()
    if header.count(entry) != 1:
        raise Fault(f"has {header.count(entry)} digests in its header, expected 1")
    return header.replace(entry, DIGEST_KEY + NO_DIGEST)
