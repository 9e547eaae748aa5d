"""A tokenizer that is given in place of the name of a unit, and how its ids are counted and ordered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlm.text.pieces import encoder, piece_scanner
from fastlm.text.scan import Scanner
from fastlm.text.sources.reading import log
from fastlm.text.tokenizers.byte_level import ByteLevel, NotByteLevel, parse
from fastlm.text.tokenizers.origin import Origin
from fastlm.text.tokenizers.packages import HuggingFace, SentencePiece
from fastlm.text.tokenizers.tokenizer import MOST_BYTES, Tokenizer
from fastlm.text.tokens import insert_end

Array = np.ndarray
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Given:
    """What stands in place of a unit: ``unit``, the name that the vocabulary has; ``tokens``, by the tokenizer's own
    ids, None where it has none; ``scan``, which gives these ids; ``unknown``, the one for what cannot be written, None
    for none; ``tokenizer``, where one cuts the text; ``normalize``, the form of texts that it expects;
    ``pieces``, where a file of byte-level pieces is applied by our own kernels."""

    unit: str
    tokens: list[str | None]
    scan: Scanner
    unknown: int | None = None
    tokenizer: Tokenizer | None = None
    normalize: str | None = None
    pieces: ByteLevel | None = None

    def token(self, id: int) -> str:
        """Return how an id is written; of one that `tokens` lacks, what it is decoded to by itself; or else its number
        in angle brackets."""
        known = self.tokens[id] if id < len(self.tokens) else None
        if known is None and self.tokenizer is not None:
            known = self.tokenizer.decode(np.array([id]))
        return known or f"<{id}>"


def given_unit(unit: Any, say: Say = log) -> Given | None:
    """Return what a tokenizer, or the path of its file, stands for as a unit; None for the name of a unit.

    say: called with a sentence where our own kernels do not apply the tokenizer. Raises TypeError for what is none, and
    what `given_file` raises.
    """
    if unit is None or isinstance(unit, Given):
        return unit
    if isinstance(unit, str) and not is_path(unit):
        return None
    if isinstance(unit, str | os.PathLike):
        return given_file(unit, say)
    return given_tokenizer(Tokenizer.of(unit), say)


def is_path(unit: str) -> bool:
    """Return whether a unit is the path of a file rather than a name."""
    return unit.endswith((".json", ".model")) or os.sep in unit


def given_file(path: str | os.PathLike[str], say: Say = log) -> Given:
    """Return what a file stands for: a tokenizer.json for pieces, or for a tokenizer of the package `tokenizers` where
    that is needed; a .model of `sentencepiece` for its tokenizer.

    Raises OSError for a file that cannot be read, ValueError for one that is none, or needs the package where that is
    not installed.
    """
    with open(path, "rb") as file:
        kept = file.read(MOST_BYTES + 1)
    if os.fspath(path).endswith(".model"):
        return _sentence_piece(os.fspath(path), kept)
    try:
        if len(kept) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        found = given_pieces(parse(json.loads(kept)))
    except NotByteLevel as error:
        say(f"{os.fspath(path)} is applied by the package tokenizers: {error}")
        try:
            return _by_package(Tokenizer.of(HuggingFace.rebuilt(kept).tokenizer))
        except ImportError:
            raise ValueError(f'{os.fspath(path)} is applied by tokenizers, pip install "fastlm[tokenizers]", since '
                             f"{error}") from None
        except Exception as refused:
            raise ValueError(f"{os.fspath(path)} is no tokenizer.json: {refused}") from refused
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is no tokenizer.json: {error}") from None
    return found


def _sentence_piece(path: str, kept: bytes) -> Given:
    """Return what the contents of a .model stand for. Raises ValueError as `given_file` does."""
    if not 0 < len(kept) <= MOST_BYTES:
        size = "is empty" if not kept else f"has more than {MOST_BYTES} bytes"
        raise ValueError(f"{path} {size}; a .model of sentencepiece was expected")
    try:
        return _by_package(Tokenizer.of(SentencePiece.rebuilt(kept).processor))
    except ImportError:
        raise ValueError(f'{path} is applied by sentencepiece: pip install "fastlm[sentencepiece]"') from None
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no .model of sentencepiece: {reason}") from error


def given_tokenizer(tokenizer: Tokenizer, say: Say = log) -> Given:
    """Return what a tokenizer stands for: pieces where it is one of byte-level pieces that our own kernels apply."""
    if tokenizer.kind == HuggingFace.name:
        try:
            return given_pieces(parse(json.loads(tokenizer.kept)))
        except NotByteLevel as error:
            say(f"the tokenizer is applied by the package tokenizers: {error}")
    return _by_package(tokenizer)


def _by_package(tokenizer: Tokenizer) -> Given:
    """Return what a tokenizer stands for that its package applies."""
    package = tokenizer.package
    return Given("tokenizer", package.tokens(), tokenizer.scanner(), package.unknown(), tokenizer)


def given_pieces(pieces: ByteLevel) -> Given:
    """Return what byte-level pieces stand for."""
    names = [(token or "").encode("utf-8", "surrogateescape") for token in pieces.tokens]
    scan = piece_scanner(encoder(names, pieces.merges, pieces.cutting))
    return Given("piece", pieces.tokens, scan, normalize=pieces.normalize, pieces=pieces)


class GivenTally:
    """Counts of the ids of a given tokenizer; used as `counting.Tally` is.

    Raises ValueError for limits on the vocabulary, which the tokenizer fixes.
    """

    newline = None   # a given tokenizer alone says what ends a line
    memory = 0       # that grows with the text
    unknown: int | None = None

    def __init__(self, given: Given, min_count: int = 1, max_size: int | None = None) -> None:
        if min_count != 1 or max_size is not None:
            raise ValueError(f"min_count = {min_count}, max_size = {max_size}; a tokenizer that is given fixes its "
                             "vocabulary")
        self.given, self.unit, self.scan = given, given.unit, given.scan
        self._counts = np.zeros(len(given.tokens), np.int64)

    def count(self, ids: Array) -> None:
        """Add the occurrences of the tokenizer's ids (n,)."""
        counts = np.bincount(ids, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def left_out(self) -> dict[str, int]:
        """Return nothing: how the tokenizer spells what it cannot write is not known."""
        return {}

    def arguments(self, ended: int) -> tuple[dict[str, Any], Array]:
        """Return the arguments of the `Vocabulary` and the id of every one of the tokenizer's, int32, -1 for none.

        The most frequent token comes first, ties in the order of the tokenizer's ids. ended: how many documents a token
        of their own ends, 0 for none.
        """
        given, counts, pieces = self.given, self._counts, self.given.pieces
        names = [given.token(id) if counts[id] or (id < len(given.tokens) and given.tokens[id] is not None) else None
                 for id in range(len(counts))]
        order = np.argsort(-counts, kind="stable")
        order = order[[names[id] is not None for id in order.tolist()]]
        tokens: list[Any] = [names[id] for id in order.tolist()]
        own, counts, end = order.astype(np.int32), counts[order], None
        if ended:
            tokens, counts, end = insert_end(tokens, counts, ended)
            own = np.insert(own, end, -1 if pieces is None or pieces.end is None else pieces.end)
        final = np.full(len(names), -1, np.int32)
        final[own[own >= 0]] = np.flatnonzero(own >= 0)
        unknown = None if given.unknown is None else int(final[given.unknown])
        origin = Origin(own, given.tokenizer, unknown, "fastlm" if pieces is None else pieces.cutting)
        merges = None if pieces is None else final[pieces.merges]
        return {"tokens_by_id": tokens, "unit": given.unit, "counts": counts, "end_of_document": end, "merges": merges,
                "origin": origin}, final
