"""n-grams counted and networks trained on one text, and the two mixed.

The stages are plain functions, called in this order by `blend`: count, decide, cross-fit, train, weigh, count again.
Each decision is made once what it depends on is known: the networks are sized when the time that is left is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlm.auto.build import count_models, networks_beside
from fastlm.auto.cross_fit import Folds, cross_fit, folds_for
from fastlm.auto.evaluate import fit_cache, nll_by_part
from fastlm.auto.prune import distributions, negligible_parts, without
from fastlm.auto.request import Request, Text
from fastlm.auto.size import (
    NetworkSize,
    batch_size,
    measure_speed,
    narrowest,
    network_loss_share,
    network_size,
    size_for_passes,
)
from fastlm.auto.timetable import Timetable
from fastlm.models import Adaptive, Corrected, Ensemble, KneserNey, Mixture, PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training import History, Plan, Trainer
from fastlm.training.optim import AdamW, from_config
from fastlm.workers import one_thread_products

CountModel = Any   # a KneserNey or a Factored


@dataclass(frozen=True)
class Blend:
    """What `blend` returns: the model, how it was trained (``plan`` is None without networks), the ``cache`` model
    around it where there was time to fit one, and what was ``chosen`` in a sentence."""

    model: PrefixModel
    history: History
    plan: Plan | None
    cache: Adaptive | None
    chosen: str


@dataclass(frozen=True)
class Design:
    """What is to be trained and weighed: ``mixture``, the text its networks read, and what was chosen in a sentence."""

    mixture: Mixture
    train_corpus: Corpus
    chosen: str


def blend(vocabulary: Vocabulary, text: Text, request: Request, timetable: Timetable,
          recorded: Ensemble | None = None) -> Blend:
    """Return n-grams and the networks beside them, or n-grams alone where there is no time or text for a network.

    recorded: the model of a run that is being continued or repeated, whose decisions are taken from it.
    """
    candidates = [part for part in recorded.parts if not part.parameters] if recorded \
        else count_models(vocabulary, request.order, request.policy)
    counts, counting = count(candidates, text, request, timetable, recorded is not None)
    recounted = is_counted_again(text, counting, request, timetable)
    timetable.reserve("saving", saving_seconds(counts, request))
    timetable.reserve("recounting", counting if recounted else 0.0)
    design = continue_as(recorded, counts, text, request) if recorded \
        else decide(counts, counting, vocabulary, text, request, timetable)
    history, plan = train_networks(design, vocabulary, text, request, timetable)
    mixture, dropped, cache = weigh(design.mixture, vocabulary, text, request, timetable)
    if recounted and text.whole is not None:
        for model in mixture.parts:
            if not model.parameters:
                model.fit(text.whole, request.threads,   # type: ignore[attr-defined]
                          memory=request.policy.counting_bytes)
    if isinstance(counts[0], KneserNey):
        history.ended += counts[0].note
    history.ended += summary(mixture, [design.mixture.parts[part] for part in dropped])
    plan = plan and replace(plan, recounted=recounted, dropped=dropped)
    model = mixture if len(mixture.parts) > 1 else mixture.parts[0]
    return Blend(model, history, plan, cache, design.chosen)


# count ----------------------------------------------------------------------------------------------------------------

def count(candidates: Sequence[CountModel], text: Text, request: Request, timetable: Timetable,
          recorded: bool) -> tuple[list[CountModel], float]:
    """Count the first of the candidates, and the others where there is time, or a recorded run has them.

    Return the models that were counted, and the seconds that counting them again will take.
    """
    begun, policy = timetable.now(), request.policy
    counts = list(candidates[:1])
    counts[0].fit(text.train, request.threads, memory=policy.counting_bytes)
    if recorded or all_are_counted(text, timetable.now() - begun, request, timetable):
        for model in candidates[1:]:
            model.fit(text.train, request.threads, memory=policy.counting_bytes)
            counts.append(model)
    return counts, policy.recount_seconds * (timetable.now() - begun)


def all_are_counted(text: Text, counting: float, request: Request, timetable: Timetable) -> bool:
    """Return whether factored n-grams are counted too, after the plain ones have taken so many seconds."""
    policy = request.policy
    if len(text.train.ids) > policy.large_text:
        return False
    return not timetable.limited or (text.held_out is not None and timetable.fits(
        policy.factored_seconds * counting, policy.counting_share))


def is_counted_again(text: Text, counting: float, request: Request, timetable: Timetable) -> bool:
    """Return whether the n-grams will count the whole text, once the parts are weighed by what was held out of it."""
    if text.held_out is None or text.whole is None or (request.plan is not None and not request.plan.recounted):
        return False
    return counting <= request.policy.recount_share * timetable.deadline


def saving_seconds(counts: Sequence[CountModel], request: Request) -> float:
    """Return how long writing the model takes, most of which is the n-grams' tables."""
    size = sum(table.nbytes for model in counts for table in model.tables.values())
    return request.policy.saving_seconds + size / request.policy.saving_speed


