"""The figures of a text, or of many: nats, bits and perplexity of its tokens, words and bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from fastlm.text.blocks import Block

Array = np.ndarray
LN2 = math.log(2)


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text: by its tokens alone, and with everything else that the text is.

    Of the tokens, as they are compared for one fixed vocabulary (Penn Treebank's figures are such): ``nats``, the
    negative log-likelihood of all of them, where an unknown one counts as ``<unk>``; ``tokens``, how many, ends of
    lines included; ``unknown``, how many the vocabulary lacks, and ``unknown_nats``, what these cost of the nats;
    ``per_token`` (tokens,) float64, the loss of each in turn, in nats; None where it was not asked for.

    Of exactly the bytes of the text, to compare models of any vocabulary and unit: ``spelling_nats``, what unknown
    tokens cost beyond ``<unk>``, which is how they are spelt, less where a model that has never seen one gives it too
    little; ``spacing_nats``, which white space stands between words; ``bytes``, the text as UTF-8; ``words``,
    its blank-separated words and ends of lines. ``total_nats`` is all three together, which an arithmetic coder needs
    too; `bits_per_byte` and `perplexity_per_word` follow from it.

    Scores are equal where their figures are. `to_dict` gives all of them, and ``print`` says them in a sentence.
    docs/perplexity.md has each by formula.

    >>> score = Score(nats=4 * math.log(2), tokens=2, unknown=0, bytes=4, words=1)
    >>> round(score.perplexity, 6), round(score.bits_per_byte, 6)
    (4.0, 1.0)
    >>> print(score)
    2.7726 nats (4.0000 bits) for 2 tokens: perplexity 4.000 a token, 16.000 a word; 1.0000 bits per byte; none unknown
    """

    nats: float
    tokens: int
    unknown: int
    bytes: int
    per_token: InitVar[Array | None] = None
    spelling_nats: float = 0.0
    spacing_nats: float = 0.0
    words: int = 0
    unknown_nats: float = 0.0

    def __post_init__(self, per_token: Array | None) -> None:
        object.__setattr__(self, "per_token", per_token)   # no field: it is no figure, and does not compare

    # by the closed vocabulary -------------------------------------------------------------------------------------

    @property
    def bits(self) -> float:
        """nats / ln 2, of the closed vocabulary."""
        return self.nats / LN2

    @property
    def nats_per_token(self) -> float:
        """Mean loss of a token in nats, by the closed vocabulary; nan where there are no tokens."""
        return _share(self.nats, self.tokens)

    @property
    def bits_per_token(self) -> float:
        """Mean loss of a token in bits, by the closed vocabulary; nan where there are no tokens."""
        return self.nats_per_token / LN2

    @property
    def perplexity(self) -> float:
        """exp(nats_per_token), of the closed vocabulary. It does not compare models of different vocabularies."""
        return _exp(self.nats_per_token)

    @property
    def known_nats(self) -> float:
        """The nats of the tokens that the vocabulary has."""
        return self.nats - self.unknown_nats

    @property
    def perplexity_known(self) -> float:
        """exp(known_nats / (tokens - unknown)): the perplexity without unknown tokens, as KenLM's "excluding OOVs". It
        is lower the fewer words a model knows; nan where all are unknown."""
        return _exp(_share(self.known_nats, self.tokens - self.unknown))

    # of exactly these bytes ---------------------------------------------------------------------------------------

    @property
    def total_nats(self) -> float:
        """-log of the likelihood of exactly these bytes, given how many they are: tokens, spellings and spacing."""
        return self.nats + self.spelling_nats + self.spacing_nats

    @property
    def total_bits(self) -> float:
        """total_nats / ln 2: what an ideal coder needs for the text."""
        return self.total_nats / LN2

    @property
    def nats_per_word(self) -> float:
        """total_nats / words; nan where there are no words."""
        return _share(self.total_nats, self.words)

    @property
    def bits_per_word(self) -> float:
        """total_bits / words; nan where there are no words."""
        return self.nats_per_word / LN2

    @property
    def perplexity_per_word(self) -> float:
        """exp(total_nats / words), which compares models of any unit and vocabulary; nan where there are no words."""
        return _exp(self.nats_per_word)

    @property
    def nats_per_byte(self) -> float:
        """total_nats / bytes; nan where there are no bytes."""
        return _share(self.total_nats, self.bytes)

    @property
    def bits_per_byte(self) -> float:
        """The bits that an ideal coder needs for exactly this text, divided by its bytes; nan where there are none.

        It compares models of any unit and vocabulary. An arithmetic coder driven by the model, `fastlm.compress`,
        reaches it. Where several sequences of pieces spell the same text, it is that of the one that is read. With a
        tokenizer that changes texts, or has an unknown token, it is only that of what the tokenizer keeps.
        """
        return self.nats_per_byte / LN2

    def to_dict(self) -> dict[str, Any]:
        """Return every figure by its name: the counts, and nats, bits and perplexities with every divisor."""
        return {name: getattr(self, name) for name in FIGURES}

    def __str__(self) -> str:
        unknown = f"{self.unknown:,} unknown" if self.unknown else "none unknown"
        return (f"{self.nats:,.4f} nats ({self.bits:,.4f} bits) for {self.tokens:,} tokens: perplexity "
                f"{self.perplexity:,.3f} a token, {self.perplexity_per_word:,.3f} a word; {self.bits_per_byte:.4f} "
                f"bits per byte; {unknown}")


