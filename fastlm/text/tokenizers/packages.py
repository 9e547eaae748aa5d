"""Tokenizers of other packages behind one interface: text to the tokenizer's own ids, and back.

Each class is for the objects of one package, which it tells by their methods, and imports the package only to rebuild
such an object from what a model file keeps.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np

_BLANK = "\u2581"   # what stands for a blank in the pieces of sentencepiece


class Package(Protocol):
    """What each class below offers. name: of the package, which a model file keeps."""

    name: str

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text, and no others, such as those of a beginning or an end."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; U+FFFD for bytes that are no character."""

    def tokens(self) -> list[str | None]:
        """Return how every id is written in a text, as far as that is known; None for an id that there is not."""

    def unknown(self) -> int | None:
        """Return the id that stands for what the tokenizer cannot write; None for none."""

    def kept(self) -> bytes:
        """Return what `rebuilt` makes the same tokenizer from."""


class HuggingFace:
    """A `tokenizers.Tokenizer`, or that of a fast tokenizer of `transformers`."""

    name = "tokenizers"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._json = tokenizer, json.loads(tokenizer.to_str())

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Return the interface of an object of this package, else None.

        What makes ids of a text depend on something else is left out: truncation, padding and dropout.
        """
        backend = getattr(given, "backend_tokenizer", given)
        if not all(hasattr(backend, method) for method in ("to_str", "from_str", "id_to_token")):
            return None
        settings = json.loads(backend.to_str())
        settings["truncation"] = settings["padding"] = None
        if "dropout" in settings["model"]:
            settings["model"]["dropout"] = None
        return cls(type(backend).from_str(json.dumps(settings)))

    @classmethod
    def rebuilt(cls, kept: bytes) -> Self:
        """Return the tokenizer that `kept` was of."""
        import tokenizers

        return cls(tokenizers.Tokenizer.from_str(kept.decode()))

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        ids: Sequence[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def tokens(self) -> list[str | None]:
        """Return how every id is written, the letters of byte-level tokenizers as the bytes they stand for."""
        ids = self.tokenizer.get_vocab(with_added_tokens=True)
        out: list[str | None] = [None] * (max(ids.values(), default=-1) + 1)
        added = {entry["content"] for entry in self._json.get("added_tokens", ())}
        byte_level = "ByteLevel" in json.dumps([self._json.get("decoder"), self._json.get("pre_tokenizer")])
        for token, id in ids.items():
            if token not in added:
                token = as_bytes(token) if byte_level else plain(token)
            out[id] = token
        return out

    def unknown(self) -> int | None:
        """Return the id of the unknown token, None where there is none."""
        model = self._json["model"]
        if isinstance(model.get("unk_id"), int):
            return int(model["unk_id"])
        unknown = model.get("unk_token")
        found = None if unknown is None else self.tokenizer.token_to_id(unknown)
        return None if found is None else int(found)

    def kept(self) -> bytes:
        """Return the tokenizer as JSON, as in a tokenizer.json."""
        return str(self.tokenizer.to_str()).encode()


class SentencePiece:
    """A `sentencepiece.SentencePieceProcessor`."""

    name = "sentencepiece"

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Return the interface of an object of this package, else None."""
        if not all(hasattr(given, method) for method in ("serialized_model_proto", "id_to_piece")):
            return None
        return cls(type(given)(model_proto=given.serialized_model_proto()))   # without settings for sampling

    @classmethod
    def rebuilt(cls, kept: bytes) -> Self:
        """Return the tokenizer that `kept` was of."""
        import sentencepiece

        return cls(sentencepiece.SentencePieceProcessor(model_proto=kept))

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        ids: Sequence[int] = self.processor.encode(text, out_type=int)
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return str(self.processor.decode(ids))

    def tokens(self) -> list[str | None]:
        """Return how every id is written, with blanks for the signs that stand for them."""
        ids = range(self.processor.get_piece_size())
        return [plain(piece) for piece in map(self.processor.id_to_piece, ids)]

    def unknown(self) -> int | None:
        """Return the id of the unknown token, None where there is none."""
        id = int(self.processor.unk_id())
        return id if id >= 0 else None

    def kept(self) -> bytes:
        """Return the model of the processor, as in a .model file."""
        return bytes(self.processor.serialized_model_proto())