# decide and cross-fit -------------------------------------------------------------------------------------------------

def decide(counts: list[CountModel], counting: float, vocabulary: Vocabulary, text: Text, request: Request,
           timetable: Timetable) -> Design:
    """Decide whether networks stand beside the n-grams, how large and how many they are, and whether they correct them.

    What cross-fitting takes is known best once it is done, so that the networks are sized after it.
    """
    folds = folds_for(counts, len(text.train.ids), vocabulary.unit, counting, timetable, request.policy)
    table, train_corpus = cross_fitted(counts, text, folds, request)
    size, chosen = choose_networks(vocabulary, len(train_corpus.ids), text, request, timetable)
    request.say(chosen)
    if size is None:
        return Design(Mixture(len(vocabulary), counts), train_corpus, chosen)
    networks = networks_beside(vocabulary, size, request.policy, request.seed, request.softmax)
    if folds is None:
        return Design(Ensemble(len(vocabulary), [*counts, *networks]), train_corpus, chosen)
    share = network_loss_share(vocabulary.unit, len(train_corpus.ids), size, request.policy)
    mixture = Corrected(len(vocabulary), [*counts, *networks], folds.count, folds.used, share)
    mixture.left_out = table
    return Design(mixture, train_corpus, chosen)


def continue_as(recorded: Ensemble, counts: list[CountModel], text: Text, request: Request) -> Design:
    """Return the design of a recorded run, cross-fitted again."""
    folds = Folds(recorded.folds, recorded.done) if isinstance(recorded, Corrected) and recorded.folds else None
    table, train_corpus = cross_fitted(counts, text, folds, request)
    if isinstance(recorded, Corrected):
        recorded.left_out = table
    return Design(recorded, train_corpus, "")


def cross_fitted(counts: list[CountModel], text: Text, folds: Folds | None,
                 request: Request) -> tuple[np.ndarray | None, Corpus]:
    """Return what the n-grams say of text that they have not counted, see `cross_fit`, and the text networks read."""
    if folds is None:
        return None, text.train
    return cross_fit(counts, text.train, folds.count, folds.used, request.threads, request.policy)


def choose_networks(vocabulary: Vocabulary, tokens: int, text: Text, request: Request,
                    timetable: Timetable) -> tuple[NetworkSize | None, str]:
    """Return how large networks that read so many tokens are to be, None for n-grams alone, and that in a sentence."""
    if request.may_be_counts_alone and text.held_out is None:
        return None, (f"n-grams alone: {text.tokens:,} tokens are too few to hold some out and weigh a network by them")
    size = size_beside(vocabulary, tokens, request, timetable)
    if size is None and request.may_be_counts_alone:
        return None, f"n-grams alone: what is left of {timetable.budget:g} s is too short for a network"
    size = size or narrowest(request.policy)
    return size, describe(size, vocabulary, tokens, request)


def size_beside(vocabulary: Vocabulary, tokens: int, request: Request, timetable: Timetable) -> NetworkSize | None:
    """Return how large networks beside n-grams are to be in the time left, or for the passes that were asked for."""
    policy = request.policy
    if not timetable.limited:
        return size_for_passes(vocabulary.unit, len(vocabulary), tokens, request.epochs or 1.0, policy)
    speed = measure_speed(request.threads, policy.speed_seconds)
    return network_size(vocabulary.unit, len(vocabulary), tokens, timetable.left(), speed, policy, beside=True)


def describe(size: NetworkSize, vocabulary: Vocabulary, tokens: int, request: Request) -> str:
    """Return what was chosen, in a sentence."""
    count = "an LSTM" if size.networks == 1 else f"{size.networks} LSTMs"
    numbers = request.policy.of(vocabulary.unit)
    back = f", looking back {numbers.lookback_window} tokens" if size.hidden >= numbers.lookback_from else ""
    return (f"n-grams and {count} of {size.hidden} units with dropout {size.dropout:g}{back}, which will read "
            f"{tokens:,} tokens about {size.passes:.2g} times")


# train ----------------------------------------------------------------------------------------------------------------

