"""Documents as one long array of ids."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastlm.text.pairs import Ids, as_ids
from fastlm.text.pieces import PieceSettings
from fastlm.text.scan import IdBuffer
from fastlm.text.sources.reading import Reading
from fastlm.text.stored import inserted, parts, selected
from fastlm.text.vocabulary import Vocabulary

# What reads sources is imported where it is used: models hold ids of a corpus, and one that is loaded reads no source.
if TYPE_CHECKING:
    from fastlm.text.filling import Watch

Span = slice  # under this name, since a corpus has a method `slice`
_EMPTY = "the corpus is empty: there is no token in it"


@dataclass(frozen=True, eq=False)
class Corpus:
    """The token ids of documents, one document after another.

    ids: int32 (N,). offsets: int64 (D+1,); document d is ids[offsets[d]:offsets[d+1]].
    unknown_at: int64, ascending: where in `ids` a token stands that the vocabulary lacks (not counting an
    `<unk>` that is written in the text). bytes: UTF-8 bytes of the text read, 0 where there was none.
    boundary: the id that ends a line of words. left_out: tokens of the text that its vocabulary reads as `<unk>`, and
    how often each occurs; of very many a part, evenly spaced.
    """

    ids: np.ndarray
    offsets: np.ndarray
    unknown_at: np.ndarray
    bytes: int = 0
    boundary: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, source: Any, vocabulary: Vocabulary, documents: str = "file", watch: "Watch | None" = None,
             **reading: Any) -> Self:
        """Read a source with a given vocabulary.

        source, documents, and text_key, format, encoding, errors, normalize by name: as `read_documents` takes them;
        text is normalised as the vocabulary is. In words every document ends in an end-of-line token, if the
        vocabulary has one; in lines and paragraphs of other units, in "\\n". The token that ends a document follows, if
        the vocabulary has one.
        watch: a function that is called with what was scanned, see `text.filling`; ids are -1 where unknown.
        Raises what `read_documents` raises, and ValueError for an empty source, for one whose ids take more memory than
        `memory` (half of what there is), and for an unknown token where the vocabulary has no `<unk>`.

            >>> Corpus.read(["I am"], Vocabulary({25: "I", 7: "am"})).ids
            array([25,  7], dtype=int32)
        """
        from fastlm.text.filling import Filler, parts_of

        unit, newline = vocabulary.unit, vocabulary.end_of_line
        if (ids_given := cls._given(source := known(source), vocabulary)) is not None:
            return ids_given
        unknown_at = list[np.ndarray]()

        def settle(name: str, text: bytes, ids: np.ndarray, ends: np.ndarray | None, ended: bool) -> None:
            if watch is not None:
                watch(name, text, ids, ends, ended)
            missing = vocabulary.settle(ids, name, text)
            if missing.size:
                unknown_at.append(missing + buffer.size - len(ids))
        options = Reading.of({"normalize": vocabulary.normalize, **reading})
        filler = Filler(unit, documents, vocabulary.scan, newline, vocabulary.end_of_document, settle,
                        options.most_memory)
        buffer, noted = filler.buffer, 0   # `settle` looks at this: the filler would hold itself, and much memory
        for part in parts_of(source, documents, unit, options):
            filler.add(part)
            # Where tokens are unknown is held in parts and, at the end, as one array.
            filler.beside += 2 * sum(where.nbytes for where in unknown_at[noted:])
            noted = len(unknown_at)
        filler.close()
        return cls._of(buffer.take(), filler.ends, unknown_at, sum(filler.sizes),
                       newline if unit == "word" else None)

    @classmethod
    def build(
        cls,
        source: Any,
        unit: Any = "word",
        min_count: int = 1,
        max_size: int | None = None,
        documents: str = "file",
        pieces: PieceSettings | None = None,
        fold: bool = False,
        watch: "Watch | None" = None,
        **reading: Any,
    ) -> tuple[Vocabulary, Self]:
        """Read a source once and make its vocabulary on the way: (vocabulary, corpus).

        The arguments and errors are those of `Vocabulary.build`; the source may be a generator. watch: a function that
        is called with what was scanned, see `text.filling`; ids are provisional. fold: whether few words
        seen once are read as ``<unk>``, see `Tally.choose`. The corpus's `left_out` tells which
        tokens the vocabulary lacks. Documents that are ids already, a corpus among them, are named by their numbers.
        """
        from fastlm.text.counting import Tally, tally_of
        from fastlm.text.filling import Filler, parts_of
        from fastlm.text.sources.token_lists import IdLists

        tally, options = tally_of(unit, min_count, max_size, pieces, reading)
        if isinstance(source := known(source), Corpus | IdLists):
            return cls._numbered(source, tally.unit, min_count, max_size, options)
        extent, memory = options.extent, options.most_memory
        filler = Filler(tally.unit, documents, tally.scan, tally.newline, watch=watch,
                        memory=memory if extent is None else float("inf"))
        for read in parts_of(source, documents, tally.unit, options):
            filler.add(read)
            filler.beside = tally.memory
            if extent is not None:
                extent.made(filler.buffer.size, tally.different if isinstance(tally, Tally) else 0)
                if filler.held > memory:
                    extent.end()
        filler.close()
        ids, offsets, size = filler.buffer.take(), filler.ends, sum(filler.sizes)
        if not len(ids):
            raise ValueError(_EMPTY)
        tally.count(ids)
        ended = int(np.count_nonzero(np.diff(offsets)))
        vocabulary, final = Vocabulary.of_tally(tally, documents, ended, options.form(tally.unit), fold)
        if callable(final):
            ids, starts = final(ids, np.array(offsets))
            return vocabulary, cls._of(ids, starts, [], size, None).ended(vocabulary.end_of_document)
        folded = final == (-1 if vocabulary.unknown is None else vocabulary.unknown)
        if vocabulary.unknown is not None and tally.unknown is not None:
            folded[tally.unknown] = False
        unknown_at = []
        for start, part in parts(ids):
            unknown_at.append(np.flatnonzero(folded[part]) + start)
            part[:] = final[part]
        boundary = vocabulary.end_of_line if tally.unit == "word" else None
        corpus = replace(cls._of(ids, offsets, unknown_at, size, boundary), left_out=tally.left_out())
        return vocabulary, corpus.ended(vocabulary.end_of_document)

    @classmethod
    def from_ids(cls, documents: Iterable[Ids]) -> Self:
        """Return a corpus of documents that are ids already: sequences of integers (n,), from 0 to 2^31 - 1.

        Raises IndexError for an id out of range, TypeError for anything that is not an integer, ValueError where
        there is no id at all.

            >>> len(Corpus.from_ids([[25, 7], [100]]))
            3
        """
        buffer, offsets = IdBuffer(), array("q", [0])
        for n, ids in enumerate(documents):
            buffer.append(as_ids(ids, name=f"documents[{n}]"))
            offsets.append(buffer.size)
        return cls._of(buffer.take(), offsets, [], 0, None)

    def ended(self, end: int | None) -> Self:
        """Return the corpus with the id `end` after every document that is not empty; itself where that is None.

            >>> Corpus.from_ids([[1, 2], [], [3]]).ended(9).ids.tolist()
            [1, 2, 9, 3, 9]
        """
        if end is None:
            return self
        lasts = self.offsets[1:]
        lasts = lasts[np.diff(self.offsets) > 0]
        return replace(
            self, ids=inserted(self.ids, lasts, end),
            offsets=self.offsets + np.searchsorted(lasts, self.offsets, side="right"),
            unknown_at=self.unknown_at + np.searchsorted(lasts, self.unknown_at, side="right"))

    @classmethod
    def _of(
        cls, ids: np.ndarray, offsets: Any, unknown_at: list[np.ndarray], size: int, boundary: int | None
    ) -> Self:
        if not len(ids):
            raise ValueError(_EMPTY)
        where = np.concatenate([np.empty(0, np.int64), *unknown_at])
        return cls(ids, np.array(offsets, np.int64), where, size, boundary)

    @classmethod
    def _numbered(cls, source: Any, unit: str, min_count: int, max_size: int | None, reading: Reading) -> Any:
        """Return (vocabulary, corpus) of ids, of which each is named by its number."""
        if unit != "word" or min_count != 1 or max_size is not None:
            raise ValueError(f"unit = {unit!r}, min_count = {min_count}, max_size = {max_size} were given for ids, "
                             'which are all kept, as words; unit="word", 1 and None were expected')
        from fastlm.text.sources.token_lists import named_by_numbers

        if not isinstance(corpus := source, Corpus):
            corpus = cls.from_ids(source.documents)
            end = int(corpus.ids.max()) + 1
            corpus = replace(corpus.ended(end), boundary=end)
        vocabulary = Vocabulary(*named_by_numbers(corpus.ids, corpus.boundary))
        reading.note("", f"the documents are ids, which are named by their numbers: {len(vocabulary):,} tokens")
        return vocabulary, corpus

    @classmethod
    def _given(cls, source: Any, vocabulary: Vocabulary) -> Any:
        """Return the corpus of a source of ids, None for other sources. Raises IndexError for ids that are outside the
        vocabulary."""
        from fastlm.text.sources.token_lists import IdLists

        if not isinstance(source, Corpus | IdLists):
            return None
        corpus = source if isinstance(source, Corpus) else cls.from_ids(source.documents)
        if int(corpus.ids.max(initial=-1)) >= len(vocabulary):
            raise IndexError(f"id {corpus.ids.max()} is outside the vocabulary of {len(vocabulary)}")
        if corpus is source:
            return corpus
        if vocabulary.unit != "word":
            return corpus.ended(vocabulary.end_of_document)
        return replace(corpus.ended(vocabulary.end_of_line), boundary=vocabulary.end_of_line)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> int:
        """How many tokens the vocabulary lacks."""
        return len(self.unknown_at)

    def spans(self) -> Iterator[Span]:
        """Yield the slice of `ids` that each document is, empty ones too."""
        return (slice(first, last) for first, last in pairwise(self.offsets.tolist()))

    def documents(self) -> Iterator[np.ndarray]:
        """Yield the ids of one document after another, int32 (n,) views."""
        return (self.ids[span] for span in self.spans())

    def first_tokens(self) -> np.ndarray:
        """Find where every document that is not empty begins, int64 (D,), ascending."""
        return self.offsets[:-1][np.diff(self.offsets) > 0]

    def slice(self, first: int, last: int) -> Self:
        """Return the tokens from `first` up to `last`, not included, with a view of their ids.

        A document that is cut begins anew. Here and in `select` empty documents are left out, and `bytes` are
        shared out by the number of tokens. Raises IndexError unless 0 <= first <= last <= len(self).
        """
        if not 0 <= first <= last <= len(self):
            raise IndexError(f"tokens {first} to {last} were asked for; places from 0 to {len(self)} were expected")
        begin, end = np.searchsorted(self.offsets, [first, last])
        offsets = _distinct(np.concatenate([[first], self.offsets[begin:end], [last]])) - first
        unknown_at = self.unknown_at[slice(*np.searchsorted(self.unknown_at, [first, last]))] - first
        size = self.bytes * last // max(1, len(self)) - self.bytes * first // max(1, len(self))
        return replace(self, ids=self.ids[first:last], offsets=offsets, unknown_at=unknown_at, bytes=size)

    def select(self, mask: np.ndarray) -> Self:
        """Return the tokens marked in mask (N,) bool, copied; every gap ends a document.

            >>> Corpus.from_ids([[5, 6, 7], [8]]).select(np.array([True, False, True, True])).offsets.tolist()
            [0, 1, 2, 3]
        """
        if not len(self):
            return self.slice(0, 0)
        cuts = np.flatnonzero(mask[1:] != mask[:-1]) + 1
        edges = np.concatenate([[0], cuts, [len(self)]])  # between two of them all is marked, or nothing
        ends = np.concatenate([[0], np.cumsum(np.diff(edges) * mask[edges[:-1]])])
        unknown_at = self.unknown_at[mask[self.unknown_at]]
        return replace(
            self,
            ids=selected(self.ids, mask),
            offsets=_distinct(np.concatenate([np.interp(self.offsets, edges, ends).astype(np.int64), ends])),
            unknown_at=np.interp(unknown_at, edges, ends).astype(np.int64),
            bytes=self.bytes * int(ends[-1]) // len(self),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the documents of one corpus after another, of one or more, with the boundary of the first.

            >>> Corpus.concatenate([Corpus.from_ids([[1, 2]]), Corpus.from_ids([[3]])]).offsets.tolist()
            [0, 2, 3]
        """
        begins = np.cumsum([0, *(len(part) for part in parts)]).tolist()[:-1]
        shifted = list(zip(parts, begins, strict=True))
        return replace(
            parts[0],
            ids=np.concatenate([part.ids for part in parts]),
            offsets=np.concatenate([[0], *(part.offsets[1:] + begin for part, begin in shifted)]),
            unknown_at=np.concatenate([part.unknown_at + begin for part, begin in shifted]),
            bytes=sum(part.bytes for part in parts),
        )


def known(source: Any) -> Any:
    """Return what a source is; a corpus, or documents that are open, as they are."""
    from fastlm.text.filling import Opened
    from fastlm.text.sources.containers import recognised

    return source if isinstance(source, Corpus | Opened) else recognised(source)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values of (n,), ascending; n > 0; fast where the values are a few ascending runs."""
    ordered = np.sort(values, kind="stable")
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
