"""Documents as one long array of ids."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from fastlm.text.counting import Tally, fill
from fastlm.text.pairs import Ids, as_ids
from fastlm.text.scan import PIECE, IdBuffer
from fastlm.text.vocabulary import Vocabulary

_EMPTY = "the corpus is empty: there is no token in it"
_WHOLE_DOCUMENTS = 20


@dataclass(frozen=True, eq=False)
class Corpus:
    """The token ids of documents, one document after another.

    ids: int32 (N,). offsets: int64 (D+1,); document d is ids[offsets[d]:offsets[d+1]].
    unknown_at: int64, ascending: where in `ids` a token stands that the vocabulary lacks (`<unk>` written in
    the text is none). bytes: UTF-8 bytes of the text read, 0 where there was none. boundary: the id that ends
    a line of words.
    """

    ids: np.ndarray
    offsets: np.ndarray
    unknown_at: np.ndarray
    bytes: int = 0
    boundary: int | None = None

    @classmethod
    def read(cls, source: Any, vocabulary: Vocabulary, documents: str = "file") -> Self:
        """Reads a source with a given vocabulary.

        source, documents: as `read_documents` takes them. In words every document ends in an end-of-line
        token, if the vocabulary has one; in lines and paragraphs of characters or bytes, in "\\n".
        Raises what `read_documents` raises, and ValueError for an empty source, and for an unknown token
        where the vocabulary has no `<unk>`.

            >>> Corpus.read(["I am"], Vocabulary({25: "I", 7: "am"})).ids
            array([25,  7], dtype=int32)
        """
        buffer, offsets, size = IdBuffer(), array("q", [0]), 0
        unit, newline = vocabulary.unit, vocabulary.end_of_line
        for name, text, start in fill(source, documents, unit, vocabulary.scan, newline, buffer):
            if vocabulary.unknown is None and unit != "byte":
                vocabulary.settle(buffer.ids[start:], name, text)
            offsets.append(buffer.size)
            size += len(text)
        ids = buffer.finish()
        del buffer
        unknown_at = [vocabulary.settle(part) + start for start, part in _parts(ids)]
        return cls._of(ids, offsets, unknown_at, size, newline if unit == "word" else None)

    @classmethod
    def build(
        cls,
        source: Any,
        unit: str = "word",
        min_count: int = 1,
        max_size: int | None = None,
        documents: str = "file",
    ) -> tuple[Vocabulary, Self]:
        """Reads a source once, making its vocabulary on the way: (vocabulary, corpus).

        The arguments and errors are those of `Vocabulary.build`; the source may be a generator.
        """
        tally, buffer, offsets, size = Tally(unit, min_count, max_size), IdBuffer(), array("q", [0]), 0
        for _, text, _ in fill(source, documents, unit, tally.scan, tally.newline, buffer):
            offsets.append(buffer.size)
            size += len(text)
        if not buffer.size:
            raise ValueError(_EMPTY)
        ids = buffer.finish()
        del buffer
        tally.count(ids)
        tokens, counts, final = tally.choose()
        vocabulary = Vocabulary(tokens, unit, counts)
        folded = final == (-1 if vocabulary.unknown is None else vocabulary.unknown)
        if vocabulary.unknown is not None:
            folded[tally.unknown] = False
        unknown_at = []
        for start, part in _parts(ids):
            unknown_at.append(np.flatnonzero(folded[part]) + start)
            part[:] = final[part]
        boundary = vocabulary.end_of_line if unit == "word" else None
        return vocabulary, cls._of(ids, offsets, unknown_at, size, boundary)

    @classmethod
    def from_ids(cls, documents: Iterable[Ids]) -> Self:
        """A corpus of documents that are ids already: sequences of integers (n,), from 0 to 2^31 - 1.

        Raises IndexError for an id out of range, TypeError for what is no integer, ValueError where there is
        no id.

            >>> len(Corpus.from_ids([[25, 7], [100]]))
            3
        """
        buffer, offsets = IdBuffer(), array("q", [0])
        for n, ids in enumerate(documents):
            buffer.append(as_ids(ids, name=f"documents[{n}]"))
            offsets.append(buffer.size)
        return cls._of(buffer.finish(), offsets, [], 0, None)

    @classmethod
    def _of(
        cls, ids: np.ndarray, offsets: Any, unknown_at: list[np.ndarray], size: int, boundary: int | None
    ) -> Self:
        if not len(ids):
            raise ValueError(_EMPTY)
        where = np.concatenate([np.empty(0, np.int64), *unknown_at])
        return cls(ids, np.array(offsets, np.int64), where, size, boundary)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> int:
        """How many tokens the vocabulary lacks."""
        return len(self.unknown_at)

    def documents(self) -> Iterator[np.ndarray]:
        """The ids of one document after another, int32 (n,) views."""
        ends = self.offsets.tolist()
        return (self.ids[start:end] for start, end in pairwise(ends))

    def split(self, fraction: float) -> tuple[Self, Self]:
        """The corpus without its last part, and that part: about `fraction` of the tokens, at least one each.

        Whole documents where there are 20 or more of them; otherwise the end of the stream, after an end of
        line where there is one. The arrays are views. `bytes` are shared out by the number of tokens.
        Raises ValueError where fraction is not between 0 and 1, or where there is only one token.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction = {fraction}; expected a number between 0 and 1")
        if len(self) < 2:
            raise ValueError(f"a corpus of {len(self)} token cannot be split")
        cut = self._cut(min(max(round(len(self) * (1 - fraction)), 1), len(self) - 1))
        return self._part(0, cut), self._part(cut, len(self))

    def _cut(self, aim: int) -> int:
        """The place to cut nearest to `aim`, or `aim` itself where the others are far off."""
        for places in (self._document_ends, self._line_ends):
            ends = places()
            if len(ends):
                nearest = int(ends[np.argmin(np.abs(ends - aim))])
                if 2 * abs(nearest - aim) <= min(aim, len(self) - aim):
                    return nearest
        return aim

    def _document_ends(self) -> np.ndarray:
        ends = self.offsets[1:-1]
        return ends if len(self.offsets) > _WHOLE_DOCUMENTS else ends[:0]

    def _line_ends(self) -> np.ndarray:
        return np.flatnonzero(self.ids[:-1] == (-1 if self.boundary is None else self.boundary)) + 1

    def _part(self, start: int, end: int) -> Self:
        inside = self.offsets[(self.offsets > start) & (self.offsets < end)]
        unknown_at = self.unknown_at[slice(*np.searchsorted(self.unknown_at, [start, end]))] - start
        size = self.bytes * end // len(self) - self.bytes * start // len(self)
        offsets = np.concatenate([[0], inside - start, [end - start]])
        return type(self)(self.ids[start:end], offsets, unknown_at, size, self.boundary)


def _parts(ids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Views of the ids, small enough for temporaries of 8 bytes an id not to matter."""
    return ((start, ids[start : start + PIECE]) for start in range(0, len(ids), PIECE))
