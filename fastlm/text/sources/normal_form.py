"""Unicode normalisation, at the speed of a check where the text is normalised already, as nearly all text is."""

import unicodedata
from typing import Literal, cast

import numpy as np

BLOCK = 1 << 20           # bytes looked at together

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def normalized(text: bytes, form: str | None, block: int = BLOCK) -> bytes:
    """Return UTF-8 in a normalisation form, the same object where nothing changes; None for any text as it is.

    Bytes that are not UTF-8 stay as they are. block: how many bytes are looked at together, 4 or more.

        >>> normalized("e\u0301".encode(), "NFC") == "é".encode()
        True
    """
    if form is None or text.isascii():
        return text
    parts: list[bytes] = []
    begin = 0
    while begin < len(text):
        end = _cut(text, begin + block, block)
        part = text[begin:end]
        parts.append(part if part.isascii() else _normalized(part, form))
        begin = end
    out = b"".join(parts)
    return text if out == text else out


def normalized_string(text: str, form: str | None) -> str:
    """Return a string in a normalisation form; None for any string as it is."""
    if form is None or text.isascii():
        return text
    return unicodedata.normalize(cast(Form, form), text)


def _normalized(part: bytes, form: str) -> bytes:
    string = part.decode("utf-8", "surrogateescape")
    if unicodedata.is_normalized(cast(Form, form), string):
        return part
    return unicodedata.normalize(cast(Form, form), string).encode("utf-8", "surrogateescape")


def _cut(text: bytes, end: int, block: int) -> int:
    """Return a place near `end`, or the end of the text, before an ASCII character: what follows never changes what
    stands before it, since ASCII characters are starters that are not the second part of any composition. The place is
    in the block before `end`, or else in one after it.
    """
    if end >= len(text):
        return len(text)
    for begin in (end - (block >> 8), end - block + 1):   # most texts have one near the end
        ascii_at = np.flatnonzero(np.frombuffer(text[begin:end], np.uint8) < 0x80)
        if len(ascii_at):
            return begin + int(ascii_at[-1])
    return _cut(text, end + block, block)
