"""How many bytes the n-grams of a model may take, and removing those that are worth least until they take no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastlm.auto.policy import Policy
from fastlm.auto.request import Request, Text
from fastlm.auto.size import NetworkSize, recurrent_weights
from fastlm.language_model import LanguageModel
from fastlm.models.mixture.pruned import ngram_models
from fastlm.models.ngram.pruning import prune, size_of
from fastlm.text.vocabulary import Vocabulary

_WEIGHT_BYTES = {16: 2, 32: 4}   # of a network's weight in the file, by its precision
_TRIES = 3                       # of making a finished model smaller by as much as it is too large


def ngram_bytes(counts: Sequence[Any]) -> int:
    """Return how many bytes the tables of n-gram models take."""
    return size_of([model.tables for model in counts])


def bytes_allowed(networks: float, vocabulary: Vocabulary, text: Text, request: Request) -> int | None:
    """Return how many bytes the n-grams of a model may take, None for any number.

    networks: bytes that the networks beside them are expected to take. The n-grams have what the size of the model
    leaves them: `max_bytes` where that was asked for, else `Policy.bytes_for_byte` times the text, of which they get at
    least `Policy.least_ngram_share`.
    """
    if request.plan is not None:
        return request.plan.ngram_bytes or None
    limit, policy = model_bytes(text, request), request.policy
    if limit is None:
        return None
    left = limit - networks - sum(array.nbytes for array in vocabulary.tensors().values())
    share = policy.least_ngram_share if request.max_bytes is None else 1 - policy.network_bytes_share
    return max(1, int(left), int(share * limit))


def model_bytes(text: Text, request: Request) -> int | None:
    """Return how many bytes a model of a text may take in all, None for any number."""
    if request.max_bytes is not None:
        return request.max_bytes
    policy = request.policy
    hurried = request.budget is not None and request.budget < policy.prune_from
    return None if hurried or not text.bytes else max(int(policy.bytes_for_byte * text.bytes), policy.least_model_bytes)


def pruning_seconds(counts: Sequence[Any], counting: float, text: Text, request: Request) -> float:
    """Return the seconds that pruning is expected to take where counting takes so many: none where the n-grams are so
    small that they are not likely to be pruned."""
    limit = model_bytes(text, request)
    likely = limit is not None and ngram_bytes(counts) > request.policy.prune_likely * limit
    return request.policy.prune_seconds * counting if likely else 0.0


def prune_counts(counts: Sequence[Any], allowed: int | None, corrected: int, request: Request) -> list[float] | None:
    """Remove the n-grams that matter least until the others take the bytes that are allowed, None for any number;
    return the share of its bytes that each model keeps, None where nothing had to be removed.

    corrected: how many of the models, the first ones, networks correct. A nat of each of these counts alike, because
    networks learn most from models that differ; one of another model counts `Policy.uncorrected_weight`.
    """
    if allowed is None or ngram_bytes(counts) <= allowed:
        return None
    before = [ngram_bytes([model]) for model in counts]
    weights = [1.0 if k < corrected else request.policy.uncorrected_weight for k in range(len(counts))]
    for model, tables in zip(counts, prune(counts, allowed, request.threads, weights), strict=True):
        model.take(tables)
    return [ngram_bytes([model]) / size for model, size in zip(counts, before, strict=True)]


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


def within(size: NetworkSize, vocabulary: Vocabulary, max_bytes: int, policy: Policy,
           precision: int = 16) -> NetworkSize | None:
    """Return a size of networks whose weights, of so many bits, take at most a share of max_bytes: fewer, then narrower
    ones; None where the narrowest take more."""
    while network_bytes(size, vocabulary, policy, precision) > policy.network_bytes_share * max_bytes:
        narrower = [width for width in policy.network_sizes if width < size.hidden]
        if size.networks > 1:
            size = replace(size, networks=size.networks - 1)
        elif narrower:
            size = replace(size, hidden=max(narrower))
        else:
            return None
    return size


def network_bytes(size: NetworkSize, vocabulary: Vocabulary, policy: Policy, precision: int = 16,
                  corrects: bool = True) -> float:
    """Return about how many bytes networks of a size take in the file, with weights of so many bits.

    corrects: whether they correct n-grams, for which they have another matrix as large as that of their outputs.
    """
    numbers, hidden = policy.of(vocabulary.unit), size.hidden
    width = (numbers.embedding_width or hidden) + (0 if numbers.tied else hidden) + (hidden if corrects else 0)
    return _WEIGHT_BYTES[precision] * size.networks * (recurrent_weights(numbers, hidden) + len(vocabulary) * width)
