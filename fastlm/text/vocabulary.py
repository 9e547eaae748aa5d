"""Tokens and their ids."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from fastlm._core import WordTable
from fastlm.text.counting import Tally, fill
from fastlm.text.pairs import Ids, as_ids
from fastlm.text.scan import PIECE, IdBuffer, Scanner, char_scanner, scan_bytes, word_scanner
from fastlm.text.sources.normal_form import normalized
from fastlm.text.sources.reading import FORMS, Reading, check_choice
from fastlm.text.sources.strings import text_bytes, without_bom
from fastlm.text.tokens import NEWLINE, UNITS, UNKNOWN, by_id, ids_of

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


class Vocabulary:
    """The tokens of a language model and their ids.

    Words are what stands between ASCII whitespace, with "\\n" the token that ends a line; characters are code
    points; bytes are the 256 values themselves. `<unk>` stands for every token that is not there.

    tokens_by_id: a sequence of tokens, None where an id has none, or a mapping of ids to tokens; the size is
    the largest id + 1. counts: int64 (V,) occurrences where they are known; None for zeros. normalize: the Unicode
    normalisation form in which text is read, "NFC", "NFD", "NFKC" or "NFKD"; None for text as it is written.
    Attributes: tokens (a list, None at a gap), counts, unit, normalize, and the ids `unknown` (of `<unk>`) and
    `end_of_line` (of "\\n"), None where there is none. A vocabulary is never changed.
    Raises ValueError for a token that its unit cannot read or that is there twice, and for an id that is not an
    integer from 0 on.

        >>> vocabulary = Vocabulary({25: "I", 7: "am", 100: "a"})
        >>> vocabulary.encode("I am a"), len(vocabulary)
        (array([ 25,   7, 100], dtype=int32), 101)
    """

    def __init__(
        self,
        tokens_by_id: Mapping[int, str] | Sequence[str | None],
        unit: str = "word",
        counts: np.ndarray | Sequence[int] | None = None,
        normalize: str | None = None,
    ) -> None:
        check_choice("unit", unit, UNITS)
        if normalize is not None:
            check_choice("normalize", normalize, FORMS)
        self.unit, self.normalize = unit, normalize
        self.tokens = by_id(tokens_by_id)
        self._ids = ids_of(self.tokens, unit)
        self.counts = np.zeros(len(self), np.int64) if counts is None else np.array(counts, np.int64)
        if self.counts.shape != (len(self),) or (self.counts < 0).any():
            raise ValueError(f"counts {self.counts.shape} are not {len(self)} numbers from 0 on")
        self.counts.setflags(write=False)
        self.unknown = self._ids.get(UNKNOWN) if unit != "byte" else None
        self.end_of_line = self._ids.get(NEWLINE)

    @classmethod
    def build(
        cls,
        source: Any,
        unit: str = "word",
        min_count: int = 1,
        max_size: int | None = None,
        documents: str = "file",
        **reading: Any,
    ) -> Self:
        """Return the vocabulary of a source, the most frequent token first, ties in the order of their UTF-8.

        source, documents, and text_key, format, encoding, errors, normalize by name: as `read_documents` takes them.
        unit: "word", "char" or "byte". Tokens seen fewer than `min_count` times, or beyond `max_size` tokens in all,
        count as `<unk>`; it and the end of line are always there. A byte vocabulary has 256 ids, whatever the source
        is.
        Raises what `read_documents` raises, and ValueError for an empty source and for impossible limits.

            >>> Vocabulary.build(["a b a"]).tokens
            ['a', '\\n', 'b', '<unk>']
        """
        options = Reading.of(reading)
        tally, buffer, some = Tally(unit, min_count, max_size), IdBuffer(), False
        for _ in fill(source, documents, unit, tally.scan, tally.newline, buffer, options):
            if buffer.size > PIECE:
                tally.count(buffer.ids)
                some, buffer.size = True, 0
        tally.count(buffer.ids)
        if not some and not buffer.size:
            raise ValueError("the corpus is empty: there is no token in it")
        tokens, counts, _ = tally.choose()
        return cls(tokens, unit, counts, options.form(unit))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def boundary(self) -> int:
        """The id read before the first token of every document: the end of a line, or id 0 where there is none."""
        return 0 if self.end_of_line is None else self.end_of_line

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        same = (self.unit, self.normalize, self.tokens) == (other.unit, other.normalize, other.tokens)
        return same and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self._ids)} tokens, unit={self.unit!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_arrays, (*self.to_arrays(), self.normalize)

    def id(self, token: str) -> int:
        """Return the id of a token. Raises ValueError where there is none; there `encode` gives `<unk>`."""
        try:
            return self._ids[token]
        except KeyError:
            count = len(self._ids)
            raise ValueError(f"{token!r} is not among the {count} tokens of the vocabulary") from None

    def token(self, id: int) -> str:
        """Return the token of an id. Raises IndexError outside the vocabulary, ValueError at a gap."""
        if not 0 <= id < len(self):
            raise IndexError(f"id {id} is outside the vocabulary of {len(self)}")
        token = self.tokens[id]
        if token is None:
            raise ValueError(f"id {id} is a gap in the vocabulary: no token has it")
        return token

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the ids of a text, int32 (N,), one for every word and "\\n", character, or byte; nothing is added.

        Bytes are taken for unit "byte" only. Where the vocabulary has no "\\n", newlines in words are
        whitespace.
        Raises ValueError for a token that is not there where there is no `<unk>`, and for NUL characters and
        halves of surrogate pairs.
        """
        return self._encode(text_bytes(text, "the text", self.unit))

    def read(self, text: str | bytes) -> np.ndarray:
        """Return the ids of a text as it is read in training: those of `encode`, once the text is in the normalisation
        form of the vocabulary and without a byte order mark.

            >>> Vocabulary(["\\u00e9"], unit="char", normalize="NFC").read("e\\u0301").tolist()
            [0]
        """
        encoded = without_bom(text_bytes(text, "the text", self.unit), self.unit)
        return self._encode(normalized(encoded, self.normalize))

    def _encode(self, encoded: bytes) -> np.ndarray:
        buffer = IdBuffer()
        self.scan(encoded, buffer)
        ids = buffer.finish()
        self.settle(ids, "the text", encoded)
        return ids

    def decode(self, ids: Ids) -> str:
        """Return the text of ids (N,): words joined by spaces, with "\\n" as it is; characters; or bytes read as UTF-8.

        Bytes that are not UTF-8 become U+DC80..U+DCFF, which `encode` turns into the same bytes again.
        Raises IndexError for an id outside the vocabulary, ValueError for a gap.

            >>> Vocabulary(["a", "\\n", "b"]).decode([0, 0, 1, 2])
            'a a\\nb'
        """
        array = as_ids(ids, len(self))
        if self.unit == "byte":
            return array.astype(np.uint8).tobytes().decode("utf-8", "surrogateescape")
        tokens = [self.tokens[id] for id in array.tolist()]
        if None in tokens:
            n = tokens.index(None)
            raise ValueError(f"ids[{n}] = {array[n]} is a gap in the vocabulary: no token has it")
        if self.unit == "char":
            return "".join(tokens)
        return " ".join(tokens).replace(" \n", "\n").replace("\n ", "\n")

    def letters(self) -> list[int] | None:
        """Return for every id of characters or bytes a number above 0 where it is part of a word, the same for both
        cases, and else 0; None for words. Parts of words are letters, the apostrophe, and bytes of more than ASCII; but
        not the characters of scripts that have no spaces between words, in which a run of them is a sentence. A run of
        katakana is one word.

            >>> Vocabulary(["a", " ", "A", "b", "\u6f22", "\u30ab"], unit="char").letters()
            [1, 0, 1, 2, 0, 3]
        """
        if self.unit == "word":
            return None
        number: dict[str, int] = {}
        part = [token is not None and ((token.isalpha() and not is_unspaced(token)) or token == "'"
                                       or (self.unit == "byte" and id > 127))
                for id, token in enumerate(self.tokens)]
        return [number.setdefault((token or "").lower(), len(number) + 1) if is_part else 0
                for token, is_part in zip(self.tokens, part, strict=True)]

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        """Return the vocabulary as (blob uint8, offsets int64 (V+1,), counts int64 (V,), unit).

        The UTF-8 of token i is blob[offsets[i]:offsets[i+1]], nothing at a gap: no token is empty.
        """
        names = [(token or "").encode("utf-8", "surrogateescape") for token in self.tokens]
        offsets = np.zeros(len(names) + 1, np.int64)
        np.cumsum([len(name) for name in names], out=offsets[1:])
        return np.frombuffer(b"".join(names), np.uint8), offsets, self.counts, self.unit

    @classmethod
    def from_arrays(cls, blob: np.ndarray, offsets: np.ndarray, counts: np.ndarray, unit: str,
                    normalize: str | None = None) -> Self:
        """Return the vocabulary that `to_arrays` gave these for. Raises ValueError where they are of no vocabulary."""
        check_choice("unit", unit, UNITS)
        parts = (("blob", blob, "uint8"), ("offsets", offsets, "int64"), ("counts", counts, "int64"))
        for name, array, dtype in parts:
            if array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"{name} is {array.dtype} {array.shape}; expected one dimension of {dtype}")
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(blob) or (offsets[1:] < offsets[:-1]).any():
            raise ValueError(f"offsets do not rise from 0 to the {len(blob)} bytes of the blob")
        text, ends = blob.tobytes(), offsets.tolist()
        try:
            errors = "surrogateescape" if unit == "byte" else "strict"
            tokens = [text[a:b].decode("utf-8", errors) or None for a, b in pairwise(ends)]
        except UnicodeDecodeError as error:
            raise ValueError(f"the token {error.object!r} is not UTF-8") from None
        return cls(tokens, unit, counts, normalize)

    @cached_property
    def scan(self) -> Scanner:
        """A scanner that appends the ids of checked UTF-8 to a buffer, -1 where unknown; `settle` must follow."""
        if self.unit == "byte":
            return scan_bytes
        if self.unit == "word":
            blob, offsets, _, _ = self.to_arrays()
            newline = -1 if self.end_of_line is None else self.end_of_line
            return word_scanner(WordTable(blob, offsets).find, newline)
        ids = {ord(token): id for token, id in self._ids.items() if token != UNKNOWN}
        lookup = np.full(max(ids, default=-1) + 2, -1, np.int32)
        lookup[list(ids)] = list(ids.values())
        return char_scanner(lookup)

    def settle(self, ids: np.ndarray, name: str = "", text: bytes = b"") -> np.ndarray:
        """Replace every -1 that `scan` left in ids (N,) by the id of `<unk>`; return where they were, int64 (n,).

        Raises ValueError, naming the text and its first such token, where there is no `<unk>`.
        """
        missing = np.flatnonzero(ids < 0)
        if missing.size and self.unknown is None:
            n = int(missing[0])
            if self.unit == "word":
                pattern = rb"\S+" if self.end_of_line is None else rb"\S+|\n"
                token = re.findall(pattern, text)[n].decode()
            else:
                token = (text.decode() + NEWLINE)[n]
            raise ValueError(f"{name}: token {n}, {token!r}, is not in the vocabulary, nor is {UNKNOWN}")
        if missing.size:
            ids[missing] = self.unknown
        return missing


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script that has no spaces between words.

    >>> [is_unspaced(character) for character in "a\u6f22\u304b\u30ab\uac00"]
    [False, True, True, False, False]
    """
    return any(first <= ord(character) <= last for first, last in UNSPACED)