FIGURES = tuple([field.name for field in fields(Score)] +
                [name for name, value in vars(Score).items() if isinstance(value, property)])


class Scores(Sequence[Score]):
    """The scores of many texts. An item is the `Score` of one text; each of its figures, such as ``scores.nats`` or
    ``scores.perplexity_per_word``, is an array (N,) of all texts.

    figures (8, N) float64: nats, tokens, unknown, bytes, nats of spelling and of spacing, words, nats of unknown ones.

    >>> scores = Scores.of([Score(4.0, 2, 0, 8), Score(9.0, 3, 1, 9)])
    >>> scores.nats_per_token.tolist(), scores[1].tokens, len(scores)
    ([2.0, 3.0], 3, 2)
    """

    def __init__(self, figures: Array) -> None:
        self.figures = figures
        names = ("nats", "tokens", "unknown", "bytes", "spelling_nats", "spacing_nats", "words", "unknown_nats")
        columns: dict[str, Any] = {name: row.astype(np.int64) if name in _COUNTS else row
                                   for name, row in zip(names, figures, strict=True)}
        self._columns = Score(**columns)   # whose figures are arrays

    @classmethod
    def of(cls, scores: Iterable[Score]) -> Scores:
        """Return the scores of a list as one table."""
        rows = [(s.nats, s.tokens, s.unknown, s.bytes, s.spelling_nats, s.spacing_nats, s.words, s.unknown_nats)
                for s in scores]
        return cls(np.array(rows, np.float64).reshape(-1, _OF_DOCUMENT).T)

    def __len__(self) -> int:
        return self.figures.shape[1]

    @overload
    def __getitem__(self, index: int) -> Score: ...
    @overload
    def __getitem__(self, index: slice) -> Scores: ...
    def __getitem__(self, index: int | slice) -> Score | Scores:
        """Return the score of one text, or those of some."""
        if isinstance(index, slice):
            return Scores(self.figures[:, index])
        return _score(self.figures[:, range(len(self))[index]].tolist())

    def __iter__(self) -> Iterator[Score]:
        return map(_score, self.figures.T.tolist())

    def __getattr__(self, name: str) -> Array:
        """Return one figure of all texts (N,), int64 of counts and float64 of others."""
        if name not in FIGURES:
            raise AttributeError(f"scores have no {name!r}; one of {', '.join(FIGURES)} was expected")
        found: Any = getattr(self._columns, name)
        return found

    def to_dict(self) -> dict[str, Array]:
        """Return {figure: array (N,)} of all figures."""
        return {name: getattr(self, name) for name in FIGURES}

    def to_pandas(self) -> Any:
        """Return a data frame of pandas with a row for each text and a column for each figure; ImportError where pandas
        is not installed."""
        return data_frame(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and np.array_equal(self.figures, other.figures)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Scores of {len(self):,} texts>"


_COUNTS = {"tokens", "unknown", "bytes", "words"}


def data_frame(columns: dict[str, Any]) -> Any:
    """Return columns as a data frame of pandas; ImportError where it is not installed."""
    return import_module("pandas").DataFrame(columns)


def _share(total: Any, count: Any) -> Any:
    """Return total / count, nan where the count is 0: of numbers, or of arrays (N,)."""
    if isinstance(count, np.ndarray):
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return total / count if count else math.nan


def _exp(x: Any) -> Any:
    """Return exp(x), inf where that is too large: of a number, or of an array (N,)."""
    with np.errstate(over="ignore"):
        return np.exp(x) if isinstance(x, np.ndarray) else float(np.exp(x))


# from the losses of tokens --------------------------------------------------------------------------------------------

Scored = Iterable[tuple["Block", Array]]
Escape = Callable[["Block", Array], Array]
_OF_DOCUMENT = 8     # figures


def total(scored: Scored, escape: Escape, per_token: bool) -> Score:
    """Return the figures of all blocks that `score_blocks` yields together.

    The blocks' own figures are the nats of spelling and of spacing and the words of each document. escape: returns for
    a block and its losses what each token costs more, (N,), because unknown ones are spelt. per_token: whether to keep
    every loss. Raises ValueError where the blocks hold no token.
    """
    figures, kept = np.zeros(_OF_DOCUMENT), []
    for block, losses in scored:
        figures += _by_document(block, losses, escape).sum(1)
        if per_token:
            kept.append(losses)
    if not figures[1]:
        raise ValueError("the corpus is empty: there is no token in it")
    return _score(figures.tolist(), np.concatenate(kept) if per_token else None)


def by_document(scored: Scored, escape: Escape) -> Iterator[Score]:
    """Yield the figures of one document after another of the blocks that `score_blocks` yields, of empty ones too; the
    arguments are those of `total`."""
    for figures in tables(scored, escape):
        yield from map(_score, figures.T.tolist())


def tables(scored: Scored, escape: Escape) -> Iterator[Array]:
    """Yield the figures (8, D) of the documents that end in each of the blocks that `score_blocks` yields."""
    before = np.zeros(_OF_DOCUMENT)   # of the document that goes on in the next block
    for block, losses in scored:
        figures = _by_document(block, losses, escape)
        figures[:, 0] += before
        ended = figures.shape[1] - block.unended
        before = figures[:, -1].copy() if block.unended else np.zeros(_OF_DOCUMENT)
        yield figures[:, :ended]


def _by_document(block: Block, losses: Array, escape: Escape) -> Array:
    """Return the figures (8, D) of each document: nats, tokens, unknown, bytes, spelling, spacing, words, and the nats
    of unknown tokens."""
    of_unknown = np.zeros(len(losses))
    of_unknown[block.unknown_at] = losses[block.unknown_at]
    nats, more, unknown_nats = (np.diff(np.concatenate([[0.0], np.cumsum(values)])[block.offsets])
                                for values in (losses, escape(block, losses), of_unknown))
    spelling, spacing, words = block.figures
    unknown = np.diff(np.searchsorted(block.unknown_at, block.offsets))
    return np.stack([nats, np.diff(block.offsets), unknown, block.bytes, spelling + more, spacing, words, unknown_nats])


def _score(figures: Sequence[float], per_token: Array | None = None) -> Score:
    nats, tokens, unknown, size, spelling, spacing, words, unknown_nats = figures
    return Score(nats, int(tokens), int(unknown), int(size), per_token, spelling, spacing, int(words), unknown_nats)
