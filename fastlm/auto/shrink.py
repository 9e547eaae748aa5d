"""How many bytes the n-grams of a model may take, and removing those that are worth least until they take no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastlm.auto.policy import Policy
from fastlm.auto.request import Request, Text
from fastlm.auto.size import NetworkSize
from fastlm.auto.timetable import Timetable
from fastlm.language_model import LanguageModel
from fastlm.models import Mixture, PrefixModel
from fastlm.models.mixture import gate
from fastlm.models.mixture.pruned import ngram_models
from fastlm.models.ngram.pruning import prune, size_of
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.batches import read_and_predict

_WEIGHT_BYTES = {16: 2, 32: 4}   # of a network's weight in the file, by its precision
_TRIES = 3                       # of making a finished model smaller by as much as it is too large


def ngram_bytes(counts: Sequence[Any]) -> int:
    """Return how many bytes the tables of n-gram models take."""
    return size_of([model.tables for model in counts])


def bytes_allowed(mixture: Mixture, vocabulary: Vocabulary, text: Text, request: Request) -> int | None:
    """Return how many bytes the n-grams of a mixture may take, None for any number.

    They have what the size of the model leaves them beside the networks and the vocabulary: `max_bytes` where that was
    asked for, else `Policy.bytes_for_byte` times the text, of which they get at least `Policy.least_ngram_share`.
    """
    if request.plan is not None:
        return request.plan.ngram_bytes or None
    policy = request.policy
    limit = model_bytes(text, request)
    if limit is None:
        return None
    weights = sum(parameter.value.size for parameter in mixture.parameters.values())
    others = _WEIGHT_BYTES[request.precision] * weights + sum(array.nbytes for array in vocabulary.tensors().values())
    left = int(limit - others)
    return max(1, left) if request.max_bytes is not None else max(left, int(policy.least_ngram_share * limit))


def model_bytes(text: Text, request: Request) -> int | None:
    """Return how many bytes a model of a text may take in all, None for any number."""
    if request.max_bytes is not None:
        return request.max_bytes
    policy = request.policy
    hurried = request.budget is not None and request.budget < policy.prune_from
    return None if hurried or not text.bytes else max(int(policy.bytes_for_byte * text.bytes), policy.least_model_bytes)


def reserve_pruning(counts: Sequence[Any], counting: float, times: int, text: Text, request: Request,
                    timetable: Timetable) -> None:
    """Reserve the seconds that pruning will take, which come to a share of those that counting takes, where the n-grams
    are so large that it is to be expected; times: how often they will be pruned."""
    limit = model_bytes(text, request)
    if limit is not None and ngram_bytes(counts) > request.policy.prune_likely * limit:
        timetable.reserve("pruning", times * request.policy.prune_seconds * counting)


def prune_counts(model: PrefixModel, allowed: int | None, text: Text, request: Request) -> bool:
    """Remove the n-grams that matter least until the others take the bytes that are allowed; return whether any were.

    The n-grams of a model matter more the more weight it has where the n-gram models alone predict the held-out text.
    An interrupt leaves the n-grams as they are, unless `max_bytes` was asked for.
    """
    counts = ngram_models(model)
    if allowed is None or ngram_bytes(counts) <= allowed:
        return False

    def smaller() -> list[dict[str, Any]]:
        return prune(counts, allowed, request.threads, weights_among(counts, text, request))
    tables = smaller() if request.max_bytes is not None else request.interrupt.attempt(smaller)
    for part, of_part in zip(counts, tables or [], strict=tables is not None):
        part.take(of_part)
    return tables is not None


def weights_among(counts: Sequence[Any], text: Text, request: Request) -> list[float]:
    """Return the weights of n-gram models in a mixture of them alone, fitted on held-out text; else equal ones."""
    if text.held_out is None or len(counts) == 1:
        return [1.0] * len(counts)
    some = slice(0, request.policy.weighed_tokens)
    inputs, targets, _ = read_and_predict(text.held_out)
    inputs, targets = inputs[some], targets[some].copy()
    nll = np.array([model.score(inputs, targets)[targets >= 0] for model in counts])
    return [float(weight) for weight in gate.fit_weights(nll)]


def fit_into(lm: LanguageModel, max_bytes: int, threads: int | None) -> None:
    """Make a trained model so small that its file has at most so many bytes; ValueError where n-grams are not enough.

    The weights of a mixture stay, since only the little that was not foreseen is removed.
    """
    counts, size = ngram_models(lm.model), len(lm.to_bytes())
    for _ in range(_TRIES):
        if size <= max_bytes:
            return
        for part, tables in zip(counts, prune(counts, ngram_bytes(counts) - (size - max_bytes), threads), strict=True):
            part.take(tables)
        size = len(lm.to_bytes())
    if size > max_bytes:
        raise ValueError(f"the model takes {size:,} bytes; {max_bytes:,} were allowed, which its networks and its "
                         "vocabulary leave no room in")


def within(size: NetworkSize, vocabulary: Vocabulary, max_bytes: int, policy: Policy) -> NetworkSize | None:
    """Return a size of networks whose weights take at most a share of max_bytes: fewer, then narrower ones; None where
    the narrowest take more."""
    def takes(one: NetworkSize) -> float:
        recurrent = one.networks * 8.0 * one.hidden * one.hidden
        return 2 * (recurrent + one.networks * 2.0 * len(vocabulary) * one.hidden)
    while takes(size) > policy.network_bytes_share * max_bytes:
        narrower = [width for width in policy.network_sizes if width < size.hidden]
        if size.networks > 1:
            size = replace(size, networks=size.networks - 1)
        elif narrower:
            size = replace(size, hidden=max(narrower))
        else:
            return None
    return size
