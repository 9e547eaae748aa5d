"""Models built from their names, and those of the default: n-grams, and the networks beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm.auto.order import Order
from fastlm.auto.policy import Policy
from fastlm.auto.size import NetworkSize, lookback, narrowest, words_drawn
from fastlm.heads.cutoffs import cutoffs
from fastlm.models import (
    GRU,
    LSTM,
    SRU,
    DecayedBag,
    Factored,
    FeedForward,
    KneserNey,
    PositionalOneHot,
    PrefixModel,
    Transformer,
)
from fastlm.models.ngram.factored import usual_factors
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
MODELS = ("auto", "lstm", "gru", "sru", "feed-forward", "decayed-bag", "positional-onehot", "transformer", "kneser-ney",
          "mixture")
BLENDED = ("auto", "mixture")                        # n-grams and networks
RECURRENT = ("lstm", "gru", "sru")                   # sized by the time and the text
SOFTMAXES = ("auto", "full", "adaptive", "sampled")
_WITH_ORDER = ("auto", "mixture", "kneser-ney")      # those that count n-grams
_WITH_SOFTMAX = ("auto", "lstm", "gru", "sru", "feed-forward", "decayed-bag", "transformer", "mixture")


def check(model: Any, order: int | None, softmax: str) -> None:
    """Raise ValueError for a name that is not one of MODELS, and for options that the model of a name does not have."""
    if model not in MODELS if isinstance(model, str) else not (isinstance(model, PrefixModel) or callable(model)):
        raise ValueError(f"model = {model!r}; one of {', '.join(MODELS)}, a PrefixModel or a function was expected")
    if softmax not in SOFTMAXES:
        raise ValueError(f"softmax = {softmax!r}; one of {', '.join(SOFTMAXES)} was expected")
    if softmax != "auto" and model not in _WITH_SOFTMAX:
        raise ValueError(f"softmax = {softmax!r} was given; only the models {', '.join(_WITH_SOFTMAX[:-1])} and "
                         f"{_WITH_SOFTMAX[-1]} have a choice of it by name")
    if order is not None and model not in _WITH_ORDER:
        raise ValueError(f"order = {order} was given; only the models {', '.join(_WITH_ORDER[:-1])} and "
                         f"{_WITH_ORDER[-1]} have one")


def count_models(vocabulary: Vocabulary, order: Order) -> list[KneserNey | Factored]:
    """Return the n-gram models of the default, not counted yet: first plain n-grams, then factored ones."""
    letters = vocabulary.letters()
    return [plain_ngrams(vocabulary, order),
            *(Factored(len(vocabulary), factors, letters) for factors in usual_factors(vocabulary.unit))]


def plain_ngrams(vocabulary: Vocabulary, order: Order) -> KneserNey:
    """Return an n-gram model of an order, not counted yet."""
    return KneserNey(len(vocabulary), order=order.tokens, repeated_above=order.repeated_above)


def networks_beside(vocabulary: Vocabulary, size: NetworkSize, policy: Policy, seed: int = 0, softmax: str = "auto",
                    corrects: bool = False) -> list[PrefixModel]:
    """Return the networks to train beside n-grams: LSTMs, which look back where they are wide enough.

    corrects: whether they correct the n-grams.
    """
    back = lookback(vocabulary.unit, size.hidden, policy, corrects)
    return [recurrent("lstm", vocabulary, size, policy, seed + index, softmax, back, corrects)
            for index in range(size.networks)]


def recurrent(name: str, vocabulary: Vocabulary, size: NetworkSize, policy: Policy, seed: int = 0,
              softmax: str = "auto", back: dict[str, int] | None = None, corrects: bool = False) -> PrefixModel:
    """Return a network of one of the names RECURRENT.

    back: how an LSTM or GRU looks back, see `models.lookback`; corrects: whether it corrects n-grams.
    """
    numbers, hidden = policy.of(vocabulary.unit), size.hidden
    output = output_of(softmax, len(vocabulary), vocabulary.counts, hidden, policy, corrects)
    if name == "sru":
        return SRU(len(vocabulary), hidden=hidden, seed=seed, tied=numbers.tied, dropout=size.dropout, output=output)
    layers = {"lstm": LSTM, "gru": GRU}[name]
    return layers(len(vocabulary), hidden=hidden, width=numbers.embedding_width, seed=seed, tied=numbers.tied,
                  dropout=size.dropout, output=output, lookback=back)


def build(name: str, vocabulary: Vocabulary, policy: Policy, size: NetworkSize | None = None, seed: int = 0,
          order: Order | None = None, softmax: str = "auto") -> PrefixModel:
    """Return a model of the architecture of a name, one of MODELS but not of BLENDED.

    size: that of a network of RECURRENT, the narrowest where it is None; order: that of n-grams, the usual one of the
    unit where it is None; softmax: one of SOFTMAXES. Raises ValueError for another name.
    """
    ids, numbers = len(vocabulary), policy.of(vocabulary.unit)
    if name == "kneser-ney":
        return plain_ngrams(vocabulary, order or Order(numbers.order))
    if name == "positional-onehot":
        return PositionalOneHot(
            ids, max_length=max(1, min(policy.onehot_places, policy.onehot_weights // ids**2)), seed=seed)
    if name in RECURRENT:
        return recurrent(name, vocabulary, size or narrowest(policy), policy, seed, softmax)
    width = policy.transformer_width if name == "transformer" else policy.hidden_units
    output = output_of(softmax, ids, vocabulary.counts, width, policy)
    if name == "feed-forward":
        return FeedForward(ids, context=numbers.feed_forward_context, width=numbers.feed_forward_width,
                           hidden=policy.hidden_units, seed=seed, output=output)
    if name == "decayed-bag":
        return DecayedBag(ids, width=policy.decayed_bag_width, hidden=policy.hidden_units, seed=seed, output=output)
    if name != "transformer":
        raise ValueError(f"name = {name!r}; the name of one architecture was expected")
    return Transformer(ids, width=width, layers=policy.transformer_layers, window=policy.transformer_window, seed=seed,
                       tied=numbers.tied, output=output)


def output_of(softmax: str, vocab_size: int, counts: Array | None, width: int, policy: Policy,
              corrects: bool = False) -> dict[str, Any] | None:
    """Return a model's argument `output` for a softmax of SOFTMAXES, None for the full one.

    counts (V,): how often each id occurs in the text; width: that of the rows that the softmax reads; corrects: whether
    the model corrects n-grams. "auto" is the full softmax up to `full_softmax_up_to` tokens, and for ids that are not
    in the order of their counts; otherwise it is the sampled one, which docs/measurements.md shows ahead of the others
    at every budget tried. Raises ValueError where a softmax needs ids in the order of their counts and they are not.
    """
    falling = counts is not None and bool((np.diff(counts) <= 0).all())
    if softmax == "auto":
        softmax = "sampled" if vocab_size > policy.full_softmax_up_to and falling else "full"
    if softmax == "full":
        return None
    if not falling:
        raise ValueError(f"softmax = {softmax!r} needs ids in the order of their counts; these are not")
    if softmax == "sampled":
        return {"name": "sampled", "samples": min(words_drawn(corrects, policy), vocab_size)}
    assert counts is not None
    cuts = cutoffs(counts, width)
    return {"name": "adaptive", "cutoffs": cuts} if cuts else None
