"""How a text is written beyond its token ids: the bytes of unknown tokens, and the white space between words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Self

import numpy as np

from fastlm.coding.known import KnownSpellings
from fastlm.coding.spacing import Spacing
from fastlm.coding.symbols import END, nats_of_spellings, symbols_of
from fastlm.models.ngram.kneser_ney import KneserNey
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
ORDER = 6              # bytes of the longest n-grams, as in `Policy.spelling_order`
MOST_SYMBOLS = 1 << 19 # bytes of all spellings that are counted, as in `Policy.spelling_symbols`
_FEW = 100             # different unknown tokens, below which known ones show how tokens are spelt as well
_KNOWN_SHARE = 64      # unknown tokens for each known one that is counted then: they cost the unknown ones 1/64 nat


class Spelling:
    """The probability of what stands at an unknown token, and of the white space between words.

    An unknown token is ``<unk>`` and then its UTF-8, byte by byte, by an n-gram model of bytes with an end symbol: so
    every string has a probability. ``<unk>`` that is written in a text is spelt as well.

    model: a `KneserNey` of 257 symbols, whose boundary is `END`; spacing: that of a text of words, else None. escape:
    the probability that an unknown token stands anywhere, which is added to what the model gives ``<unk>``, where that
    has never seen one: p(<unk>) becomes escape + (1 - escape) p(<unk>), any other p (1 - escape) p. vocabulary:
    whose tokens are never spelt, None for none.

    >>> spelling = Spelling.learn({"cat": 2, "cot": 1})
    >>> spelling.nats(["cut"]) > spelling.nats(["cat"])
    True
    """

    def __init__(self, model: KneserNey, spacing: Spacing | None = None, escape: float = 0.0,
                 vocabulary: Vocabulary | None = None) -> None:
        if not 0 <= escape <= 0.5:
            raise ValueError(f"escape = {escape}; a probability of 0 to 1/2 was expected")
        if model.vocab_size != END + 1 or model.boundary != END:
            raise ValueError(f"the spelling is by {model!r}; n-grams of {END + 1} symbols, {END} their boundary, were "
                             "expected")
        self.model, self.spacing, self.escape, self._vocabulary = model, spacing, escape, vocabulary

    @classmethod
    def learn(cls, unknown: Mapping[str, int], known: Sequence[str] = (), spacing: Spacing | None = None,
              escape: float = 0.0, order: int = ORDER, most: int = MOST_SYMBOLS) -> Self:
        """Return the spelling of a text.

        unknown: the tokens that its vocabulary lacks, ``<unk>`` too where it is written there, and how often each
        occurs; known: tokens of the vocabulary, which are counted where there are few unknown ones. order: bytes of the
        longest n-grams; most: about how many bytes are counted at most.
        """
        times = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))
        if len(times) < _FEW:
            total = sum(unknown.values())
            some = total // _KNOWN_SHARE if total else len(known)
            times += [(token, 1) for token in evenly(known, some)]
        return cls(_counted(thinned(times, most), order), spacing, escape)

    @classmethod
    def of_vocabulary(cls, vocabulary: Vocabulary) -> Self:
        """Return the spelling that a vocabulary shows by itself, for models that have learnt none.

        It counts how the known tokens are spelt, where there may be unknown ones, and expects the white space of prose.
        """
        known = [] if vocabulary.unknown is None else known_tokens(vocabulary)
        spacing = Spacing.usual() if vocabulary.unit == "word" else None
        return cls.learn({}, known, spacing, escape_of(vocabulary))

    def beside(self, vocabulary: Vocabulary) -> Self:
        """Return the same spelling for what a vocabulary lacks: the tokens that it knows are never spelt."""
        return self if self._vocabulary is vocabulary else type(self)(self.model, self.spacing, self.escape, vocabulary)

    @cached_property
    def known(self) -> KnownSpellings:
        """The spellings that never follow ``<unk>``."""
        found = self._vocabulary
        tokens = () if found is None else (token for id, token in enumerate(found.tokens)
                                           if token is not None and id != found.unknown)
        return KnownSpellings.of(map(_bytes_of, tokens), self.model)

    def nats(self, tokens: Iterable[str | bytes]) -> float:
        """Return -log p of the spellings of tokens together, in nats."""
        return float(self.nats_of(symbols_of(map(_bytes_of, tokens))).sum())

    def nats_of(self, symbols: Array) -> Array:
        """Return -log p (T,) float64 of each of T spellings, whose symbols (n,) int32 lie one after another."""
        nats = nats_of_spellings(self.model, symbols)
        return nats + np.log1p(-self.known.share) if len(nats) else nats

    def escape_nats(self, unknown: Array, nats: Array) -> Array:
        """Return how much more, or less, each token (n,) costs where an unknown one has its escape probability.

        unknown (n,) bool: which tokens are; nats (n,): -log p of each by the model.
        """
        if not self.escape:
            return np.zeros(len(nats))
        stays, given = np.log1p(-self.escape), nats[unknown]
        more = np.full(len(nats), -stays)
        more[unknown] = -(np.logaddexp(np.log(self.escape), stays - given) + given)
        return more

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of everything that decides the figures, in hexadecimal digits."""
        import hashlib  # here, since it costs `import fastlm` 3 ms

        found = hashlib.sha256(repr((self.model.order, sorted(self.tensors()))).encode())
        for _, array in sorted(self.tensors().items()):
            found.update(array.tobytes())
        return found.hexdigest()

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        """Return the arrays that a model file keeps, by name."""
        out = {f"spelling/{name}": array for name, array in self.model.tensors().items()}
        out |= {"spelling/order": np.array([self.model.order], np.int32),
                "spelling/escape": np.array([self.escape], np.float64)}
        if self.spacing is not None:
            out |= {"spacing/codes": self.spacing.codes.view(np.int64), "spacing/keys": self.spacing.keys,
                    "spacing/counts": self.spacing.counts}
        return out

    @classmethod
    def from_tensors(cls, tensors: dict[str, Array]) -> Self:
        """Return the spelling that `tensors` gave these for, which nobody has checked; ValueError where they do not
        fit."""
        order, escape = tensors["spelling/order"], tensors["spelling/escape"]
        if order.shape != (1,) or escape.shape != (1,):
            raise ValueError(f"order {order.shape} and escape {escape.shape} of the spelling; one number each was "
                             "expected")
        model = KneserNey(END + 1, order=int(order[0]), boundary=END)
        model.restore({name.removeprefix("spelling/"): array for name, array in tensors.items()
                       if name.startswith("spelling/") and name not in ("spelling/order", "spelling/escape")})
        spacing = None
        if "spacing/codes" in tensors:
            codes, keys = tensors["spacing/codes"], tensors["spacing/keys"]
            spacing = Spacing(np.ascontiguousarray(codes, np.int64).view(np.uint64), keys, tensors["spacing/counts"])
        return cls(model, spacing, float(escape[0]))


