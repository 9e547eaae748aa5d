"""Strings and bytes as the UTF-8 that scanners read, checked."""

from fastlm.text.scan import pieces
from fastlm.text.sources.guess import hint
from fastlm.text.tokens import RAW_UNITS

BOM = b"\xef\xbb\xbf"


def text_bytes(text: str | bytes, name: str, unit: str) -> bytes:
    """Return a string as UTF-8, once it is checked for NUL characters and lone surrogates, which words and characters
    cannot hold.

    For units "byte" and "piece", bytes are returned as they are, and U+DC80..U+DCFF stand for the bytes that `decode`
    made them from. Raises TypeError for anything but a string, and ValueError for such characters.
    """
    raw = unit in RAW_UNITS
    if isinstance(text, bytes | bytearray) and raw:
        return bytes(text)
    if not isinstance(text, str):
        wanted = "str or bytes" if raw else "str"
        raise TypeError(f'{name} is {a_kind(text)}; expected {wanted} for unit="{unit}"')
    try:
        encoded = text.encode("utf-8", "surrogateescape" if raw else "strict")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise ValueError(f"{name}: U+{code:04X} at position {error.start} is half a surrogate pair") from None
    if not raw and b"\0" in encoded:
        raise ValueError(f'{name}: NUL at position {text.index(chr(0))}; only unit="byte" and "piece" read those')
    return encoded


def without_bom(text: bytes, unit: str) -> bytes:
    """Return a text without the byte order mark that Windows programs put before it; bytes keep it."""
    return text[len(BOM):] if unit != "byte" and text.startswith(BOM) else text


def checked(text: bytes, name: str, offset: int, unit: str) -> bytes:
    """Return the bytes of a file, which stand at an offset of it, once they are checked to be UTF-8 without NUL; unit
    "byte" reads any. Pieces could be made of any bytes, but they are learnt from text.

    Raises ValueError that names the file, the offset of the first fault, and the encoding that it looks like.
    """
    if unit == "byte":
        return text
    nul = text.find(0)
    if nul >= 0:
        raise ValueError(f'{name}: NUL at offset {offset + nul}; {hint(text, nul)}only unit="byte" reads those')
    start = 0
    try:
        for start, piece in pieces(text):  # noqa: B007, the handler reads it
            str(piece, "utf-8")
    except UnicodeDecodeError as error:
        at = start + error.start
        place = f"byte 0x{text[at]:02X} at offset {offset + at}"
        raise ValueError(f'{name}: {place} is not UTF-8; {hint(text, at)}unit="byte" reads any bytes') from None
    return text


def is_file(item: object) -> bool:
    """Return whether an object is an open file: it can be read and closed."""
    return hasattr(item, "read") and hasattr(item, "close")


def is_missing(value: object) -> bool:
    """Return whether a value of a table stands for nothing: None, nan, or the NA of pandas.

    >>> [is_missing(value) for value in (None, float("nan"), "", 0)]
    [True, True, False, False]
    """
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, float) and value != value)


def a_kind(value: object) -> str:
    """Return what a value is, for a message: "a int", "None", "nan"."""
    return str(value) if is_missing(value) else f"a {type(value).__name__}"


def shown(text: str) -> str:
    """Return a text in quotes for a message, shortened, with control characters escaped."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
