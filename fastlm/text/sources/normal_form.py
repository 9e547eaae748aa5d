"""Unicode normalisation, at the speed of a check where the text is normalised already, as nearly all text is."""

import unicodedata
from typing import Literal, cast

import numpy as np

_BLOCK = 1 << 20          # bytes looked at together
_LOOK_BACK = 1 << 12      # bytes in which a place to cut is looked for first

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def normalized(text: bytes, form: str | None) -> bytes:
    """Return UTF-8 in a normalisation form, the same object where nothing changes; None for any text as it is.

    Bytes that are not UTF-8 stay as they are.

        >>> normalized("e\u0301".encode(), "NFC") == "é".encode()
        True
    """
    if form is None or text.isascii():
        return text
    parts: list[bytes] = []
    begin = 0
    while begin < len(text):
        end = _cut(text, begin + _BLOCK)
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


def _cut(text: bytes, end: int) -> int:
    """Return a place near `end`, or the end of the text, before an ASCII character: what follows never changes what
    stands before it, since ASCII characters are starters that are not the second part of any composition."""
    if end >= len(text):
        return len(text)
    for begin in (end - _LOOK_BACK, end - _BLOCK + 1):
        ascii_at = np.flatnonzero(np.frombuffer(text[begin:end], np.uint8) < 0x80)
        if len(ascii_at):
            return begin + int(ascii_at[-1])
    return _cut(text, end + _BLOCK)
