"""Which format a file has: by its name, or by how it begins."""

import os
import re

from fastlm.text.sources.arrow_files import ARROW, PARQUET, STREAM
from fastlm.text.sources.reading import Reading

_BY_NAME = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}
_PACKED = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".zstd")
_LIKE_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"')
_LIKE_HEADER = re.compile(r"[A-Za-z_][\w .\-]{0,40}")
_TEXT_NAMES = {"text", "texts", "sentence", "content", "document", "review", "comment", "body", "message", "abstract"}


def format_of(name: str, head: bytes, reading: Reading, unit: str) -> str:
    """Return the format of a file that begins with some bytes, uncompressed; "like-json" where only these look like
    JSON."""
    if reading.format != "auto":
        return reading.format
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith(ARROW) or (head.startswith(STREAM) and unit != "byte"):
        return "arrow"
    by_name = _BY_NAME.get(ending(name))
    if by_name is not None:
        return by_name
    if _LIKE_JSON.match(head):
        return "like-json"
    return _delimited_format(head, reading.text_key) or "text"


def ending(name: str) -> str:
    """Return the ending of a file's name in small letters, without that of its compression.

    >>> ending("a/TEXTS.CSV.gz")
    '.csv'
    """
    stem, last = os.path.splitext(name.lower().rstrip("'\""))   # names of members are in quotes
    return os.path.splitext(stem)[1] if last in _PACKED else last


def _delimited_format(head: bytes, text_key: str | None) -> str | None:
    """Return "csv" or "tsv" where the first line of a file without a telling name names columns, one of them the text,
    and the second has as many values at least; None otherwise."""
    lines = head.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    if len(lines) < 2:
        return None
    for mark, kind in (("\t", "tsv"), (",", "csv"), (";", "csv")):
        names = [name.strip('"') for name in lines[0].split(mark)]
        wanted = {text_key} if text_key is not None else _TEXT_NAMES
        if len(names) > 1 and all(map(_LIKE_HEADER.fullmatch, names)) and lines[1].count(mark) >= len(names) - 1 and (
                wanted & (set(names) if text_key is not None else {name.lower() for name in names})):
            return kind
    return None
