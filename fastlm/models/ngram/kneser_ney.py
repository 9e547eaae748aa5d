"""The n-gram model with interpolated modified Kneser-Ney smoothing, which is counted and not trained."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, empty
from fastlm.batch import Batch, State
from fastlm.heads import Head
from fastlm.models.base import PrefixModel
from fastlm.models.initial import are_checked, named, reserve
from fastlm.models.ngram.counting import AT_ONCE_BYTES, count, share
from fastlm.models.ngram.discounts import discounts_of
from fastlm.models.ngram.packed import PLAIN, Tables, pack_trie, trie_ends
from fastlm.models.ngram.pruning import check_share, pack_share
from fastlm.models.ngram.segments import kept_of, less_than
from fastlm.models.ngram.streams import pieces
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers

Array = np.ndarray
TABLES = _core.PACKED
BUDGET_BYTES = 1.3e9   # for counting, beside the text: so a text of 100 MB is counted within 2 GB in all
_ROWS = 1 << 16        # read at once; a row is one number here, so more of them fit than of a network


class KneserNey(PrefixModel):
    """p(w|h) = (a(hw) - D(a(hw))) / S(h) + gamma(h) p(w|h'), h' being h without its oldest token; 1/V ends the chain.

    Interpolated modified Kneser-Ney (Chen & Goodman 1999). a(g), the adjusted count of an n-gram g, is the number of
    times that g occurs if it has `order` tokens; if it is shorter, the number of different tokens that it was met
    after, plus the number of documents that begin with it. S(h) = sum a(hw) over w, gamma(h) = sum D(a(hw)) / S(h).
    Every order has three discounts, for a = 1, 2 and 3 or more: D_k = k - (k+1) Y t_k+1 / t_k with
    Y = t_1 / (t_1 + 2 t_2), where t_k is the number of n-grams of that order with a = k. Where a t_k is 0 or a D_k is
    outside (0, k], as in small vocabularies, the discounts are 0.5, 1 and 1.5.

    `repeated_above`: of n-grams with more tokens than this only those are kept whose context, the tokens before the
    last one, occurs more than once; None: all. After every context that is kept the probabilities are the same; after
    the others they are those after the longest one that is kept. Half of the n-grams of order 12 go so, at a cost of a
    thousandth of the loss, in texts full of repetitions of a hundredth.

    `boundary`: a token that contexts do not reach past, such as the end of a line; None: they reach back through the
    whole document. The state is the longest known context, and follows a link when it must become shorter:
    one more token costs about two searches, whatever the order, and a target's probability does not cost V.
    Before `fit` every token is equally likely.

    An n-gram takes 6 to 8 bytes, in memory and in the file: of 4,096 n-grams or more the probabilities are rounded to
    a thousand values, and what is left to shorter contexts is computed from these, so that they sum to one.

    >>> model = KneserNey(vocab_size=5, order=3).fit([[4, 0, 4, 0, 1]])
    >>> model.log_probabilities([4, 0]).argmax(1).tolist()
    [0, 1]
    """

    def __init__(self, vocab_size: int, order: int = 5, boundary: int | None = None, normalized: bool = True,
                 repeated_above: int | None = None) -> None:
        super().__init__(vocab_size, order=order, boundary=boundary,
                         **named(normalized=None if normalized else False, repeated_above=repeated_above))
        if not isinstance(order, int | np.integer) or not 1 <= order <= _core.MAX_ORDER:
            raise ValueError(f"order = {order!r}; a whole number of 1 to {_core.MAX_ORDER} tokens was expected")
        if boundary is not None and not (isinstance(boundary, int | np.integer) and 0 <= boundary < vocab_size):
            raise ValueError(f"boundary = {boundary!r}; an id below {vocab_size} was expected, or None")
        if repeated_above is not None and not (isinstance(repeated_above, int | np.integer) and repeated_above >= 2):
            raise ValueError(f"repeated_above = {repeated_above!r}; a number of tokens from 2 on was expected, or None")
        self.order, self.boundary, self.normalized = int(order), boundary, bool(normalized)
        self.repeated_above = repeated_above
        self.head = CountedOutput(self)
        self.counts: Counts | None = None
        self.counted_whole, self.pruned, self.note = True, False, ""
        reserve(12 * vocab_size, f"the tables of {vocab_size} single tokens")
        unigrams = np.full(vocab_size, -np.log(vocab_size), np.float32)
        self._use({"grams": np.zeros(8, np.uint8), "contexts": np.zeros(8, np.uint8),
                   "blocks": np.array([vocab_size, 0]), "inner": np.zeros(0, np.int32), "unigrams": unigrams,
                   "book": np.zeros(0, np.float32), "shape": np.array([vocab_size, 0, 32, 0])}, checked=True)

    def _use(self, tables: Tables, checked: bool = False) -> None:
        self.ngrams = _core.NGrams(tables, self.vocab_size, self.order, self.normalized, checked or are_checked())
        self.tables = tables

    def fit(self, corpus: Corpus | Iterable[Any], threads: int | None = None,
            budget_bytes: float = BUDGET_BYTES, keep_counts: bool = False,
            most_tokens: int | None = None, kept_share: float = 1.0) -> KneserNey:
        """Count a text, a Corpus or id sequences, one for each document; return the model itself.

        budget_bytes: about how much memory counting may take beside the text. A text too long for it is counted in
        segments, which are merged in a temporary file of some 10 bytes a token (in the folder that the environment
        variable TMPDIR names); the tables are the same, bit by bit. Where these would take more memory, n-grams that
        occur once are left out, the longest first, and in the end `order` is lowered: ``counted_whole`` is false in
        that case, and ``note`` describes it in words.
        keep_counts: whether the counts stay in memory, for `leave_one_out`. most_tokens: how many tokens to count at
        most, because there is no time for more; None for no limit. kept_share: of the bytes that all n-grams would
        take: below 1 those that matter least are left out, see `pruning`, and no counts can be kept.

        Every document is read after the corpus's boundary token, where it has one; otherwise its first token is read
        and not predicted. Every text can be counted. Any number of threads gives the same bytes. Raises IndexError for
        ids outside the vocabulary, ValueError for a share that is not above 0 and at most 1.
        """
        check_share(kept_share)
        if kept_share < 1 and keep_counts:
            raise ValueError(f"kept_share = {kept_share}; 1 was expected where counts are kept")
        if not isinstance(corpus, Corpus):
            corpus = Corpus.from_ids(corpus)
        given, asked = len(corpus.ids), kept_of(self.order, self.repeated_above)
        # Single tokens are not merged, and there are few texts in which they are asked for alone.
        affordable = min(given, int(budget_bytes / AT_ONCE_BYTES)) if self.order == 1 else given
        hurried = most_tokens is not None and most_tokens < affordable
        parts = pieces(corpus, most_tokens if hurried else affordable)     # type: ignore[arg-type]
        tokens = sum(len(part) for part in parts)
        del corpus
        with Workers(threads) as workers:
            builder, left_out, kept = count(parts, self.vocab_size, self.order, -1 if self.boundary is None
                                            else self.boundary, self.repeated_above, workers, budget_bytes)
            self.order = kept.order
            self.options = self.options | {"order": kept.order}
            counts, ends = builder.counted(keep_counts)
            discounts = np.array([discounts_of(counts[a:b], more) for a, b, more
                                  in zip([0, *ends[1:-1]], ends[1:], left_out[1:self.order + 1], strict=True)])
            builder.unigrams(discounts[0])
            for level in range(2, self.order + 1):
                builder.longer(level)
                share(workers, builder.estimate, level, discounts[level - 1])
        plain = dict(zip(PLAIN, builder.tables(), strict=True))
        del builder
        self.counts = Counts(counts, discounts, plain, ends) if keep_counts else None
        del counts
        self._use(pack_trie(plain, self.vocab_size, ends, threads) if kept_share == 1
                  else pack_share(plain, self.vocab_size, ends, kept_share, threads), checked=True)
        self.counted_whole, self.pruned = tokens == given and kept == asked, kept.once
        within = f"to stay within {budget_bytes / 1e9:g} GB"
        part = "" if tokens == given else \
            f"; {tokens:,} of {given:,} tokens, {'to stay within the time' if hurried else within}"
        self.note = part + less_than(asked, kept, within)
        return self

    def leave_one_out(self, rows: Any, targets: Array, logits: bool = False) -> tuple[Array, Array | None]:
        """Return what the model would predict on its own text if it had not counted the one occurrence it is asked for.

        On its own text the plain model is far too sure of itself for a network to be trained beside it.

        rows: what `forward` gives for the text that `fit` counted, read from the beginning of its documents. targets
        (N,) int32: the token that follows each row there, -1 for none. Returns -log p (N,) float64 of the targets and,
        with `logits`, log-probabilities (N, V) of every token, else None. Raises ValueError for a model that was not
        fitted here with `keep_counts`, for one without the n-grams that `repeated_above` leaves out, and where a target
        did not follow its context in that text.
        """
        if self.repeated_above is not None and self.repeated_above < self.order:
            raise ValueError(f"repeated_above = {self.repeated_above} left n-grams out; a model of all n-grams was "
                             "expected")
        if self.pruned:
            raise ValueError("n-grams that occur once were left out, to save memory; a model of all n-grams was "
                             "expected")
        if self.counts is None:
            raise ValueError("the counts of the model were not kept; fit it again with keep_counts=True to leave one "
                             "out")
        nodes, nll = _nodes(rows), np.empty(len(targets), np.float64)
        out = empty((len(nodes), self.vocab_size)) if logits else None
        self.counts.left_out(nll, out, nodes, targets)
        if out is not None and (targets < 0).any():
            out[targets < 0] = self.head.logits(nodes[targets < 0]).value
        return nll, out

    def take(self, tables: Tables) -> None:
        """Replace the tables by others, such as `pruning.prune` makes them of this model."""
        self._use(tables, checked=True)

    def unpacked(self) -> Tables:
        """Return the n-grams as plain arrays: word, link (n-grams,) int32, child (contexts + 1,) int32, logp (n-grams,)
        and backoff (contexts,) float32.

        Level after level, n-gram v < V is token v, and those that are one token longer than n-gram h and begin with it
        are child[h] to child[h + 1], in the order of their last tokens, ``word``. link: the longest n-gram that ends
        another one, -1 for single tokens; logp: ln p of the last token after those before it; backoff: what is added to
        ln p after a context that is a token shorter, where the n-gram itself is not there.
        """
        return dict(zip(PLAIN, self.ngrams.unpack(), strict=True))

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return State(batch, context=np.full(batch, -1, np.int32))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """Return the number of the longest known context of every prefix (N,) int32, and the states after the batch."""
        state = state or self.start(batch.sequences)
        rows, contexts = np.empty(len(batch), np.int32), batch.to_packed(state["context"])
        self.ngrams.read(rows, contexts, batch.ids, batch.starts, batch.size)
        return Variable(rows), State(batch.sequences, context=batch.from_packed(contexts))

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        """Return whether every target is the next token read, as in a document: one search then does for both."""
        return not len(inputs) or bool(targets[-1] >= 0 and np.array_equal(inputs[1:], targets[:-1]))

    def score_on(self, inputs: Array, targets: Array, state: State | None = None) -> tuple[Array, State | None]:
        if not len(inputs) or not self.scores_directly(inputs, targets):
            return super().score_on(inputs, targets, state)
        nll = np.empty(len(targets), np.float64)
        context = self.ngrams.score(np.empty(1), inputs[:1], -1 if state is None else int(state["context"][0]))
        context = self.ngrams.score(nll[:-1], targets[:-1], context)   # the last target is not read yet
        self.ngrams.score(nll[-1:], targets[-1:], context)
        return nll, State(1, context=np.array([context], np.int32))

    def quantized(self) -> KneserNey:
        """Return the model itself: it has no matrices to round, and nothing changes it after `fit`."""
        return self

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        return self.tables

    def restore(self, tensors: dict[str, Array]) -> None:
        if tensors.keys() == set(PLAIN):   # as in files of version 0.1, and from other tools
            word, link, child, logp, backoff = (tensors[name] for name in PLAIN)
            if not are_checked():
                _core.check_trie(word, link, child, logp, backoff, self.vocab_size, self.order, self.normalized)
            plain = dict(tensors) | {"backoff": backoff.copy()}
            tensors = pack_trie(plain, self.vocab_size, trie_ends(plain, self.vocab_size), exact=True)
        if tensors.keys() != set(TABLES):
            raise ValueError(f"it holds the tables {sorted(tensors)}; {sorted(TABLES)} were expected")
        self._use({name: tensors[name] for name in TABLES})
        self.counts = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "ngrams"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._use(self.tables, checked=True)

    def __repr__(self) -> str:
        return f"{super().__repr__().partition(', 0 parameters')[0]}, {self.ngrams.nodes:,} n-grams>"


class Counts:
    """The counts of a text: ``adjusted`` (n-grams,) int32, the adjusted count of every n-gram; ``discounts`` (order, 4)
    float64, the discounts of the counts 0, 1, 2 and 3 or more for every order."""

    def __init__(self, adjusted: Array, discounts: Array, plain: Tables, ends: list[int]) -> None:
        """Keep the counts of a text and where they lie.

        plain: the n-grams as plain arrays, see `KneserNey.unpacked`; ends (order + 1,): where each order ends.
        """
        self.adjusted, self.discounts = adjusted, discounts
        self._plain, self._child, self._ends = plain.copy(), plain["child"], ends
        self._contexts = np.flatnonzero(np.diff(self._child) > 0).astype(np.int32)   # those that packed tables number

    def left_out(self, nll: Array, out: Array | None, contexts: Array, targets: Array) -> None:
        """Set nll and out as `KneserNey.leave_one_out` returns them; contexts (N,) int32: numbers in packed tables."""
        nodes = np.full(len(contexts), -1, np.int32)
        nodes[contexts >= 0] = self._contexts[contexts[contexts >= 0]]
        word, link, child, logp, _ = (self._plain[name] for name in PLAIN)
        total, mass = self.sums
        _core.left_out(nll, out, word, link, child, logp, self.adjusted, self.discounts, total, mass, nodes, targets,
                       vocab_size=int(self._ends[1]))

    @cached_property
    def sums(self) -> tuple[Array, Array]:
        """The sums of the counts and of the discounts over the tokens that follow each context, and at the end over all
        single tokens: two arrays (contexts + 1,) float64."""
        level = np.repeat(np.arange(len(self.discounts)), np.diff([0, *self._ends[1:]]))
        sums = []
        for values in (self.adjusted, self.discounts[level, np.minimum(self.adjusted, 3)]):
            running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
            of_context = running[self._child[1:]] - running[self._child[:-1]]
            sums.append(np.append(of_context, running[self._ends[1]]))
        return sums[0], sums[1]


class CountedOutput(Head):
    """The head of a count model: its rows are the numbers of contexts in the ``ngrams`` of the model."""

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
