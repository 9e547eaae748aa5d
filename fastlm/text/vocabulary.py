"""Tokens and their ids."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastlm._core import WordTable
from fastlm.text.letters import letters_of
from fastlm.text.pairs import Ids, as_ids
from fastlm.text.pieces import PieceSettings, encoder, piece_scanner
from fastlm.text.scan import PIECE, IdBuffer, Scanner, char_lookup, char_scanner, scan_bytes, word_scanner
from fastlm.text.sources.normal_form import normalized
from fastlm.text.sources.reading import FORMS, check_choice
from fastlm.text.sources.strings import text_bytes, without_bom
from fastlm.text.tokenizers.origin import Origin, check_origin
from fastlm.text.tokens import END, NEWLINE, RAW_UNITS, TOKENIZER, UNITS, UNKNOWN, by_id, ids_of, insert_end
from fastlm.text.written import token_at, tokens_of_arrays

if TYPE_CHECKING:
    from fastlm.text.counting import Tally
    from fastlm.text.tokenizers.given import GivenTally


class Vocabulary:
    """The tokens of a language model and their ids.

    Words are what stands between ASCII whitespace, with "\\n" the token that ends a line; characters are code points;
    bytes are the 256 values themselves. `<unk>` stands for every token that is not there. Pieces of words are runs of
    bytes, and every byte is one of them, so that nothing is unknown.

    tokens_by_id: a sequence of tokens, None where an id has none, or a mapping of ids to tokens; the size is
    the largest id + 1. counts: int64 (V,) occurrences where they are known; None for zeros. normalize: the Unicode
    normalisation form in which text is read, "NFC", "NFD", "NFKC" or "NFKD"; None for text as it is written.
    merges: of pieces, int32 (M, 3), see `text.pieces`. end_of_document: the id of the token that ends a document, which
    no text contains. origin: the tokenizer that a user brought, with unit "tokenizer" or "piece", where one did.
    Attributes: tokens (a list, None at a gap), counts, unit, normalize, merges, origin, `tokenizer_ids` (int32 (V,),
    those of the user's tokenizer, -1 for none), and the ids `unknown` (of `<unk>`), `end_of_line` (of "\\n") and
    `end_of_document`, None where there is none. A vocabulary is never changed. Raises ValueError for a token that its
    unit cannot read or that is there twice, and for an id that is not an integer from 0 on.

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
        merges: np.ndarray | None = None,
        end_of_document: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        check_choice("unit", unit, (*UNITS, TOKENIZER))
        if normalize is not None:
            check_choice("normalize", normalize, FORMS)
        self.unit, self.normalize = unit, normalize
        self.tokens = by_id(tokens_by_id)
        if end_of_document is not None and not 0 <= end_of_document < len(self.tokens):
            raise ValueError(f"end_of_document = {end_of_document} is outside the vocabulary of {len(self.tokens)}")
        self.end_of_document = end_of_document
        self._ids = ids_of(self.tokens, unit, end_of_document)
        if (merges is None) is (unit == "piece"):
            given = "missing" if merges is None else "given"
            raise ValueError(f"merges are {given} for unit={unit!r}; they belong to pieces")
        if merges is not None and (merges.dtype != np.int32 or merges.ndim != 2 or merges.shape[1] != 3):
            raise ValueError(f"merges are {merges.dtype} {merges.shape}; (M, 3) of int32 were expected")
        self.merges = merges
        cutting = "fastlm" if origin is None else origin.cutting
        self._pieces = None if merges is None else encoder(self._names(), merges, cutting)
        self.counts = np.zeros(len(self), np.int64) if counts is None else np.array(counts, np.int64)
        if self.counts.shape != (len(self),) or (self.counts < 0).any():
            raise ValueError(f"counts {self.counts.shape} are not {len(self)} numbers from 0 on")
        self.counts.setflags(write=False)
        self.origin = check_origin(origin, unit, len(self))
        self.tokenizer_ids = None if origin is None else origin.own_ids
        named = self._ids.get(UNKNOWN) if unit not in RAW_UNITS else None
        self.unknown = named if origin is None else origin.unknown
        self.end_of_line = self._ids.get(NEWLINE)

    @classmethod
    def build(
        cls,
        source: Any,
        unit: Any = "word",
        min_count: int = 1,
        max_size: int | None = None,
        documents: str = "file",
        pieces: PieceSettings | None = None,
        **reading: Any,
    ) -> Self:
        """Return the vocabulary of a source, the most frequent token first, ties in the order of their UTF-8.

        source, documents, and text_key, format, encoding, errors, normalize, memory by name: as `read_documents` takes
        them. unit: "word", "char", "byte", "piece", or a tokenizer, see `text.tokenizers`. Tokens seen fewer than
        `min_count` times, or beyond `max_size` tokens in all, count as `<unk>`; it and the end of line are always
        there. A byte vocabulary has 256 ids, whatever the source is; of pieces `max_size` are learnt, None for as many
        as `pieces` says (`text.pieces.PieceSettings`). Where there are several documents of characters or bytes that
        are not lines, or of pieces, one more token ends them. Raises what `read_documents` raises, and ValueError for
        an empty source, impossible limits, and different tokens that take more memory than half of it, or `memory`.

            >>> Vocabulary.build(["a b a"]).tokens
            ['a', '\\n', 'b', '<unk>']
        """
        from fastlm.text import counting, filling  # here, since a model that is loaded reads no source
        from fastlm.text.sources import containers, memory, token_lists

        tally, options = counting.tally_of(unit, min_count, max_size, pieces, reading)
        source = source if isinstance(source, filling.Opened) else containers.recognised(source)
        if isinstance(source, token_lists.IdLists):
            return cls(*token_lists.named_by_numbers(np.concatenate([as_ids(ids) for ids in source.documents])))
        filler, some, ended = filling.Filler(tally.unit, documents, tally.scan, tally.newline), False, 0
        for part in filling.parts_of(source, documents, tally.unit, options):
            filler.add(part)
            if filler.buffer.size > PIECE:
                tally.count(filler.buffer.ids)
                ended += sum(map(bool, filler.sizes)) - (filler.open and filler.sizes[-1] > 0)
                some = True
                filler.clear()
                memory.check_memory(tally.memory, options.most_memory, part.name, "different tokens", "a shorter text")
        filler.close()
        tally.count(filler.buffer.ids)
        ended += sum(map(bool, filler.sizes))
        if not some and not filler.buffer.size:
            raise ValueError("the corpus is empty: there is no token in it")
        return cls.of_tally(tally, documents, ended, options.form(tally.unit))[0]

    @classmethod
    def of_tally(cls, tally: "Tally | GivenTally", documents: str, ended: int,
                 normalize: str | None, fold: bool = False) -> tuple[Self, Any]:
        """Return the vocabulary of a tally, and what its provisional ids become: their ids int32, or for pieces a
        function of (segments, offsets) that returns ids and offsets.

        ended: how many documents, each of which is not empty, the text has. fold: see `Tally.choose`.
        """
        unit = tally.unit
        ends = ended > 1 and (unit in ("piece", TOKENIZER) or (unit != "word" and documents != "line"))
        if unit in ("piece", TOKENIZER):
            arguments, final = tally.arguments(ended if ends else 0)
            return cls(normalize=normalize, **arguments), final
        tokens, counts, final = tally.choose(fold)  # type: ignore[union-attr]
        if not ends:
            return cls(tokens, unit, counts, normalize), final
        if unit == "byte":
            return cls([*tokens, END], unit, np.append(counts, ended), normalize, end_of_document=256), final
        tokens, counts, end = insert_end(tokens, counts, ended)
        return cls(tokens, unit, counts, normalize, end_of_document=end), final + (final >= end).astype(np.int32)

    @classmethod
    def from_tokenizer_json(cls, path: str | PathLike[str]) -> Self:
        """Return the vocabulary of a tokenizer.json, by its ids. Raises what `given_file` raises."""
        from fastlm.text.tokenizers.given import GivenTally, given_file
        given = given_file(path)
        return cls(normalize=given.normalize, **GivenTally(given).arguments(0)[0])

    def to_tokenizer_json(self, path: str | PathLike[str]) -> None:
        """Write pieces as a tokenizer.json with the same ids. Raises ValueError for another unit, and OSError."""
        from fastlm.text.tokenizers.byte_level import write_pieces
        write_pieces(path, self)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def boundary(self) -> int:
        """The id read before the first token of every document: the end of a document, of a line, or id 0."""
        if self.end_of_document is not None:
            return self.end_of_document
        return 0 if self.end_of_line is None else self.end_of_line

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        same = all(getattr(self, name) == getattr(other, name)
                   for name in ("unit", "normalize", "tokens", "end_of_document", "origin"))
        merges = self.merges is other.merges or np.array_equal(self.merges, other.merges)   # type: ignore[arg-type]
        return same and merges and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self._ids)} tokens, unit={self.unit!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_arrays, (*self.to_arrays(), self.normalize, self.merges, self.end_of_document,
                                        self.origin)

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

    def name(self, id: int) -> str | None:
        """Return the token of an id that is in the vocabulary, None at a gap."""
        return self.tokens[id]

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the ids of a text, int32 (N,), one for every word and "\\n", character, or byte; nothing is added.

        Bytes are taken for units "byte" and "piece" only. Where the vocabulary has no "\\n", newlines in words are
        whitespace. Raises ValueError for a token that is not there where there is no `<unk>`, and for NUL characters
        and halves of surrogate pairs.
        """
        return self._encode(text_bytes(text, "the text", self.unit))

    def read(self, text: str | bytes) -> np.ndarray:
        """Return the ids of a text as it is read in training: those of `encode`, once the text is in the normalisation
        form of the vocabulary and without a byte order mark.

            >>> Vocabulary(["\\u00e9"], unit="char", normalize="NFC").read("e\\u0301").tolist()
            [0]
        """
        return self._encode(self.as_read(text))

    def as_read(self, text: str | bytes) -> bytes:
        """Return the UTF-8 of which `read` returns the ids."""
        return normalized(without_bom(text_bytes(text, "the text", self.unit), self.unit), self.normalize)

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
        if self.end_of_document is not None:
            array = array[array != self.end_of_document]
        if self.unit == "byte":
            return array.astype(np.uint8).tobytes().decode("utf-8", "surrogateescape")
        if self.unit == TOKENIZER:
            return self.origin.tokenizer.decode(self.origin.own_ids[array])   # type: ignore[union-attr]
        tokens = [self.tokens[id] for id in array.tolist()]
        if None in tokens:
            n = tokens.index(None)
            raise ValueError(f"ids[{n}] = {array[n]} is a gap in the vocabulary: no token has it")
        if self.unit == "piece":   # bytes of one character may stand in several pieces
            return "".join(tokens).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        if self.unit == "char":
            return "".join(tokens)
        return " ".join(tokens).replace(" \n", "\n").replace("\n ", "\n")

    def letters(self) -> list[int] | None:
        """Return for every id of characters, bytes or pieces a number above 0 where it is part of a word, the same for
        both cases, below 0 where a blank before it ends the word before, and else 0; None for words. Parts of words are
        letters, the apostrophe, and bytes of more than ASCII; but not the characters of scripts that have no spaces
        between words, in which a run of them is a sentence. A run of katakana is one word.

            >>> Vocabulary(["a", " ", "A", "b", "\u6f22", "\u30ab"], unit="char").letters()
            [1, 0, 1, 2, 0, 3]
        """
        return letters_of(self.tokens, self.unit, self.end_of_document)

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        """Return the vocabulary as (blob uint8, offsets int64 (V+1,), counts int64 (V,), unit).

        The UTF-8 of token i is blob[offsets[i]:offsets[i+1]], nothing at a gap: no token is empty.
        """
        names = self._names()
        offsets = np.zeros(len(names) + 1, np.int64)
        np.cumsum([len(name) for name in names], out=offsets[1:])
        return np.frombuffer(b"".join(names), np.uint8), offsets, self.counts, self.unit

    def _names(self) -> list[bytes]:
        """Return the bytes of every token, none at a gap."""
        return [(token or "").encode("utf-8", "surrogateescape") for token in self.tokens]

    @classmethod
    def from_arrays(cls, blob: np.ndarray, offsets: np.ndarray, counts: np.ndarray, unit: str,
                    normalize: str | None = None, merges: np.ndarray | None = None,
                    end_of_document: int | None = None, origin: Origin | None = None) -> Self:
        """Return the vocabulary that `to_arrays` gave these for. Raises ValueError where they are of no vocabulary."""
        check_choice("unit", unit, (*UNITS, TOKENIZER))
        tokens = tokens_of_arrays(blob, offsets, counts, unit)
        return cls(tokens, unit, counts, normalize, merges, end_of_document, origin)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the vocabulary as named arrays, from which, with the unit, `restore` makes it again."""
        tokens, offsets, counts, _ = self.to_arrays()
        out = {"tokens": tokens, "offsets": offsets, "counts": counts}
        if self.merges is not None:
            out["merges"] = self.merges
        if self.end_of_document is not None:
            out["end_of_document"] = np.array([self.end_of_document])
        return out if self.origin is None else out | self.origin.tensors()

    @classmethod
    def restore(cls, tensors: Mapping[str, np.ndarray], unit: str,
                normalize: str | None = None) -> Self:
        """Return the vocabulary that has these `tensors`. Raises KeyError or ValueError where they are of none."""
        end = tensors.get("end_of_document")
        if end is not None and (end.dtype != np.int64 or end.shape != (1,)):
            raise ValueError(f"end_of_document is {end.dtype} {end.shape}; one int64 was expected")
        return cls.from_arrays(tensors["tokens"], tensors["offsets"], tensors["counts"], unit, normalize,
                               tensors.get("merges"), None if end is None else int(end[0]), Origin.restore(tensors))

    @cached_property
    def tabs_inside(self) -> bool:
        """Whether words have vertical tabs or form feeds in them, so that texts are not parted there."""
        return self.unit == "word" and any(token is not None and ("\v" in token or "\f" in token)
                                           for token in self.tokens)

    @cached_property
    def scan(self) -> Scanner:
        """A scanner that appends the ids of checked UTF-8 to a buffer, -1 where unknown; `settle` must follow."""
        if self.unit == "byte":
            return scan_bytes
        if self.unit == TOKENIZER:
            return self.origin.tokenizer.scanner(self.origin.own_ids, self.unknown)   # type: ignore[union-attr]
        if self._pieces is not None:
            return piece_scanner(self._pieces)
        if self.unit == "word":
            names = self._names()
            if self.end_of_document is not None:
                names[self.end_of_document] = b""
            blob, offsets = np.frombuffer(b"".join(names), np.uint8), np.cumsum([0, *map(len, names)])
            newline = -1 if self.end_of_line is None else self.end_of_line
            return word_scanner(WordTable(blob, offsets).find, newline)
        ids = {ord(token): id for token, id in self._ids.items() if token != UNKNOWN}
        return char_scanner(char_lookup(ids))

    def settle(self, ids: np.ndarray, name: str = "", text: bytes = b"") -> np.ndarray:
        """Replace every -1 that `scan` left in ids (N,) by the id of `<unk>`; return where they were, int64 (n,).

        Raises ValueError, naming the text and its first such token, where there is no `<unk>`.
        """
        missing = np.flatnonzero(ids < 0)
        if missing.size and self.unknown is None:
            n = int(missing[0])
            token = token_at(text, n, self.unit, self.end_of_line is not None, self.tabs_inside)
            raise ValueError(f"{name}: token {n}, {token!r}, is not in the vocabulary, nor is {UNKNOWN}")
        if missing.size:
            ids[missing] = self.unknown
        return missing
