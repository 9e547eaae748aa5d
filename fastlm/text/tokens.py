"""What a token of each unit is, and checks of the tokens that a caller gives."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

UNITS = ("word", "char", "byte", "piece")
TOKENIZER = "tokenizer"   # the unit of a vocabulary whose tokenizer the user brought
RAW_UNITS = ("byte", "piece")   # those that can write any bytes; the others only UTF-8 without NUL
UNKNOWN = "<unk>"
NEWLINE = "\n"
END = "<end>"   # the name of the token that ends a document; in a text this is a word like any other
BYTES = tuple(bytes([value]).decode("utf-8", "surrogateescape") for value in range(256))

# One token of each unit. A word may hold any character but ASCII whitespace: U+00A0 and U+2028 do not end it. Words of
# ARPA files may hold vertical tabs and form feeds too, and a vocabulary that has such words is not parted at them.
_TOKEN = {
    "word": r"(?=[\v\f]*[^\v\f])[^\0 \t\n\r\ud800-\udfff]+|\n",
    "char": r"[^\0\ud800-\udfff]|<unk>",
    "byte": r"[\0-\x7f\udc80-\udcff]",
    "piece": r"(?s:[^\ud800-\udc7f\udd00-\udfff]+)",
    TOKENIZER: r"(?s:[^\ud800-\udc7f\udd00-\udfff]+)",
}
_EXPECTED = {
    "word": "no word: it is empty, or has whitespace, a NUL or half a surrogate pair in it",
    "char": f"no character: one code point, not NUL, not half a surrogate pair; or {UNKNOWN}",
    "byte": "no byte",
    "piece": "no piece: it is empty, or has half a surrogate pair in it that stands for no byte",
    TOKENIZER: "no token: it is empty, or has half a surrogate pair in it that stands for no byte",
}


def by_id(tokens_by_id: Mapping[int, str] | Sequence[str | None]) -> list[str | None]:
    """Return the tokens as a list, None at a gap; ValueError or TypeError for what gives no such list."""
    if not isinstance(tokens_by_id, Mapping):
        if isinstance(tokens_by_id, str | bytes):
            raise TypeError(f"tokens_by_id is a {type(tokens_by_id).__name__}; expected a list or a mapping")
        tokens = list(tokens_by_id)
    else:
        for id in tokens_by_id:
            if isinstance(id, bool) or not isinstance(id, int | np.integer) or not 0 <= id < 2**31:
                raise ValueError(f"{id!r} is not an id: an integer from 0 to {2**31 - 1}")
        tokens = [None] * (max(tokens_by_id, default=-1) + 1)
        for id, token in tokens_by_id.items():
            tokens[id] = token
    if all(token is None for token in tokens):
        raise ValueError("a vocabulary has at least one token")
    return tokens


def insert_end(tokens: list[str], counts: np.ndarray, documents: int) -> tuple[list[str], np.ndarray, int]:
    """Add the token that ends a document, which occurs `documents` times, where its count belongs.

    tokens, counts (V,): the most frequent first. Returns the tokens, the counts (V+1,) and the id of the new token; ids
    from this one on have moved up by one.

    >>> insert_end(["a", "b"], np.array([5, 2]), 3)[::2]
    (['a', '<end>', 'b'], 1)
    """
    at = int(np.searchsorted(-counts, -documents, side="right"))
    return [*tokens[:at], END, *tokens[at:]], np.insert(counts, at, documents), at


def ids_of(tokens: list[str | None], unit: str, end: int | None = None) -> dict[str, int]:
    """Return the id of every token but `end`, which no text contains; ValueError for a token that the unit does not
    have, or that is there twice."""
    ids: dict[str, int] = {}
    fits = re.compile(_TOKEN[unit]).fullmatch
    for id, token in enumerate(tokens):
        if token is None or id == end:
            continue
        if not isinstance(token, str):
            raise TypeError(f"the token of id {id} is a {type(token).__name__}; expected a str")
        if not fits(token):
            raise ValueError(f"the token {token!r} of id {id} is {_EXPECTED[unit]}")
        if ids.setdefault(token, id) != id and unit != TOKENIZER:
            raise ValueError(f"the token {token!r} has two ids, {ids[token]} and {id}")
    if unit == "byte" and tuple(ids) != BYTES:
        raise ValueError(f"a byte vocabulary has the 256 bytes in order as its tokens, not these {len(ids)}")
    return ids
