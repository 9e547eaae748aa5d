"""The architectures that go by a name, sized for a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm.auto.size import FULL, NARROWEST, SAMPLES, SMALL, WIDTH, Choice
from fastlm.heads.cutoffs import cutoffs
from fastlm.models import GRU, LSTM, SRU, DecayedBag, FeedForward, KneserNey, PositionalOneHot, PrefixModel, Transformer

Array = np.ndarray
MODELS = ("auto", "lstm", "gru", "sru", "feed-forward", "decayed-bag", "positional-onehot", "transformer", "kneser-ney",
          "mixture")
SOFTMAXES = ("auto", "full", "adaptive", "sampled")
_COUNTED = ("auto", "mixture", "kneser-ney")                            # have an order
_PREDICTING = ("auto", "lstm", "gru", "sru", "feed-forward", "decayed-bag", "transformer", "mixture")   # a softmax


def check(model: Any, order: int | None, softmax: str) -> None:
    """ValueError for a name that is none, and for options that the model of that name does not have."""
    if model not in MODELS if isinstance(model, str) else not (isinstance(model, PrefixModel) or callable(model)):
        raise ValueError(f"model = {model!r}; one of {', '.join(MODELS)}, a PrefixModel or a function was expected")
    if softmax not in SOFTMAXES:
        raise ValueError(f"softmax = {softmax!r}; one of {', '.join(SOFTMAXES)} was expected")
    if softmax != "auto" and model not in _PREDICTING:
        raise ValueError(f"softmax = {softmax!r} was given; only the models {', '.join(_PREDICTING[:-1])} and "
                         f"{_PREDICTING[-1]} have a choice of it by name")
    if order is not None and model not in _COUNTED:
        raise ValueError(f"order = {order} was given; only the models {', '.join(_COUNTED[:-1])} and {_COUNTED[-1]} "
                         "have one")


def build(model: Any, vocab_size: int, seed: int = 0, order: int | None = None, softmax: str = "auto",
          counts: Array | None = None, choose: Callable[[], Choice] = lambda: NARROWEST,
          lookback: dict[str, Any] | None = None) -> PrefixModel:
    """The model a name of one architecture stands for, or the PrefixModel or function of V given.

    counts (V,): of the text's tokens; choose: gives the size of an LSTM, GRU or SRU; lookback: how an LSTM or GRU looks
    back, see `Lookback`. "auto" and "mixture" are not of one architecture.
    """
    if isinstance(model, PrefixModel):
        return model
    if callable(model):
        return model(vocab_size)
    small = vocab_size <= SMALL
    if model in ("lstm", "gru"):
        chosen = choose()
        layers = LSTM if model == "lstm" else GRU
        return layers(vocab_size, hidden=chosen.hidden, width=WIDTH if small else None, seed=seed, tied=not small,
                      dropout=chosen.dropout, output=output_of(softmax, vocab_size, counts, chosen.hidden),
                      lookback=lookback)
    if model == "sru":
        chosen = choose()
        return SRU(vocab_size, hidden=chosen.hidden, seed=seed, tied=not small, dropout=chosen.dropout,
                   output=output_of(softmax, vocab_size, counts, chosen.hidden))
    if model == "feed-forward":
        return FeedForward(vocab_size, context=10 if small else 5, width=32 if small else 64, hidden=256, seed=seed,
                           output=output_of(softmax, vocab_size, counts, 256))
    if model == "decayed-bag":
        return DecayedBag(vocab_size, width=64, hidden=256, seed=seed,
                          output=output_of(softmax, vocab_size, counts, 256))
    if model == "transformer":
        return Transformer(vocab_size, width=128, layers=2, window=128, seed=seed, tied=not small,
                           output=output_of(softmax, vocab_size, counts, 128))
    if model == "positional-onehot":
        return PositionalOneHot(vocab_size, max_length=max(1, min(64, 20_000_000 // vocab_size**2)), seed=seed)
    return KneserNey(vocab_size, order=(8 if small else 5) if order is None else order)


def output_of(softmax: str, vocab_size: int, counts: Array | None, width: int) -> dict[str, Any] | None:
    """The argument `output` of a model for a name out of SOFTMAXES, its ids' counts (V,) and the width it reads.

    "auto" is the full softmax for up to 2,000 words, and for ids that are not in the order of their counts; else the
    sampled one, which docs/measurements.md shows ahead of the others at every budget tried.
    """
    falling = counts is not None and bool((np.diff(counts) <= 0).all())
    if softmax == "auto":
        softmax = "sampled" if vocab_size > FULL and falling else "full"
    if softmax == "full":
        return None
    if not falling:
        raise ValueError(f"softmax = {softmax!r} needs ids in the order of their counts; these are not")
    if softmax == "sampled":
        return {"name": "sampled", "samples": min(SAMPLES, vocab_size)}
    assert counts is not None
    cuts = cutoffs(counts, width)
    return {"name": "adaptive", "cutoffs": cuts} if cuts else None
