"""What a model thinks of every token of a text, and of every word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, overload

import numpy as np

from fastlm import _core
from fastlm.autodiff import Tape
from fastlm.batch import Batch, Rows, State
from fastlm.heads.base import likeliest as likeliest_of
from fastlm.models import CacheModel, KneserNey, Mixture, PrefixModel
from fastlm.prefix_state import name_tokens
from fastlm.scoring.score import LN2, data_frame
from fastlm.scoring.spans import spans
from fastlm.text.blocks import Block
from fastlm.text.vocabulary import Vocabulary
from fastlm.workers import stop_if_asked

Array = np.ndarray
BLANKS = ("after", "before")


@dataclass(frozen=True)
class TokenScore:
    """One token of a text: it is text[start:end], nothing for an end that is not written; ``token``: its name in the
    vocabulary. ``nats``: its surprisal -ln p; ``rank``: how many tokens were at least as likely, itself included, so
    that 1 is the most likely one; ``entropy`` in nats, of the whole distribution; ``order``: the tokens of the longest
    n-gram that the model has counted which ends here, 0 where it counts none; ``unknown``: whether the vocabulary lacks
    it, when its nats are those of ``<unk>`` alone and ``spelling_nats`` those of its spelling; ``alternatives``: the
    most likely tokens there with their probabilities, where they were asked for."""

    start: int
    end: int
    text: str
    token: str
    nats: float
    rank: int
    entropy: float
    order: int
    unknown: bool
    spelling_nats: float
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def bits(self) -> float:
        """The surprisal -log2 p."""
        return self.nats / LN2

    @property
    def probability(self) -> float:
        """exp(-nats)."""
        return float(np.exp(-self.nats))


@dataclass(frozen=True)
class WordScore:
    """One word of a text, text[start:end]: ``nats``, its surprisal, and ``bits``; how many ``tokens`` it is made of;
    ``unknown``: whether the vocabulary lacks one of them."""

    start: int
    end: int
    text: str
    nats: float
    tokens: int
    unknown: bool

    @property
    def bits(self) -> float:
        """The surprisal -log2 p."""
        return self.nats / LN2


Item = TypeVar("Item", TokenScore, WordScore)


class _Table(Sequence[Item]):
    """Items of a text in its order, as a sequence, a dictionary of lists, or a table."""

    def __init__(self, text: str, items: Iterable[Item]) -> None:
        self.text = text
        self._items: tuple[Item, ...] = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self._items[index]

    def to_dict(self) -> dict[str, list[Any]]:
        """Return {name: values of all items}, surprisals in bits too."""
        rows = [asdict(item) | {"bits": item.bits} for item in self._items]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def to_pandas(self) -> Any:
        """Return a data frame of pandas with a row for each item; ImportError where pandas is not installed."""
        return data_frame(self.to_dict())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} items>"

    def __str__(self) -> str:
        return "\n".join(f"{item.bits:9.3f} bits  {item.text!r}" for item in self._items)


class WordScores(_Table[WordScore]):
    """The `WordScore` of every word of a text, in its order."""


class TokenScores(_Table[TokenScore]):
    """The `TokenScore` of every token of a text, in its order. ``text``: as it was read; `words` sums to words.

    ``unit``: that of the vocabulary; ``blank`` (N + 1,) float64: -ln of the probability that before each token, and
    after the last one, there comes something that ends a word: a token that begins with a blank, or an end.
    """

    def __init__(self, text: str, items: Iterable[TokenScore], unit: str, blank: Array) -> None:
        super().__init__(text, items)
        self.unit, self.blank = unit, blank

    def words(self, blanks: str = "after") -> WordScores:
        """Return the surprisal of every word, what stands between blanks.

        blanks: "after", -ln p of the word and that it ends there, after the text before it and the blank: the blank
        before a word, which pieces such as " cat" hold, belongs to the word before. So the surprisals of "cat" and of
        "catalogue" compare, whatever a token is (Pimentel & Meister 2024; Oh & Schuler 2024). "before": each token's
        surprisal counts to the word in which it ends, blanks to the word after them; of words, pieces, characters and
        bytes alike the sum is that of all tokens up to the end of the last word. Raises ValueError for another name.
        """
        if blanks not in BLANKS:
            raise ValueError(f"blanks = {blanks!r}; one of {', '.join(BLANKS)} was expected")
        return WordScores(self.text, self._words(blanks == "after"))

    def _words(self, after: bool) -> Iterator[WordScore]:
        at = 0
        for match in re.finditer(r"\S+", self.text):
            first = at
            while at < len(self) and self[at].end <= match.start():
                at += 1                         # blanks, and ends of lines and documents
            if after:
                first = at
            inside = at
            while at < len(self) and self[at].end <= match.end() and self[at].start < match.end():
                at += 1
            tokens = self[first:at]
            nats = sum(token.nats for token in tokens)
            if after and self.unit != "word":
                nats += float(self.blank[at])
                if inside < at and self[inside].text[:1].isspace():
                    nats -= float(self.blank[inside])
            yield WordScore(match.start(), match.end(), match.group(), float(nats), at - inside,
                            any(token.unknown for token in tokens))


def token_scores(model: PrefixModel, vocabulary: Vocabulary, text: bytes, block: Block,
                 spell: Callable[[list[bytes]], Array], k: int = 0) -> TokenScores:
    """Return the scores of all tokens of a text.

    text: its UTF-8, as it was read into the block, which has all of it; spell: returns for unknown tokens what their
    spellings cost (n,), in nats; k: how many alternatives each token has.
    """
    nats, ranks, entropies, orders, likeliest, theirs, blank = (np.concatenate(parts) for parts in zip(
        *(_of_document(model, vocabulary, block.ids[first:last], last == len(block.ids), k)
          for first, last in zip(block.offsets[:-1], block.offsets[1:], strict=True) if last > first), strict=True))
    written = text.decode("utf-8", "surrogateescape")
    begin, end = spans(vocabulary, text, block.ids)
    spelt, unknown = np.zeros(len(nats)), np.zeros(len(nats), bool)
    unknown[block.unknown_at] = True
    spelt[unknown] = spell([written[start:stop].encode("utf-8", "surrogateescape")
                            for start, stop in zip(begin[unknown].tolist(), end[unknown].tolist(), strict=True)])
    columns = (begin.tolist(), end.tolist(), block.ids.tolist(), nats.tolist(), ranks.tolist(), entropies.tolist(),
               orders.tolist(), unknown.tolist(), spelt.tolist(),
               [tuple(name_tokens(vocabulary, *row)) for row in zip(likeliest, theirs, strict=True)])
    items = (TokenScore(start, stop, written[start:stop], vocabulary.name(id) or "", *figures)
             for start, stop, id, *figures in zip(*columns, strict=True))
    return TokenScores(written, items, vocabulary.unit, blank)


def _of_document(model: PrefixModel, vocabulary: Vocabulary, ids: Array, is_last: bool, k: int) -> tuple[Array, ...]:
    """Return for each token (n,) of a document its nats, rank, entropy and order, the k likeliest and their log p
    (n, k), and for `TokenScores.blank` (n,), of the last document (n + 1,)."""
    inputs = np.concatenate([np.array([vocabulary.boundary], np.int32), ids])[: len(ids) + is_last]
    targets = np.append(ids, -1)[: len(inputs)]
    opens = np.flatnonzero(_ends_words(vocabulary))
    found: list[tuple[Array, ...]] = []
    state: State | None = None
    together = min(model.rows_together(), max(1, (1 << 22) // len(vocabulary)))
    for first in range(0, len(inputs), together):
        stop_if_asked()
        part = slice(first, first + together)
        with Tape(record=False):
            rows, state = model.forward(Batch.one(inputs[part]), state)
            found.append(_of_rows(model, rows, targets[part], opens, k))
    *of_tokens, blank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return *(values[: len(ids)] for values in of_tokens), blank


def _of_rows(model: PrefixModel, rows: Any, targets: Array, opens: Array, k: int) -> tuple[Array, ...]:
    logits = model.head.logits(rows).value
    log_p = np.empty(logits.shape, np.float32)
    _core.log_softmax(log_p, logits)
    own = np.maximum(targets, 0)
    mine = log_p[np.arange(len(own)), own]
    p = np.exp(log_p)
    entropy = -np.einsum("nv,nv->n", p, log_p, dtype=np.float64)
    with np.errstate(divide="ignore"):
        blank = -np.log(p[:, opens].sum(1, dtype=np.float64))
    return (-mine.astype(np.float64), (log_p >= mine[:, None]).sum(1), entropy, matched_orders(model, rows, own),
            *likeliest_of(log_p, k), blank)


def matched_orders(model: PrefixModel, rows: Any, targets: Array) -> Array:
    """Return the tokens (N,) of the longest n-gram of the model's plain n-grams that ends with each target; zeros where
    it has none."""
    if isinstance(model, KneserNey):
        nodes = rows.value if hasattr(rows, "value") else rows
        return model.ngrams.matched(np.ascontiguousarray(nodes, np.int32), np.ascontiguousarray(targets, np.int32))
    value = rows.value
    if isinstance(model, CacheModel) and isinstance(value, Rows):
        return matched_orders(model.model, value.parts[0], targets)
    if isinstance(model, Mixture) and isinstance(model.parts[0], KneserNey):
        return matched_orders(model.parts[0], value.parts[0], targets)
    return np.zeros(len(targets), np.int32)


def _ends_words(vocabulary: Vocabulary) -> Array:
    """Return which tokens (V,) bool end the word before them: they begin with a blank, or end a line or document."""
    ends = np.array([(token or "")[:1].isspace() for token in vocabulary.tokens])
    for id in (vocabulary.end_of_document, vocabulary.end_of_line):
        if id is not None:
            ends[id] = True
    return ends
