"""Which encoding bytes that are not UTF-8 may be in: a rule of thumb for messages, by which nothing is ever read."""

import codecs
from collections.abc import Iterator
from itertools import pairwise

_SAMPLE = 1 << 16         # bytes that are looked at, around the first fault
_BOMS = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
_NUL_SHARE = 0.2          # NULs among the even, or the odd, bytes of UTF-16; one space or newline in five characters
_OTHER_NULS = 0.1         # NULs at the other places, of letters outside Latin 1 such as U+0100, beside those
_ENOUGH = 0.9             # share of the bytes above 127 that have to be as an encoding has them
_KANA = 0.15              # share of kana among Japanese characters, which other languages do not have
_HANGUL = 0.97            # share of Korean pairs whose first byte is of the table of syllables
_LOW_TRAILS = 0.2         # share of pairs of Big5 whose second byte is below 128
_PAIRED = 0.95            # share of high bytes that stand in pairs where every character has two bytes
_LOWER_CASE = 0.7         # share of small letters in Cyrillic text


def likely_encoding(text: bytes) -> str | None:
    """Return the name of the encoding that a text, which is not UTF-8, looks most like, as `bytes.decode` takes it;
    None where nothing fits.

    UTF-16 and UTF-32 are told by their byte order mark, or by NULs at every other byte; Shift-JIS, EUC-JP, Big5,
    EUC-KR and GB18030 by their pairs of bytes, Japanese by its kana; KOI8-R and windows-1251 by Cyrillic words, in
    which small letters are more frequent than capitals; and what is left is cp1252 where single bytes above 127 stand
    among ASCII letters. Which of the other encodings of European languages it is cannot be told by such a rule.

    >>> likely_encoding("ça va, le café ?".encode("cp1252")), likely_encoding("the".encode("utf-16-le"))
    ('cp1252', 'utf-16-le')
    """
    for name, marks in _BOMS:
        if text.startswith(marks):
            return name
    sample = text[:_SAMPLE]
    if 0 in sample:
        return _utf16(sample)
    for name, fits in _TESTS:
        if fits(sample) and _decodes(sample, name):
            return name
    return None


def hint(text: bytes, at: int) -> str:
    """Return the part of a message that names the encoding that bytes with a fault at an offset look like, or ""."""
    begin = 0 if at < _SAMPLE // 2 else (at - _SAMPLE // 2) & ~3   # in step with the pairs of UTF-16 and UTF-32
    name = likely_encoding(text[begin: begin + _SAMPLE])
    return "" if name is None else f'it looks like {name}, which encoding="{name}" (--encoding {name}) reads; '


def _utf16(sample: bytes) -> str | None:
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    name = "utf-16-le" if odd > even else "utf-16-be"
    most, other = max(even, odd), min(even, odd)
    told = most > 1 and most >= _NUL_SHARE * half and other <= _OTHER_NULS * most
    return name if told and _decodes(sample, name) else None


def _decodes(sample: bytes, name: str) -> bool:
    """Return whether bytes are of an encoding, but for a character that is cut at the end."""
    try:
        codecs.getincrementaldecoder(name)("strict").decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _pairs(sample: bytes) -> Iterator[tuple[int, int]]:
    """Yield (first byte, second byte) of characters of two bytes, of which the first is above 127; the second is -1
    where it is none that any such encoding has."""
    at = 0
    while at < len(sample):
        if sample[at] < 0x80:
            at += 1
            continue
        trail = sample[at + 1] if at + 1 < len(sample) else 0x40
        yield (sample[at], trail) if trail >= 0x40 and trail != 0x7F else (sample[at], -1)
        at += 2 if trail >= 0x40 else 1


def _share(sample: bytes, lead: range, trail: range, of: tuple[range, range]) -> float:
    """Return the share of the pairs of an alphabet, its ranges of both bytes, that lie in narrower ranges; 0 where
    fewer than `_PAIRED` of the high bytes are in such pairs."""
    found = list(_pairs(sample))
    inside = [pair for pair in found if pair[0] in of[0] and pair[1] in of[1]]
    if not found or len(inside) < _PAIRED * len(found):
        return 0.0
    return sum(1 for first, second in inside if first in lead and second in trail) / len(inside)


