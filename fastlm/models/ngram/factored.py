"""N-grams over chosen factors of the context: tokens further back, the letters of the current word, earlier words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from fastlm.models.initial import are_checked, reserve
from fastlm.models.ngram.discounts import discounts_of
from fastlm.models.ngram.kneser_ney import BUDGET_BYTES, CountedOutput
from fastlm.models.ngram.packed import Tables, pack_factored
from fastlm.models.ngram.pruning import check_share, pack_share
from fastlm.models.ngram.streams import at_most, stream
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers, stop_if_asked

Array = np.ndarray
TABLES = _core.FACTORED
PLAIN = ("word", "link", "child", "logp", "backoff", "key")   # arrays as they are counted, and in files of version 0.1
KEYS = 2         # version of the keys of contexts; those of version 1, in older files, clash for ["word", "word-1"]
SPELT = {f"word-{back}" if back else "word": -back for back in range(_core.SPELT_WORDS)}
WORDS: list[list[int | str]] = [[2, 3, 4], [1, 3, 4]]
PIECES: list[list[int | str]] = [[1, "word", "word-2"], [2, 3, 4]]
CHARACTERS: list[list[int | str]] = [[1, 2, 3, "word", "word-1", "word-2"], [1, "word", "word-2"]]
# Bytes that counting takes for each token of the text, about, and for each token and factor.
_BYTES_PER_TOKEN, _BYTES_PER_FACTOR = 70, 30
_TASKS = 16      # shares of the work; their number never depends on the threads, so that the bytes do not either


class Factored(PrefixModel):
    """Interpolated modified Kneser-Ney as in `KneserNey`, over a context that is a list of factors. Bilmes & Kirchhoff
    2003, "Factored language models".

    The most informative factor comes first; a context is shortened by its last factor. A factor is a distance, 1 for
    the last token, 2 for the one before it, and so on; or "word", the letters of the current word read so far; or
    "word-1" or "word-2", the words before it. The word factors need `letters` (V,): for each id a number above 0, equal
    for letters that differ in case alone, or 0 for a character that ends a word; below 0 for a piece that ends a word
    and begins the next one; see `Vocabulary.letters`.

    N-grams that skip the last token make other errors than plain ones, and a mixture with them is better than either;
    characters are predicted far better from the words around them. The state is what the factors need; one more token
    costs one search for each factor. Before `fit` every token is equally likely.

    >>> model = Factored(vocab_size=5, factors=[2]).fit([[4, 0, 1, 0, 1, 2]])
    >>> model.log_probabilities([1, 3]).argmax(1).tolist()[1]
    1
    """

    def __init__(self, vocab_size: int, factors: Sequence[int | str], letters: Sequence[int] | None = None,
                 keys: int = KEYS) -> None:
        unknown = [factor for factor in factors if not isinstance(factor, int | np.integer) and factor not in SPELT]
        if unknown:
            raise ValueError(f"factor {unknown[0]!r}; a distance in tokens or one of {', '.join(SPELT)} was expected")
        if letters is None and not SPELT.keys().isdisjoint(f for f in factors if isinstance(f, str)):
            raise ValueError(f"factors = {list(factors)} need to know which ids are letters, and letters is None")
        if any(not isinstance(factor, str) and factor < 1 for factor in factors):
            raise ValueError(f"factors = {list(factors)}; distances of at least 1 token were expected")
        super().__init__(vocab_size, factors=list(factors), letters=None if letters is None else list(letters),
                         keys=keys)
        self.factors = list(factors)
        codes = [SPELT[factor] if isinstance(factor, str) else int(factor) for factor in factors]
        self._factors = _core.Factors(np.array(codes, np.int32), None if letters is None else
                                      np.asarray(letters, np.int32), vocab_size, keys)
        self.head = CountedOutput(self)
        reserve(8 * vocab_size, f"the tables of {vocab_size} single tokens")
        plain: Tables = {"word": np.arange(vocab_size, dtype=np.int32), "link": np.zeros(0, np.int32),
                         "child": np.array([vocab_size], np.int32), "backoff": np.zeros(0, np.float32),
                         "logp": np.full(vocab_size, -np.log(vocab_size), np.float32), "key": np.zeros(0, np.int64)}
        self._use(pack_factored(plain, vocab_size, [0] * (len(factors) + 1)), checked=True)

    @classmethod
    def options_from_file(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments from those in a file; files of version 0.1 name no version of the keys."""
        return {"keys": 1} | super().options_from_file(name, options)

    def _use(self, tables: Tables, checked: bool = False) -> None:
        self.ngrams = _core.FactoredNGrams(self._factors, tables, checked or are_checked())
        self.tables = tables

    def fit(self, corpus: Corpus | Iterable[Any], threads: int | None = None,
            budget_bytes: float = BUDGET_BYTES, kept_share: float = 1.0) -> Factored:
        """Count a text as `KneserNey.fit` does, or as much of it as memory allows; return the model itself."""
        check_share(kept_share)
        corpus = corpus if isinstance(corpus, Corpus) else Corpus.from_ids(corpus)
        bytes_per_token = _BYTES_PER_TOKEN + _BYTES_PER_FACTOR * len(self.factors)
        ids, starts = stream(at_most(corpus, int(budget_bytes / bytes_per_token)))
        position = np.flatnonzero(starts == 0).astype(np.int32)
        words = np.arange(self.vocab_size, dtype=np.int32)
        if not len(position):
            return self
        # From the longest contexts down, since a shorter context counts the n-grams that the next longer ones end in.
        levels: list[dict[str, Array]] = []
        above, contexts = None, 0
        for level in range(len(self.factors), 0, -1):
            stop_if_asked()
            word, count, before, context_of, shorter, key, child, link = self._factors.level(
                ids, starts, position, above, contexts, level)
            if levels:
                levels[-1]["link"], levels[-1]["shorter"] = link, shorter
            levels.append({"word": word, "count": count, "key": key, "child": child})
            position, above, contexts = before, context_of, len(key)
        levels[-1]["link"], levels[-1]["shorter"] = np.full(contexts, -1, np.int32), ids[position]
        levels.append({"word": words, "count": np.bincount(ids[position], minlength=self.vocab_size).astype(np.int32)})
        self._estimate(levels[::-1], kept_share, threads)
        return self

    def _estimate(self, levels: list[dict[str, Array]], kept_share: float, threads: int | None) -> None:
        """Compute the probabilities from the counts of every level, the single tokens first, and keep a share of
        them."""
        ends = np.cumsum([0, *(len(level["word"]) for level in levels)])
        if ends[-1] >= 2**31:
            raise OverflowError(f"there are {ends[-1]} n-grams of {len(self.factors)} factors; fewer than 2^31 were "
                                "expected")
        context_ends = np.cumsum([0, *(len(level["key"]) for level in levels[1:])])
        word, count = (np.concatenate([level[name] for level in levels]) for name in ("word", "count"))
        key = np.concatenate([level["key"] for level in levels[1:]])
        shorter = np.concatenate([levels[0]["word"], *(level["shorter"] + np.int32(ends[k])
                                                       for k, level in enumerate(levels[1:]))])
        link = np.concatenate([levels[1]["link"], *(level["link"] + np.int32(context_ends[k])
                                                    for k, level in enumerate(levels[2:]))])
        child = np.concatenate([*(level["child"] + np.int32(ends[k + 1]) for k, level in enumerate(levels[1:])),
                                ends[-1:].astype(np.int32)])
        logp, backoff = np.empty(len(word), np.float32), np.zeros(len(key), np.float32)
        p = np.empty(self.vocab_size)
        _core.estimate_words(logp, p, levels[0]["count"], discounts_of(levels[0]["count"]))
        with Workers(threads) as workers:
            for k in range(1, len(levels)):
                discounts, above, p = discounts_of(levels[k]["count"]), p, np.empty(len(levels[k]["word"]))
                cuts = np.linspace(context_ends[k - 1], context_ends[k], _TASKS + 1).astype(np.int64).tolist()
                estimate = partial(_core.estimate_ngrams, logp, backoff, p, above, child, shorter, count, discounts,
                                   origin=int(ends[k]), origin_shorter=int(ends[k - 1]))
                workers.map(estimate, cuts[:-1], cuts[1:])
        plain = {"word": word, "link": link, "child": child, "logp": logp, "backoff": backoff, "key": key,
                 "suffix": shorter}
        ends = context_ends.tolist()
        self._use(pack_factored(plain, self.vocab_size, ends, threads) if kept_share == 1
                  else pack_share(plain, self.vocab_size, ends, kept_share, threads), checked=True)

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return State(batch, ids=np.full((batch, self._factors.reach), -1, np.int32),
                     spelt=np.zeros((batch, len(SPELT)), np.int64))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """Return the number of the longest known context of every prefix (N,) int32, and the states after the batch."""
        state = state or self.start(batch.sequences)
        rows, ids = np.empty(len(batch), np.int32), batch.to_packed(state["ids"])
        spelt = batch.to_packed(state["spelt"])
        self.ngrams.read_factors(rows, ids, spelt, batch.ids, batch.starts, batch.size)
        return Variable(rows), State(batch.sequences, ids=batch.from_packed(ids), spelt=batch.from_packed(spelt))

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        return True   # a row is one number, so that a document of any length is read at once

    def score(self, inputs: Array, targets: Array) -> Array:
        return self.head.nats(self.forward(Batch.of([inputs]))[0], targets)

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        return self.tables

    def restore(self, tensors: dict[str, Array]) -> None:
        if tensors.keys() == set(PLAIN):
            tensors = self._packed(tensors)
        if tensors.keys() != set(TABLES):
            raise ValueError(f"it holds the tables {sorted(tensors)}; {sorted(TABLES)} were expected")
        self._use({name: tensors[name] for name in TABLES})

    def _packed(self, plain: Tables) -> Tables:
        """Return the tables of plain arrays out of a file of version 0.1."""
        word, link, child, logp, backoff, key = (plain[name] for name in PLAIN)
        lengths = (("logp", logp, len(word)), ("backoff", backoff, len(link)), ("key", key, len(link)))
        for name, array, length in lengths:
            if len(array) != length:
                raise ValueError(f"{name} has {len(array)} elements, expected {length}")
        levels = _core.factor_levels(word, link, child, self.vocab_size, len(self.factors))
        return pack_factored(plain | {"backoff": backoff.copy()}, self.vocab_size, levels.tolist(), exact=True)

    def take(self, tables: Tables) -> None:
        """Replace the tables by others, such as `pruning.prune` makes them of this model."""
        self._use(tables, checked=True)

    def unpacked(self) -> Tables:
        """Return the n-grams as plain arrays: word (n-grams,) int32, logp (n-grams,) float32, child (contexts + 1,) and
        link (contexts,) int32, backoff (contexts,) float32, key (contexts,) int64.

        The n-grams of context h are child[h] to child[h + 1], in the order of their tokens, ``word``; those before the
        vocabulary's size are single tokens. link: the context without its last factor, -1 for none; key: those bits of
        it that are kept.
        """
        return dict(zip(PLAIN, self.ngrams.unpack(), strict=True))

    def quantized(self) -> Factored:
        """Return the model itself: it has no matrices to round, and nothing changes it after `fit`."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("ngrams", "_factors")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["vocab_size"], **state["options"])  # type: ignore[misc]
        self._use(state["tables"], checked=True)

    def __repr__(self) -> str:
        return f"<Factored n-grams of {self.factors}, {self.ngrams.nodes:,}>"


def usual_factors(unit: str) -> list[list[int | str]]:
    """Return the factors of the models that add most to a `KneserNey` in a mixture, for a unit of text."""
    return {"word": WORDS, "piece": PIECES, "tokenizer": PIECES}.get(unit, CHARACTERS)
