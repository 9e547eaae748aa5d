"""N-grams counted and networks trained on one text, and all of them mixed.

The stages are plain functions, called in this order by `blend`: count, decide, cross-fit, train, weigh, count again.
Each decision is made once everything that it depends on is known: for example, the networks are sized after counting
and cross-fitting, when it is known how much time is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastlm.auto.build import count_models
from fastlm.auto.count import count, count_again, count_again_in_time, entries, is_counted_again, weighed_tokens
from fastlm.auto.design import Design, continue_as, decide
from fastlm.auto.evaluate import Weighed, fit_cache, nll_by_part
from fastlm.auto.order import order_for
from fastlm.auto.prune import distributions, negligible_parts, without
from fastlm.auto.request import Recorded, Request, Text
from fastlm.auto.shrink import pruning_seconds
from fastlm.auto.size import batch_size_of
from fastlm.auto.timetable import Timetable
from fastlm.models import CacheModel, KneserNey, Mixture, PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.text.stored import occurrences
from fastlm.text.vocabulary import Vocabulary
from fastlm.training import Plan, Trainer
from fastlm.training.history import Ended, History
from fastlm.training.losses import Loss
from fastlm.training.optim import AdamW, from_config
from fastlm.workers import one_thread_products


@dataclass(frozen=True)
class Blend:
    """The result of `blend`: the model, its ``history``, its ``plan`` (None without networks), the ``cache`` model
    around it where there was time to fit one, and what was ``chosen``, in a sentence."""

    model: PrefixModel
    history: History
    plan: Plan | None
    cache: CacheModel | None
    chosen: str


def blend(vocabulary: Vocabulary, text: Text, request: Request, timetable: Timetable,
          recorded: Recorded | None = None) -> Blend:
    """Train n-grams and networks and return them mixed, or n-grams alone where there is no time or text for a network.

    recorded: the run that is continued or repeated, from which all decisions are taken; None for a new run. Once a
    signal has come (`Request.interrupt`), the stages that are left are skipped or made short.
    """
    candidates = [part for part in recorded.model.parts if not part.parameters] if recorded \
        else count_models(vocabulary, order_for(text.train, vocabulary, request, timetable))
    begun = timetable.now()
    counts = count(candidates, text, request, timetable, recorded is not None)
    counting = request.policy.recount_seconds * (timetable.now() - begun)
    recounted = is_counted_again(text, counting, request, timetable)
    timetable.reserve("recounting", counting if recounted else 0.0)
    timetable.reserve("pruning", pruning_seconds(counts, counting, text, request))
    design = request.interrupt.attempt(lambda: continue_as(recorded, counts, vocabulary, text, request) if recorded
                                       else decide(counts, counting, vocabulary, text, request, timetable))
    design = design or Design(Mixture(len(vocabulary), counts), text.train, "n-grams alone: interrupted")
    tokens = tokens_to_weigh(design.mixture, text, request, timetable)
    history, plan = train_networks(design, vocabulary, text, request, timetable)
    timetable.release("weighing")
    mixture, dropped, cache = weigh(design.mixture, vocabulary, text, tokens, request, timetable)
    timetable.release("recounting")
    kept = [share for part, share in enumerate(design.kept or [1.0] * len(counts)) if part not in dropped]
    recounted = recounted and count_again(mixture, text, request, kept)
    if not recounted and plan is None:
        count_again_in_time(mixture, text, counting, request, timetable, kept)
    if request.interrupt.asked and history.reason is not Ended.INTERRUPTED:
        history.reason = Ended.INTERRUPTED
        history.ended += "; interrupted before all was done"
    if isinstance(counts[0], KneserNey):
        history.ended += counts[0].note
    if design.kept is not None:
        history.ended += f"; n-grams pruned to {design.allowed:,} bytes"
    history.ended += summary(mixture, [design.mixture.parts[part] for part in dropped])
    plan = plan and replace(plan, recounted=recounted, dropped=dropped, ngram_bytes=design.allowed)
    model = mixture if len(mixture.parts) > 1 else mixture.parts[0]
    return Blend(model, history, plan, cache, design.chosen)


# train ----------------------------------------------------------------------------------------------------------------

def train_networks(design: Design, vocabulary: Vocabulary, text: Text, request: Request,
                   timetable: Timetable) -> tuple[History, Plan | None]:
    """Train the networks until the next stage must begin, and return their history and plan.

    Without networks the history says how many n-grams were counted, and the plan is None.
    """
    mixture, policy = design.mixture, request.policy
    if not mixture.networks:
        return History(ended=f"counted {entries(mixture.parts):,} n-grams", reason=Ended.COUNTED), None
    tokens, corrects = len(design.train_corpus.ids), mixture.residual is not None
    long = corrects and tokens >= policy.long_sequences_from
    length = policy.long_sequence_length if long else policy.sequence_length
    batch_size = batch_size_of(vocabulary.unit, tokens, length, policy, timetable.budget)
    reserve = min(timetable.reserved(), policy.most_reserved * timetable.budget)
    return fit_network(mixture, replace(text, train=design.train_corpus), request, timetable, batch_size, length,
                       reserve, policy.most_passes if timetable.limited else request.epochs, design.loss)


def fit_network(network: PrefixModel, text: Text, request: Request, timetable: Timetable, batch_size: int, length: int,
                reserve: float = 0.0, passes: float | None = None,
                loss: str | Loss = "cross_entropy") -> tuple[History, Plan | None]:
    """Train a network on a text and return its history and plan.

    batch_size, length: how many stretches of the text are read side by side, and how many tokens of each in a step; a
    recorded plan replaces both. reserve: seconds of the budget to leave for later stages. passes: over the text, at
    most; None for no limit.
    """
    plan, policy = request.plan, request.policy
    network.initialise(occurrences(text.train.ids, network.vocab_size).astype(np.float64))
    optimizer = from_config(plan.optimizer) if plan else request.optimizer or AdamW(lr=policy.learning_rate)
    trainer = Trainer(network, optimizer, seed=plan.seed if plan else request.seed, threads=request.threads,
                      batch_size=None if plan else batch_size, sequence_length=None if plan else length,
                      loop=policy.loop(), loss=loss)
    history = trainer.fit(text.train, text.held_out, epochs=passes, budget=request.budget, plan=plan,
                          clock=timetable.clock, reserve=reserve, progress=request.progress,
                          checkpoint=request.checkpoint, checkpoint_every=request.checkpoint_every,
                          interrupt=request.interrupt)
    return history, trainer.plan and replace(trainer.plan, held_out=text.share)


# weigh ----------------------------------------------------------------------------------------------------------------

def tokens_to_weigh(mixture: Mixture, text: Text, request: Request, timetable: Timetable) -> int:
    """Return how many held-out tokens a mixture is to be weighed by, and reserve the seconds that this will take.

    A sample of them is scored now where networks are to be trained. Where the vocabulary is so large that all would
    take more than `weighing_share` of the time left, there are fewer tokens, but at least `fewest_weighed`.
    """
    policy, tokens = request.policy, weighed_tokens(request, timetable)
    if not timetable.limited or text.held_out is None or not mixture.networks:
        return tokens
    timetable.release("weighing")
    left, held_out, begun = timetable.left(), text.held_out, timetable.now()
    sample = min(tokens // policy.weighing_sample, max(policy.weighed_stretches,
                                                       policy.weighed_logits // mixture.vocab_size))
    request.interrupt.attempt(lambda: nll_by_part(mixture, held_out, request.threads, sample, policy))
    each = policy.weighing_margin * (timetable.now() - begun) / sample + policy.gate_seconds
    enough = max(policy.fewest_weighed, policy.weighing_share * left / each)
    tokens = int(min(tokens, enough))
    timetable.reserve("weighing", each * tokens)
    return tokens


def weigh(mixture: Mixture, vocabulary: Vocabulary, text: Text, tokens: int, request: Request,
          timetable: Timetable) -> tuple[Mixture, list[int], CacheModel | None]:
    """Fit the weights and the gate of a mixture on so many held-out tokens, and drop the parts that have no weight.

    Fewer tokens are used where the time is over before they are scored. Returns the mixture of the parts that are kept,
    the numbers of those that were dropped, and the cache model around the mixture, None where there is no time to fit
    one.
    """
    policy = request.policy
    if text.held_out is None or len(mixture.parts) == 1:
        return mixture, [], None
    held_out, interrupt = text.held_out, request.interrupt
    with one_thread_products():   # several threads give other bytes, and wait for each other on a busy machine
        found = interrupt.attempt(lambda: weigh_by(mixture, held_out, tokens, request, timetable))
        mixture, dropped, weighed = found or weigh_by(mixture, held_out, tokens // policy.interrupted_sample, request,
                                                      timetable)
        if len(mixture.parts) == 1 or timetable.budget < policy.cache_from:
            return mixture, dropped, None
        kept = mixture
        return kept, dropped, interrupt.attempt(lambda: fit_cache(kept, held_out, weighed, policy.of(vocabulary.unit)))


def weigh_by(mixture: Mixture, held_out: Corpus, tokens: int, request: Request,
             timetable: Timetable) -> tuple[Mixture, list[int], Weighed]:
    """Fit the weights and the gate on so many held-out tokens or fewer, without the parts that have no weight.

    Returns the mixture of the parts that are kept, the numbers of those that were dropped, and what it was weighed by.
    """
    fitting = request.policy.gate_seconds * tokens
    weighed = nll_by_part(mixture, held_out, request.threads, tokens, request.policy,
                          lambda: timetable.limited and timetable.left() < fitting)
    dropped = negligible_parts(mixture, weighed, request.policy) if request.plan is None else request.plan.dropped
    if dropped:
        kept, mixture = distributions(mixture, dropped), without(mixture, dropped)
        features = weighed.features if isinstance(mixture.parts[0], KneserNey) else None
        weighed = replace(weighed, nll=weighed.nll[kept], features=features)
    mixture.estimate_weights(list(weighed.nll), weighed.features)
    return mixture, dropped, weighed


def summary(mixture: Mixture, dropped: Sequence[PrefixModel]) -> str:
    """Return clauses that say the weights, the gain of the gate and which parts were dropped, for `History.ended`."""
    kinds = ", ".join(type(part).__name__ for part in dropped)
    left_out = f"; without {kinds} of no weight" if dropped else ""
    if len(mixture.parts) == 1:
        return left_out
    weights = ", ".join(f"{weight:.2f}" for weight in mixture.weights)
    return f"; mixed by weights of {weights} and a gate that gains {mixture.gain:.4f} nats{left_out}"