def escape_of(vocabulary: Vocabulary) -> float:
    """Return how likely an unknown token is anywhere, for a model that has seen none: how many tokens of its text occur
    once, divided by how many there are. Good 1953 (Turing's estimate). 0 where it has seen some, or nothing is known.

    >>> escape_of(Vocabulary(["a", "<unk>", "b", "c"], counts=[6, 0, 1, 1]))
    0.25
    """
    counts, unknown = vocabulary.counts, vocabulary.unknown
    if unknown is None or counts[unknown] > 0 or not counts.any():
        return 0.0
    return min(0.5, max(1, int((counts == 1).sum())) / int(counts.sum()))


def known_tokens(vocabulary: Vocabulary) -> list[str]:
    """Return the tokens of a vocabulary that are part of a text: all but ``<unk>`` and the ends of lines and
    documents."""
    left = {vocabulary.unknown, vocabulary.end_of_line, vocabulary.end_of_document}
    return [token for id, token in enumerate(vocabulary.tokens) if token is not None and id not in left]


def evenly(tokens: Sequence[str], count: int) -> list[str]:
    """Return about so many of the tokens, evenly spaced, or all of them."""
    return [tokens[len(tokens) * index // count] for index in range(count)] if count < len(tokens) else list(tokens)


def thinned(times: Sequence[tuple[str, int]], most: int) -> list[tuple[bytes, int]]:
    """Return tokens as UTF-8 and how often each is counted: as given, or in the same proportions and about `most` bytes
    together.

    >>> thinned([("ab", 4), ("c", 1), ("d", 1)], 8)
    [(b'ab', 2), (b'd', 1)]
    """
    encoded = [(_bytes_of(token), count) for token, count in times]
    size = sum((len(token) + 1) * count for token, count in encoded)
    if size <= most:
        return encoded
    running = [0, *accumulate(count for _, count in encoded)]
    shares = [count * most // size for count in running]
    return [(token, last - first) for (token, _), first, last in zip(encoded, shares, shares[1:], strict=False)
            if last > first]


def _counted(times: Sequence[tuple[bytes, int]], order: int) -> KneserNey:
    """Return the n-grams of tokens, each counted so many times; all symbols alike where there are no tokens."""
    model = KneserNey(END + 1, order=order, boundary=END)
    symbols = symbols_of(token for token, count in times for _ in range(count))
    if not len(symbols):
        return model
    offsets, nowhere = np.array([0, len(symbols)], np.int64), np.empty(0, np.int64)
    return model.fit(Corpus(symbols, offsets, nowhere, 0, END), threads=1)


def _bytes_of(token: str | bytes) -> bytes:
    return token.encode("utf-8", "surrogateescape") if isinstance(token, str) else token
