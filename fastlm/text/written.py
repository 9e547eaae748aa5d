"""Tokens as arrays and texts hold them."""

import re
from itertools import pairwise

import numpy as np

from fastlm.text.tokens import NEWLINE, RAW_UNITS, TOKENIZER


def tokens_of_arrays(blob: np.ndarray, offsets: np.ndarray, counts: np.ndarray, unit: str) -> list[str | None]:
    """Return the tokens that `Vocabulary.to_arrays` gave these for. Raises ValueError where they are of none."""
    parts = (("blob", blob, "uint8"), ("offsets", offsets, "int64"), ("counts", counts, "int64"))
    for name, array, dtype in parts:
        if array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; expected one dimension of {dtype}")
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(blob) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets do not rise from 0 to the {len(blob)} bytes of the blob")
    text, ends = blob.tobytes(), offsets.tolist()
    try:
        errors = "surrogateescape" if unit in (*RAW_UNITS, TOKENIZER) else "strict"
        return [text[a:b].decode("utf-8", errors) or None for a, b in pairwise(ends)]
    except UnicodeDecodeError as error:
        raise ValueError(f"the token {error.object!r} is not UTF-8") from None


def token_at(text: bytes, n: int, unit: str, newline: bool, tabs_inside: bool) -> str:
    """Return token n of a text of words or characters.

    newline: whether "\\n" is a word; tabs_inside: whether vertical tabs and form feeds are parts of words.
    """
    if unit != "word":
        return (text.decode() + NEWLINE)[n]
    word = rb"[^ \t\n\r]+" if tabs_inside else rb"\S+"
    return re.findall(word + rb"|\n" if newline else word, text)[n].decode()