_NOT_CP1252 = b"\x81\x8d\x8f\x90\x9d\xff"   # that stand for nothing, or for a letter that hardly any word has
_EUC = (range(0xA1, 0xFF), range(0xA1, 0xFF))
_BIG5 = (range(0xA1, 0xFA), range(0x40, 0xFF))


def _is_shift_jis(sample: bytes) -> bool:
    """Count kana, 0x829F..0x8396, among all pairs, of which most begin with 0x81..0x9F or 0xE0..0xEA."""
    found = list(_pairs(sample))
    japanese = sum(1 for first, _ in found if 0x81 <= first <= 0x9F or 0xE0 <= first <= 0xEA)
    kana = sum(1 for first, second in found if first in (0x82, 0x83) and second != -1)
    return bool(found) and japanese >= _ENOUGH * len(found) and kana >= _KANA * len(found)


def _is_euc_jp(sample: bytes) -> bool:
    return _share(sample, range(0xA4, 0xA6), range(0xA1, 0xF7), _EUC) >= _KANA


def _is_euc_kr(sample: bytes) -> bool:
    syllables = _share(sample, range(0xB0, 0xC9), range(0xA1, 0xFF), _EUC)
    return syllables + _share(sample, range(0xA1, 0xA4), range(0xA1, 0xFF), _EUC) >= _HANGUL


def _is_big5(sample: bytes) -> bool:
    frequent = range(0xA1, 0xC7)   # marks, and the 5,401 characters of the first level
    low = _share(sample, frequent, range(0x40, 0x7F), _BIG5)
    return low >= _LOW_TRAILS and low + _share(sample, frequent, range(0xA1, 0xFF), _BIG5) >= _ENOUGH


def _is_gb18030(sample: bytes) -> bool:
    """Count characters of the first level of GB 2312, 0xB0..0xD7, and marks and full-width forms, 0xA1..0xA3."""
    level = _share(sample, range(0xB0, 0xD8), range(0xA1, 0xFF), _EUC)
    return level + _share(sample, range(0xA1, 0xA4), range(0xA1, 0xFF), _EUC) >= _ENOUGH


def _cyrillic(sample: bytes, small: range) -> bool:
    """Return whether most bytes above 127 are letters, side by side, and most of these in the range of small ones."""
    high = [byte for byte in sample if byte >= 0x80]
    letters = sum(1 for byte in high if byte >= 0xC0)
    beside = sum(1 for one, other in pairwise(sample) if one >= 0xC0 and other >= 0xC0)
    return bool(high) and letters >= _ENOUGH * len(high) and 2 * beside > letters and (
        sum(1 for byte in high if byte in small) >= _LOWER_CASE * letters)


def _is_cp1252(sample: bytes) -> bool:
    """Count letters and typographic marks with ASCII on at least one side; a run of other bytes is no text."""
    padded = b" " + sample + b" "
    high = [n for n in range(1, len(padded) - 1) if padded[n] >= 0x80]
    fit = sum(1 for n in high if padded[n] not in _NOT_CP1252 and (padded[n - 1] < 0x80 or padded[n + 1] < 0x80))
    controls = sum(1 for byte in sample if byte < 0x20 and byte not in b"\t\n\v\f\r\x1b")
    return bool(high) and not controls and fit >= _ENOUGH * len(high)


_TESTS = (
    ("shift_jis", _is_shift_jis),
    ("euc_jp", _is_euc_jp),
    ("euc_kr", _is_euc_kr),
    ("big5", _is_big5),
    ("gb18030", _is_gb18030),
    ("cp1251", lambda sample: _cyrillic(sample, range(0xE0, 0x100))),
    ("koi8_r", lambda sample: _cyrillic(sample, range(0xC0, 0xE0))),
    ("cp1252", _is_cp1252),
)