def train_networks(design: Design, vocabulary: Vocabulary, text: Text, request: Request,
                   timetable: Timetable) -> tuple[History, Plan | None]:
    """Train the networks until what follows must begin; without any, return a history that says what was counted."""
    mixture, policy = design.mixture, request.policy
    if not isinstance(mixture, Ensemble):
        return History(ended=f"counted {entries(mixture.parts):,} n-grams"), None
    if timetable.limited and text.held_out is not None:
        timetable.reserve("weighing", weighing_seconds(mixture, text.held_out, request, timetable))
    tokens, corrects = len(design.train_corpus.ids), isinstance(mixture, Corrected)
    long = corrects and tokens >= policy.long_sequences_from
    length = policy.long_sequence_length if long else policy.sequence_length
    lanes = batch_size(vocabulary.unit, tokens, length, policy, timetable.budget)
    reserve = min(timetable.reserved(), policy.most_reserved * timetable.budget)
    result = fit_network(mixture, replace(text, train=design.train_corpus), request, timetable, lanes, length, reserve,
                         policy.most_passes if timetable.limited else request.epochs)
    if isinstance(mixture, Corrected):
        mixture.left_out = None
    return result


def entries(counts: Sequence[CountModel]) -> int:
    """Return how many n-grams have been counted."""
    return sum(len(model.tables["word"]) for model in counts)


def fit_network(network: PrefixModel, text: Text, request: Request, timetable: Timetable, lanes: int, length: int,
                reserve: float = 0.0, passes: float | None = None) -> tuple[History, Plan | None]:
    """Train a network on a text and return its history and plan.

    lanes, length: stretches of the text side by side, and tokens of each a step, unless a plan says; reserve: seconds
    of the budget that are left to what follows; passes: enough of them, where there is a budget too.
    """
    plan, policy = request.plan, request.policy
    network.initialise(np.bincount(text.train.ids, minlength=network.vocab_size).astype(np.float64))
    optimizer = from_config(plan.optimizer) if plan else request.optimizer or AdamW(lr=policy.learning_rate)
    trainer = Trainer(network, optimizer, seed=plan.seed if plan else request.seed, threads=request.threads,
                      lanes=None if plan else lanes, chunk=None if plan else length, loop=policy.loop())
    history = trainer.fit(text.train, text.held_out, epochs=passes, budget=request.budget, plan=plan,
                          clock=timetable.clock, reserve=reserve, progress=request.progress,
                          checkpoint=request.checkpoint, checkpoint_every=request.checkpoint_every)
    return history, trainer.plan and replace(trainer.plan, held_out=text.share)


# weigh ----------------------------------------------------------------------------------------------------------------

def weighed_tokens(request: Request, timetable: Timetable) -> int:
    """Return how many held-out tokens the weights of a mixture are fitted on, at most."""
    policy = request.policy
    return int(min(policy.weighed_tokens, policy.weighed_per_second * max(1.0, timetable.budget)))


def weighing_seconds(mixture: Mixture, held_out: Corpus, request: Request, timetable: Timetable) -> float:
    """Return how long weighing a mixture will take after training, from scoring a sample of the tokens now."""
    policy, tokens = request.policy, weighed_tokens(request, timetable)
    begun = timetable.now()
    nll_by_part(mixture, held_out, request.threads, tokens // policy.weighing_sample, policy)
    scoring = policy.weighing_sample * (timetable.now() - begun)
    return policy.weighing_margin * scoring + policy.gate_seconds * tokens


def weigh(mixture: Mixture, vocabulary: Vocabulary, text: Text, request: Request,
          timetable: Timetable) -> tuple[Mixture, list[int], Adaptive | None]:
    """Fit the weights and the gate of a mixture on held-out text, and drop the parts that have no weight.

    Return the mixture of the parts that are left, which were dropped, and the cache model around it, where one pays.
    """
    policy = request.policy
    if text.held_out is None or len(mixture.parts) == 1:
        return mixture, [], None
    weighed = nll_by_part(mixture, text.held_out, request.threads, weighed_tokens(request, timetable), policy)
    with one_thread_products():   # several threads give other bytes, and wait for each other on a busy machine
        dropped = negligible_parts(mixture, weighed, policy) if request.plan is None else request.plan.dropped
        if dropped:
            kept, mixture = distributions(mixture, dropped), without(mixture, dropped)
            features = weighed.features if isinstance(mixture.parts[0], KneserNey) else None
            weighed = replace(weighed, nll=weighed.nll[kept], features=features)
        mixture.fit(list(weighed.nll), weighed.features)
        if len(mixture.parts) == 1 or timetable.budget < policy.cache_from:
            return mixture, dropped, None
        return mixture, dropped, fit_cache(mixture, text.held_out, weighed, policy.of(vocabulary.unit))


def summary(mixture: Mixture, dropped: Sequence[PrefixModel]) -> str:
    """Return the weights, what the gate gains and what was dropped, in clauses; nothing for a single part."""
    kinds = ", ".join(type(part).__name__ for part in dropped)
    left_out = f"; without {kinds} of no weight" if dropped else ""
    if len(mixture.parts) == 1:
        return left_out
    weights = ", ".join(f"{weight:.2f}" for weight in mixture.weights)
    return f"; mixed by weights of {weights} and a gate that gains {mixture.gain:.4f} nats{left_out}"
