"""Decides which networks stand beside the n-grams of a mixture, and how large both are, before any is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlm.auto.build import networks_beside, output_of
from fastlm.auto.count import CountModel, entries
from fastlm.auto.cross_fit import Folds, count_folds, cross_fit, folds_for
from fastlm.auto.request import Recorded, Request, Text
from fastlm.auto.shrink import bytes_allowed, network_bytes, prune_counts, within
from fastlm.auto.size import (
    NetworkSize,
    fits_memory,
    lookback,
    measure_speed,
    narrowest,
    network_loss_share,
    network_size,
    size_for_passes,
)
from fastlm.auto.timetable import Timetable
from fastlm.models import CrossFittedLoss, Mixture, SampledCrossFittedLoss
from fastlm.models.mixture.folded import FoldedNGrams
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.losses import Loss


@dataclass(frozen=True)
class Design:
    """What is to be trained and weighed: ``mixture``, the text that its networks are trained on, their loss, what was
    ``chosen``, in a sentence, the shares of their bytes that n-grams ``kept`` when they were pruned, and into how many
    bytes, ``allowed``."""

    mixture: Mixture
    train_corpus: Corpus
    chosen: str
    loss: str | Loss = "cross_entropy"
    kept: list[float] | None = None
    allowed: int = 0


def decide(counts: list[CountModel], counting: float, vocabulary: Vocabulary, text: Text, request: Request,
           timetable: Timetable) -> Design:
    """Decide whether there are networks beside the n-grams, how large and how many, and whether they correct these.

    The n-grams are pruned before they are cross-fitted, so that networks learn to correct what there will be; how much
    room networks will leave them is estimated. The networks are sized after cross-fitting, because only then is it
    known how long it took.
    """
    speed = measure_speed(request.threads, request.policy.speed_seconds) if timetable.limited else 0.0
    sampled = is_sampled(vocabulary, request)
    if sampled:   # of the plain n-grams alone
        counting *= entries(counts[:1]) / max(1, entries(counts))
    folds = folds_for(counts, len(text.train.ids), vocabulary.unit, counting, timetable, request.policy, sampled)
    while folds is not None and not leaves_time(folds, speed, vocabulary, text, request, timetable):
        folds = replace(folds, used=folds.used - 1) if folds.used > 1 else None
    expected = expected_bytes(folds, speed, vocabulary, text, request, timetable)
    design = pruned_to(bytes_allowed(expected, vocabulary, text, request), counts,
                       1 if folds is not None and sampled else len(counts), vocabulary, text, request)
    timetable.release("pruning")
    found = timetable.attempt(lambda: cross_fitted(counts, text, folds, request, sampled, design.kept))
    fitted, train_corpus = found or (None, text.train)
    size, chosen = choose_networks(vocabulary, len(train_corpus.ids), text, request, timetable, speed,
                                   fitted is not None)
    request.say(chosen)
    design = replace(design, train_corpus=train_corpus, chosen=chosen)
    if size is None:
        return design
    networks = networks_beside(vocabulary, size, request.policy, request.seed, request.softmax, fitted is not None)
    mixture = Mixture(len(vocabulary), [*counts, *networks], residual=fitted is not None)
    if folds is None or fitted is None:
        return replace(design, mixture=mixture)
    share = request.policy.sampled_loss_share if sampled \
        else network_loss_share(vocabulary.unit, len(train_corpus.ids), size, request.policy)
    return replace(design, mixture=mixture, loss=loss_of(fitted, share, folds))


def pruned_to(allowed: int | None, counts: list[CountModel], corrected: int, vocabulary: Vocabulary, text: Text,
              request: Request) -> Design:
    """Prune n-grams, the first of which will be corrected, to the bytes that are allowed, None for any number, and
    return a design of these alone."""
    kept = prune_counts(counts, allowed, corrected, request)
    return Design(Mixture(len(vocabulary), counts), text.train, "", kept=kept, allowed=(allowed or 0) if kept else 0)


def expected_bytes(folds: Folds | None, speed: float, vocabulary: Vocabulary, text: Text, request: Request,
                   timetable: Timetable) -> float:
    """Return how many bytes the networks are expected to take, 0 where there will be none.

    The arguments are those of `leaves_time`.
    """
    policy = request.policy
    left, tokens = after_folds(folds, text, timetable)
    size = size_beside(vocabulary, tokens, request, left, speed, folds is not None)
    if size is None and not request.may_be_counts_alone:
        size = narrowest(policy)
    if size is not None and request.max_bytes is not None:
        size = within(size, vocabulary, request.max_bytes, policy, request.precision)
    return network_bytes(size, vocabulary, policy, request.precision, folds is not None) if size else 0.0


def after_folds(folds: Folds | None, text: Text, timetable: Timetable) -> tuple[float, int]:
    """Return the seconds that will be left after cross-fitting folds, None for none, and the tokens to train on."""
    if folds is None:
        return timetable.left(), len(text.train.ids)
    return timetable.left() - folds.used * folds.seconds, len(text.train.ids) * folds.used // folds.count


def is_sampled(vocabulary: Vocabulary, request: Request) -> bool:
    """Return whether the networks beside n-grams are trained on drawn tokens."""
    output = output_of(request.softmax, len(vocabulary), vocabulary.counts, 1, request.policy)
    return output is not None and output["name"] == "sampled"


def loss_of(fitted: np.ndarray | FoldedNGrams, share: float, folds: Folds) -> Loss:
    """Return the loss of networks that correct cross-fitted n-grams, of which `share` is that of the networks alone."""
    kind: Any = CrossFittedLoss if isinstance(fitted, np.ndarray) else SampledCrossFittedLoss
    return kind(fitted, share, folds.count, folds.used)


def leaves_time(folds: Folds, speed: float, vocabulary: Vocabulary, text: Text, request: Request,
                timetable: Timetable) -> bool:
    """Return whether there will be time for a network after cross-fitting these folds, which are of no use without one.

    speed: multiply-adds a second, see `measure_speed`.
    """
    if not timetable.limited or not request.may_be_counts_alone:
        return True
    policy = request.policy
    left, tokens = after_folds(folds, text, timetable)
    return left > 0 and network_size(vocabulary.unit, len(vocabulary), tokens, left, speed, policy,
                                     corrects=True) is not None


def continue_as(recorded: Recorded, counts: list[CountModel], vocabulary: Vocabulary, text: Text,
                request: Request) -> Design:
    """Return the design of a recorded run; its n-grams are pruned and its text is cross-fitted again."""
    plan = recorded.plan
    folds, residual = Folds(plan.folds, plan.fitted_folds) if plan.folds else None, recorded.model.residual
    sampled = residual is not None and residual.samples is not None
    design = pruned_to(plan.ngram_bytes or None, counts, residual.corrected if residual else len(counts), vocabulary,
                       text, request)
    fitted, train_corpus = cross_fitted(counts, text, folds, request, sampled, design.kept)
    design = replace(design, mixture=recorded.model, train_corpus=train_corpus)
    if folds is None or fitted is None:
        return design
    return replace(design, loss=loss_of(fitted, plan.network_loss_share, folds))


def cross_fitted(counts: list[CountModel], text: Text, folds: Folds | None, request: Request, sampled: bool,
                 kept: list[float] | None) -> tuple[np.ndarray | FoldedNGrams | None, Corpus]:
    """Return the table of the cross-fitted n-grams, or where tokens are drawn the plain ones of each fold, None without
    folds; and the text to train networks on.

    kept: the shares of their bytes that the n-grams were pruned to, as those of each fold are.
    """
    if folds is None:
        return None, text.train
    options = folds.count, folds.used, request.threads, request.policy
    if sampled:
        return count_folds(counts[:1], text.train, *options, kept=kept[:1] if kept else None)
    return cross_fit(counts, text.train, *options, kept=kept)


def choose_networks(vocabulary: Vocabulary, tokens: int, text: Text, request: Request, timetable: Timetable,
                    speed: float, corrects: bool = False) -> tuple[NetworkSize | None, str]:
    """Return the size of networks that are trained on so many tokens, None for n-grams alone, and a sentence that says
    so.

    speed: multiply-adds a second, see `measure_speed`. corrects: whether they correct n-grams.
    """
    if request.may_be_counts_alone and text.held_out is None:
        return None, (f"n-grams alone: {text.tokens:,} tokens are too few to hold some out and weigh a network by them")
    size = size_beside(vocabulary, tokens, request, timetable.left(), speed, corrects)
    if size is None and request.may_be_counts_alone:
        if not fits_memory(len(vocabulary), narrowest(request.policy).hidden, request.policy):
            return None, f"n-grams alone: a network of {len(vocabulary):,} {vocabulary.unit}s takes too much memory"
        return None, f"n-grams alone: what is left of {timetable.budget:g} s is too short for a network"
    size = size or narrowest(request.policy)
    if request.max_bytes is not None:
        smaller = within(size, vocabulary, request.max_bytes, request.policy, request.precision)
        if smaller is None and request.may_be_counts_alone:
            return None, f"n-grams alone: {request.max_bytes:,} bytes are too few for a network beside them"
        size = smaller or narrowest(request.policy)
    return size, describe(size, vocabulary, tokens, request, corrects)


def size_beside(vocabulary: Vocabulary, tokens: int, request: Request, seconds: float,
                speed: float, corrects: bool) -> NetworkSize | None:
    """Return the size of networks beside n-grams that suits the seconds left, or the passes that were asked for."""
    policy = request.policy
    if request.budget is None:
        return size_for_passes(vocabulary.unit, len(vocabulary), tokens, request.epochs or 1.0, policy)
    return network_size(vocabulary.unit, len(vocabulary), tokens, seconds, speed, policy, True, corrects)


def describe(size: NetworkSize, vocabulary: Vocabulary, tokens: int, request: Request, corrects: bool) -> str:
    """Return a sentence that says which networks were chosen; corrects: whether they correct n-grams."""
    count = "an LSTM" if size.networks == 1 else f"{size.networks} LSTMs"
    looks = lookback(vocabulary.unit, size.hidden, request.policy, corrects)
    back = f", looking back {looks['window']} tokens" if looks else ""
    return (f"n-grams and {count} of {size.hidden} units with dropout {size.dropout:g}{back}, which will read "
            f"{tokens:,} tokens about {size.passes:.2g} times")
