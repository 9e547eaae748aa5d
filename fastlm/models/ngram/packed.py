"""N-grams in 6 to 8 bytes each: packed once they are counted, and read as they are, in memory and in the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from fastlm import _core
from fastlm.workers import Workers

Array = np.ndarray
Tables = dict[str, Array]
PLAIN = ("word", "link", "child", "logp", "backoff")   # arrays of a trie as it is counted
BITS = 10              # of a probability: with 8 the perplexity of Penn Treebank is 0.03 % worse, with 10 0.002 %
# Where the vocabulary has fewer than SMALL words, each of them has much of the probability, and they leave little to
# back off to, so that what rounding adds or takes is a large part of it.
BITS_OF_FEW, SMALL = 12, 64
QUANTISED_FROM = 4096  # n-grams: fewer take so little room that their probabilities are kept as they are
_TASKS = 16            # shares of the work; their number never depends on the threads, so that the bytes do not either
_LARGEST_P = 1 - 1e-7  # the book ends here, so that something is left to other words
_NARROWEST = 1e-3      # from the lowest to the highest log-odds of the book, so that its values rise


def code_book(logp: Array, bits: int) -> Array:
    """Return 2^bits log-probabilities (2^bits,) float32, rising, in even steps of the log-odds.

    Even steps of the log-odds round small p, and what large p leave to other words, equally well. logp (n,): the book
    reaches from the lowest to the highest of them.
    """
    low, high = (float(np.exp(np.float64(logp_of))) for logp_of in (logp.min(), logp.max()))
    first, last = (np.log(p / (1 - p)) for p in np.clip([low, high], 1e-300, _LARGEST_P))
    steps = np.linspace(first, max(last, first + _NARROWEST), 1 << bits)
    return (-np.log1p(np.exp(-steps))).astype(np.float32)


def quantised(plain: Tables, vocab_size: int, ends: Sequence[int], threads: int | None) -> tuple[Array, Array]:
    """Return the places of the probabilities (n-grams,) uint16 in a code book, and the book float32; overwrite
    ``backoff`` by those that make the sums one.

    plain: arrays of either kind of n-grams, each context linked to a shorter one; ``suffix`` (n-grams,) int32 may be
    among them: the same word after that shorter context. ends: where the contexts of 0, 1, ...
    words end.
    """
    logp, code = plain["logp"], np.zeros(len(plain["logp"]), np.uint16)
    book = code_book(logp[vocab_size:], BITS if vocab_size >= SMALL else BITS_OF_FEW)
    word, link, child, backoff = (plain[name] for name in ("word", "link", "child", "backoff"))
    quantise = partial(_core.quantise_ngrams, code, backoff, word, link, child, logp, plain.get("suffix"), book,
                       np.exp(book.astype(np.float64)), vocab_size)
    with Workers(threads) as workers:
        for first, last in pairwise(ends):
            cuts = np.linspace(first, last, _TASKS + 1).astype(np.int64).tolist()
            workers.map(quantise, cuts[:-1], cuts[1:])
    return code, book


def pack_trie(plain: Tables, vocab_size: int, ends: Sequence[int], threads: int | None = None,
              exact: bool = False) -> Tables:
    """Return the tables of `_core.NGrams` of a trie.

    plain: the arrays PLAIN, which are used up: each is dropped once it is packed, for the sake of memory. ends: where
    the n-grams of 0, 1, ... words end. exact: whether probabilities are kept as they are, in 32 bits.
    """
    contexts = len(plain["backoff"])
    levels = [min(int(end), contexts) for end in ends]
    grams = _pack_grams(plain | {"suffix": plain["link"]}, vocab_size, levels, threads, exact)
    inner, found = _core.rank_contexts(plain["child"])
    first, link, backoff = _core.contexts_of(inner, found, plain["word"], plain["link"], plain["child"],
                                             plain["backoff"])
    nodes = len(plain.pop("word"))
    plain.clear()
    records, blocks, shape = _core.pack_contexts(first, link, backoff, None, nodes, not len(grams["book"]))
    return grams | {"inner": inner, "contexts": records, "blocks": blocks, "shape": shape}


def pack_factored(plain: Tables, vocab_size: int, levels: Sequence[int], threads: int | None = None,
                  exact: bool = False) -> Tables:
    """Return the tables of `_core.FactoredNGrams`; levels: where the contexts of 0, 1, ... factors end; the rest is as
    in `pack_trie`, with ``key`` (contexts,) int64 among the arrays."""
    ends = np.asarray(levels, np.uintp)
    buckets, part = _core.bucket_keys(plain["key"], ends)
    grams = _pack_grams(plain, vocab_size, [int(end) for end in levels], threads, exact)
    records, blocks, shape = _core.pack_contexts(plain["child"][:-1], plain["link"], plain["backoff"], part,
                                                 len(plain["word"]), not len(grams["book"]))
    return grams | {"contexts": records, "blocks": blocks, "shape": shape, "buckets": buckets,
                    "levels": ends.astype(np.int64)}


def _pack_grams(plain: Tables, vocab_size: int, levels: Sequence[int], threads: int | None, exact: bool) -> Tables:
    """Return the records of n-grams, the probabilities of single words and the code book, empty where there is none."""
    word, logp, unigrams = plain["word"], plain["logp"], plain["logp"][:vocab_size].copy()
    if exact or len(word) - vocab_size < QUANTISED_FROM:
        grams = _core.pack_grams(word, None, logp, vocab_size, 32)
        all_follow = np.flatnonzero(np.diff(plain["child"]) == vocab_size)
        plain["backoff"][all_follow] = 0   # of a context that all words follow, it would be added to each of them
        return {"grams": grams, "unigrams": unigrams, "book": np.zeros(0, np.float32)}
    code, book = quantised(plain, vocab_size, levels, threads)
    grams = _core.pack_grams(word, code, logp, vocab_size, len(book).bit_length() - 1)
    return {"grams": grams, "unigrams": unigrams, "book": book}


def trie_ends(plain: Tables, vocab_size: int) -> list[int]:
    """Return where the n-grams of 0, 1, ... words end in the plain arrays of a trie."""
    child, ends = plain["child"], [0, vocab_size]
    while ends[-1] < len(plain["word"]):
        ends.append(int(child[min(ends[-1], len(child) - 1)]))
    return ends
