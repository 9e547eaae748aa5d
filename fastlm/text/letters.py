"""Which tokens are letters of words, for n-grams that know the word being spelt."""

from collections.abc import Sequence

from fastlm.text.tokens import TOKENIZER

# Blocks of Unicode whose scripts have no spaces between words, each as its first and last code point.
UNSPACED = (
    (0x0E00, 0x0EFF),     # Thai, Lao
    (0x1000, 0x109F),     # Myanmar
    (0x1780, 0x17FF),     # Khmer
    (0x3005, 0x3007),     # marks of ideographs
    (0x3040, 0x309F),     # hiragana
    (0x3400, 0x4DBF),     # ideographs, extension A
    (0x4E00, 0x9FFF),     # ideographs
    (0xF900, 0xFAFF),     # ideographs for compatibility
    (0x20000, 0x3FFFF),   # ideographs, further extensions
)
_JOINERS = ("\u200c", "\u200d")   # between letters that are written apart, or together


def letters_of(tokens: Sequence[str | None], unit: str, end: int | None = None) -> list[int] | None:
    """Return the letters of tokens of a unit, as `Vocabulary.letters` says; end: the id that ends a document."""
    if unit == "word":
        return None
    if unit in ("piece", TOKENIZER):
        return piece_letters(tokens, end)
    number: dict[str, int] = {}
    part = [token is not None and len(token) == 1 and (is_word_part(token) or (unit == "byte" and id > 127))
            for id, token in enumerate(tokens)]
    return [number.setdefault((token or "").lower(), len(number) + 1) if is_part else 0
            for token, is_part in zip(tokens, part, strict=True)]


def piece_letters(tokens: Sequence[str | None], end: int | None) -> list[int]:
    """Return for every piece a number above 0 where it goes on with a word, below 0 where it begins one with a blank,
    the same for both cases; 0 where it is no part of a word, as the piece `end` is, which ends a document.

    >>> piece_letters([" The", "the", "re", " 12", "!", "'s"], None)
    [-1, 1, 2, 0, 0, 3]
    """
    number: dict[str, int] = {}
    out = []
    for id, token in enumerate(tokens):
        begins = token is not None and len(token) > 1 and token[0] == " "
        letters = (token or "")[begins:].lower()
        last = letters[-1:]
        is_part = id != end and (last.isalpha() or is_mark(last) or "\udc80" <= last <= "\udcff")
        code = number.setdefault(letters, len(number) + 1) if is_part else 0
        out.append(-code if begins else code)
    return out


def is_word_part(character: str) -> bool:
    """Return whether a character goes on with a word: letters, the apostrophe and marks of letters; but not those of
    scripts that have no spaces between words.

    >>> [is_word_part(character) for character in "a' \u0915\u093f\u4e2d"]
    [True, True, False, True, True, False]
    """
    return character == "'" or ((character.isalpha() or is_mark(character)) and not is_unspaced(character))


def is_mark(character: str) -> bool:
    """Return whether a character belongs to the letter before it: accents, the vowel signs of Arabic, Hebrew and the
    scripts of India, and the joiners within words of these. `str.isalpha` is false for them.

    >>> [is_mark(character) for character in "a\u0301\u0650\u093f\u200c-"]
    [False, True, True, True, True, False]
    """
    from unicodedata import category  # half a megabyte that most programs never need

    return character in _JOINERS or (character >= "\u0300" and category(character)[0] == "M")


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script that has no spaces between words.

    >>> [is_unspaced(character) for character in "a\u6f22\u304b\u30ab\uac00"]
    [False, True, True, False, False]
    """
    return any(first <= ord(character) <= last for first, last in UNSPACED)
