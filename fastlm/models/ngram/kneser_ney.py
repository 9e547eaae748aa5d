"""The n-gram model: counted, not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, empty
from fastlm.batch import Batch, State
from fastlm.heads import Head
from fastlm.models.base import PrefixModel
from fastlm.models.initial import reserve
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers

Array = np.ndarray
TABLES = ("word", "link", "child", "logp", "backoff")
FALLBACK = (0.0, 0.5, 1.0, 1.5)
BUDGET_BYTES = 1.3e9   # bytes, so that a text of 100 MB is counted in 2 GB, all told
_TASKS = 16      # shares of the work, whatever the number of threads
_PIECES = 16     # of a text too long to be counted whole
_ROWS = 1 << 16


class KneserNey(PrefixModel):
    """p(w|h) = (a(hw) - D(a(hw))) / S(h) + gamma(h) p(w|h'), h' being h without its oldest token; 1/V ends the chain.

    Interpolated modified Kneser-Ney (Chen & Goodman 1999). a is how often an n-gram of `order` tokens occurs, of a
    shorter one how many tokens it was met after, plus how often it began a document. S(h) = sum a(hw) over w,
    gamma(h) = sum D(a(hw)) / S(h). Every order has three discounts, for a = 1, 2 and 3 or more: D_k = k - (k+1) Y
    t_k+1 / t_k with Y = t_1 / (t_1 + 2 t_2), t_k being how many n-grams of that order have a = k; where a t_k is 0 or a
    D_k outside (0, k], as in small vocabularies, they are 0.5, 1 and 1.5.

    `boundary`: a token that ends contexts, so that nothing before it is looked at; None: contexts run on through the
    document. The state is the longest context that has been seen, and follows a link when it must become shorter: one
    more token costs about two searches, whatever the order, and a target's probability does not cost V.
    Before `fit` every token is equally likely.

    >>> model = KneserNey(vocab_size=5, order=3).fit([[4, 0, 4, 0, 1]])
    >>> model.log_probabilities([4, 0]).argmax(1).tolist()
    [0, 1]
    """

    def __init__(self, vocab_size: int, order: int = 5, boundary: int | None = None) -> None:
        super().__init__(vocab_size, order=order, boundary=boundary)
        if not isinstance(order, int | np.integer) or not 1 <= order <= _core.MAX_ORDER:
            raise ValueError(f"order = {order!r}; a whole number of 1 to {_core.MAX_ORDER} tokens was expected")
        if boundary is not None and not (isinstance(boundary, int | np.integer) and 0 <= boundary < vocab_size):
            raise ValueError(f"boundary = {boundary!r}; an id below {vocab_size} was expected, or None")
        self.order, self.boundary = int(order), boundary
        self.head = CountedOutput(self)
        self.counts: Counts | None = None
        self.counted_whole, self.note = True, ""
        reserve(12 * vocab_size, f"the tables of {vocab_size} single tokens")
        words = np.arange(vocab_size, dtype=np.int32)
        self._use({"word": words, "link": np.full(vocab_size, -1, np.int32),
                   "child": np.array([vocab_size], np.int32), "backoff": np.zeros(0, np.float32),
                   "logp": np.full(vocab_size, -np.log(vocab_size), np.float32)})

    def _use(self, tables: dict[str, Array]) -> None:
        self.ngrams = _core.NGrams(tables["word"], tables["link"], tables["child"], tables["logp"], tables["backoff"],
                                   self.vocab_size, self.order)
        self.tables = tables

    def fit(self, corpus: Corpus | Iterable[Any], threads: int | None = None,
            budget_bytes: float = BUDGET_BYTES) -> KneserNey:
        """Counts a text, a Corpus or id sequences, one a document, and returns the model itself.

        budget_bytes: memory that counting may take beside the text, about; a text too long for it is counted in part,
        then `order` is lowered as far as it must be: ``counted_whole`` is false then, and ``note`` says so to people.

        Every document is read after the corpus's boundary token, where it has one; otherwise its first token is read
        and not predicted. Any text will do. Any number of threads gives the same bytes. Raises IndexError for ids
        outside the vocabulary.
        """
        if not isinstance(corpus, Corpus):
            corpus = Corpus.from_ids(corpus)
        whole, wanted = len(corpus.ids), self.order
        corpus = at_most(corpus, int(budget_bytes / 48))
        counted = len(corpus.ids)
        ids, starts = stream(corpus)
        del corpus
        builder = _core.NGramBuilder(ids, starts, -1 if self.boundary is None else self.boundary, self.order,
                                     self.vocab_size, _TASKS)
        del ids, starts                 # the builder lets go of them before it needs the most memory
        with Workers(threads) as workers:
            def share(step: Callable[..., None], *arguments: Any) -> None:
                workers.map(lambda task: step(task, *arguments), range(_TASKS))
            share(builder.sort)
            builder.lower(budget_bytes)
            self.order = builder.order
            self.options = self.options | {"order": builder.order}
            builder.allocate()
            for level in range(2, self.order + 1):
                builder.level(level)
                share(builder.number, level)
            count, ends = builder.counted()
            discounts = np.array([estimate_discounts(_core.count_counts(count[a:b]))
                                  for a, b in zip([0, *ends[1:-1]], ends[1:], strict=True)])
            builder.unigrams(discounts[0])
            for level in range(2, self.order + 1):
                builder.longer(level)
                share(builder.estimate, level, discounts[level - 1])
        self._use(dict(zip(TABLES, builder.tables(), strict=True)))
        self.counts = Counts(count, discounts, self.tables["child"], ends)
        self.counted_whole = (counted, self.order) == (whole, wanted)
        self.note = "" if self.counted_whole else (
            f"; {counted:,} of {whole:,} tokens and order {self.order} of {wanted}, to stay within "
            f"{budget_bytes / 1e9:g} GB")
        return self

    def left_out(self, rows: Any, targets: Array, logits: bool = False) -> tuple[Array, Array | None]:
        """What the model would say about its own text, had it not counted the very token it is asked for.

        rows: what `features` gives for the text that `fit` counted, read from its documents' beginnings; targets (N,)
        int32, -1 for none. Returns nats (N,) float64 and, with `logits`, log-probabilities (N, V) of every token, else
        None. On its own text the plain model is far too sure of itself for a network to be trained beside it. Raises
        ValueError for a model that was not fitted here, or where a target did not follow in that text.
        """
        if self.counts is None:
            raise ValueError("the counts are not in the model file; fit the model again to leave one out")
        nodes, nats = _nodes(rows), np.empty(len(targets), np.float64)
        out = empty((len(nodes), self.vocab_size)) if logits else None
        self.ngrams.left_out(nats, out, self.counts.adjusted, self.counts.discounts, *self.counts.sums,
                             nodes, targets)
        return nats, out

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return State(batch, context=np.full(batch, -1, np.int32))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """The number of every row's context (N,) int32, and the states the sequences end in."""
        state = state or self.start(batch.sequences)
        rows, lanes = np.empty(len(batch), np.int32), batch.to_packed(state["context"])
        self.ngrams.read(rows, lanes, batch.ids, batch.starts, batch.size)
        return Variable(rows), State(batch.sequences, context=batch.from_packed(lanes))

    def score(self, inputs: Array, targets: Array) -> Array | None:
        if len(inputs) and (targets[-1] < 0 or not np.array_equal(inputs[1:], targets[:-1])):
            return None
        out = np.empty(len(targets), np.float64)
        if len(inputs):
            first = self.ngrams.score(np.empty(1), inputs[:1], -1)
            self.ngrams.score(out, targets, first)
        return out

    def quantized(self) -> KneserNey:
        """The model itself: counts have no matrices, and it is read-only."""
        return self

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        return self.tables

    def restore(self, tensors: dict[str, Array]) -> None:
        if tensors.keys() != set(TABLES):
            raise ValueError(f"it holds the tables {sorted(tensors)}; {sorted(TABLES)} were expected")
        self._use({name: tensors[name] for name in TABLES})
        self.counts = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "ngrams"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._use(self.tables)

    def __repr__(self) -> str:
        return f"{super().__repr__().partition(', 0 parameters')[0]}, {len(self.tables['word']):,} n-grams>"


class Counts:
    """What a text was counted to: ``adjusted`` (n-grams,) int32, a of every n-gram; ``discounts`` (order, 4) float64, D
    of 0, 1, 2 and 3 or more for every order."""

    def __init__(self, adjusted: Array, discounts: Array, child: Array, ends: list[int]) -> None:
        """child (contexts + 1,): where what follows each context begins; ends (order + 1,): where each order ends."""
        self.adjusted, self.discounts = adjusted, discounts
        self._child, self._ends = child, ends

    @cached_property
    def sums(self) -> tuple[Array, Array]:
        """The sums of a and of D over what follows each context, last over single tokens: (contexts + 1,) float64."""
        level = np.repeat(np.arange(len(self.discounts)), np.diff([0, *self._ends[1:]]))
        sums = []
        for values in (self.adjusted, self.discounts[level, np.minimum(self.adjusted, 3)]):
            running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
            after = running[self._child[1:]] - running[self._child[:-1]]
            sums.append(np.append(after, running[self._ends[1]]))
        return sums[0], sums[1]


class CountedOutput(Head):
    """Reads the numbers of contexts, of a model that has its n-grams as ``ngrams``."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, x: Any) -> Variable:
        nodes = _nodes(x)
        out = empty((len(nodes), self.model.vocab_size))
        self.model.ngrams.log_probabilities(out, nodes)
        return Variable(out)

    def nats(self, x: Any, targets: Array) -> Array:
        out = np.empty(len(targets), np.float64)
        self.model.ngrams.nats(out, _nodes(x), targets)
        return out

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        return self.model.ngrams.top(_nodes(x), k)

    def rows_together(self, vocab_size: int) -> int:
        return _ROWS

    def check_loss(self, kind: str) -> str:
        raise ValueError(f"a {type(self.model).__name__} model is counted and not trained; call its fit() instead of a "
                         "Trainer's")


def _nodes(x: Any) -> Array:
    return np.ascontiguousarray(x.value if isinstance(x, Variable) else x, np.int32)


def at_most(corpus: Corpus, tokens: int) -> Corpus:
    """The corpus, or where it is longer 16 pieces of it, evenly spaced, of so many tokens together (but for 15)."""
    if len(corpus.ids) <= tokens:
        return corpus
    length = max(1, tokens // _PIECES)
    firsts = [(len(corpus.ids) - length) * index // (_PIECES - 1) for index in range(_PIECES)]
    return Corpus.concatenate([corpus.slice(first, first + length) for first in firsts])


def stream(corpus: Corpus) -> tuple[Array, Array]:
    """The ids of all documents (n,) int32, each after the corpus's boundary where it has one, and (n,) uint8: 1 at
    every document's first token, which is read and not predicted."""
    firsts = corpus.first_tokens()
    if corpus.boundary is None:
        ids = corpus.ids
    else:
        ids = np.insert(corpus.ids, firsts, np.int32(corpus.boundary))
        firsts = firsts + np.arange(len(firsts))
    starts = np.zeros(len(ids), np.uint8)
    starts[firsts] = 1
    return ids, starts


def estimate_discounts(times: Array) -> tuple[float, ...]:
    """(0, D1, D2, D3+) from how many n-grams of an order have a = 1, 2, 3 and 4: times (5,), its first unused.

    >>> [round(discount, 4) for discount in estimate_discounts(np.array([0, 8, 4, 2, 1]))]
    [0.0, 0.5, 1.25, 2.0]
    """
    t1, t2, t3, t4 = (float(count) for count in times[1:])
    if min(t1, t2, t3) == 0:
        return FALLBACK
    y = t1 / (t1 + 2 * t2)
    discounts = (0.0, 1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
    return discounts if all(0 < discounts[k] <= k for k in (1, 2, 3)) else FALLBACK