class Tiktoken:
    """A `tiktoken.Encoding`, whose special tokens are not read from a text."""

    name = "tiktoken"

    def __init__(self, encoding: Any) -> None:
        self._encoding = encoding

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Return the interface of an object of this package, else None."""
        return cls(given) if hasattr(given, "encode_ordinary") and hasattr(given, "_mergeable_ranks") else None

    @classmethod
    def rebuilt(cls, kept: bytes) -> Self:
        """Return the tokenizer that `kept` was of."""
        import tiktoken

        found = json.loads(kept)
        ranks = {base64.b64decode(token): int(rank) for token, rank in found["mergeable_ranks"].items()}
        return cls(tiktoken.Encoding(found["name"], pat_str=found["pat_str"], mergeable_ranks=ranks,
                                     special_tokens=found["special_tokens"]))

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        ids: Sequence[int] = self._encoding.encode_ordinary(text)
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return str(self._encoding.decode(ids, errors="replace"))

    def tokens(self) -> list[str | None]:
        """Return how every id is written."""
        ids = {**self._encoding._special_tokens, **self._encoding._mergeable_ranks}
        out: list[str | None] = [None] * (max(ids.values(), default=-1) + 1)
        for token, id in ids.items():
            out[id] = token.decode("utf-8", "surrogateescape") if isinstance(token, bytes) else token
        return out

    def unknown(self) -> int | None:
        """Return None: every byte has an id."""
        return None

    def kept(self) -> bytes:
        """Return the pattern, the ranks and the special tokens as JSON."""
        ranks = {base64.b64encode(token).decode(): rank for token, rank in self._encoding._mergeable_ranks.items()}
        return json.dumps({"name": self._encoding.name, "pat_str": self._encoding._pat_str, "mergeable_ranks": ranks,
                           "special_tokens": self._encoding._special_tokens}).encode()


class Own:
    """Any other object with `encode` and `decode`, which a model file cannot keep; tokenizers of `transformers` that
    are not fast are such."""

    name = "own"

    def __init__(self, given: Any) -> None:
        self._given = given
        slow = hasattr(given, "convert_ids_to_tokens")   # as the tokenizers of transformers have it
        self._encoding = {"add_special_tokens": False} if slow else {}
        self._decoding = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False} if slow else {}

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Return the interface of an object with both methods, else None."""
        return cls(given) if callable(getattr(given, "encode", None)) and callable(getattr(given, "decode", None)) \
            else None

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""
        found = self._given.encode(text, **self._encoding)
        ids: Sequence[int] = getattr(found, "ids", found)
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return str(self._given.decode(ids, **self._decoding))

    def tokens(self) -> list[str | None]:
        """Return how every id is written; nothing where the object does not tell how many there are."""
        return [self._token(id) for id in range(self._size())]

    def _token(self, id: int) -> str | None:
        try:
            return self.decode([id])
        except Exception:   # whatever a user's class raises for an id that it has not
            return None

    def _size(self) -> int:
        sizes = [getattr(self._given, name, None) for name in ("vocab_size", "n_vocab", "get_vocab_size", "__len__")]
        found = [size() if callable(size) else size for size in sizes]
        return max((int(size) for size in found if isinstance(size, int | np.integer)), default=0)

    def unknown(self) -> int | None:
        """Return the id that the object calls `unk_token_id` or `unk_id`, None where it has neither."""
        for name in ("unk_token_id", "unk_id"):
            id = getattr(self._given, name, None)
            id = id() if callable(id) else id
            if isinstance(id, int | np.integer) and id >= 0:
                return int(id)
        return None

    def kept(self) -> bytes:
        """Return nothing, since code of a user is never kept."""
        return b""


PACKAGES = (HuggingFace, SentencePiece, Tiktoken)


def letters_of_bytes() -> dict[str, int]:
    """Return the byte that each letter of byte-level tokenizers stands for, as GPT-2 chose them (Radford et al. 2019):
    a printable one of Latin-1 for itself, and those from U+0100 on for the others in turn."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + n): value for n, value in enumerate(others)}


_BYTE = letters_of_bytes()
_LETTER = {value: letter for letter, value in _BYTE.items()}


def letters_of(name: bytes) -> str:
    """Return bytes in the letters that stand for them.

    >>> letters_of(b" a")
    '\u0120a'
    """
    return "".join(map(_LETTER.__getitem__, name))


def bytes_of(token: str) -> bytes | None:
    """Return the bytes that the letters of a byte-level token stand for; None where one stands for none.

    >>> bytes_of("\\u0120a"), bytes_of("\\u2581a")
    (b' a', None)
    """
    values = [_BYTE.get(letter) for letter in token]
    return None if None in values else bytes(values)   # type: ignore[arg-type]


def as_bytes(token: str) -> str:
    """Return a byte-level token as it stands in a text."""
    found = bytes_of(token)
    return token if found is None else found.decode("utf-8", "surrogateescape")


def plain(token: str) -> str:
    """Return a token of sentencepiece as it stands in a text.

    >>> plain("\\u2581the"), plain("<0xC3>")
    (' the', '\\udcc3')
    """
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes([int(token[3:5], 16)]).decode("utf-8", "surrogateescape")
        except ValueError:
            return token
    return token.replace(_BLANK, " ")
