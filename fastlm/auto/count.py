"""Counting the n-grams of a text: as many models as there is time for, and again with the held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastlm.auto.extents import tokens_to_count
from fastlm.auto.request import Request, Text
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey, Mixture

CountModel = Any   # a KneserNey or a Factored


def count(candidates: Sequence[CountModel], text: Text, request: Request, timetable: Timetable,
          recorded: bool) -> list[CountModel]:
    """Count the first of the candidates, and the others where there is time, or a recorded run has them.

    Returns the models that were counted. The seconds that later stages need are reserved as "weighing" and "saving".
    """
    begun, policy = timetable.now(), request.policy
    counts = list(candidates[:1])
    most = tokens_to_count(counts[0], text, request, timetable)
    in_time = {"most_tokens": most} if most < len(text.train.ids) else {}
    counts[0].fit(text.train, request.threads, budget_bytes=policy.counting_bytes, **in_time)
    if not recorded:
        request.interrupt.keep()   # from here on there is a model; a continued run has a better one in its checkpoint
    plain, slower = timetable.now() - begun, 1.0
    if isinstance(counts[0], KneserNey) and counts[0].repeated_above is not None:
        plain /= policy.longer_counting
    timetable.reserve("saving", saving_seconds(counts, request))
    timetable.reserve("weighing", policy.gate_seconds * weighed_tokens(request, timetable))
    expected = policy.of(request.unit).factored_seconds
    for model, seconds in zip(candidates[1:], expected, strict=False):
        begun = timetable.now()
        if not recorded and not has_time_to_count(seconds * plain * slower, text, request, timetable):
            continue
        if count_further(model, text, request, timetable, recorded):
            counts.append(model)
            slower = max(1.0, (timetable.now() - begun) / max(seconds * plain, 1e-9))
            timetable.reserve("saving", saving_seconds(counts, request))
    return counts


def has_time_to_count(seconds: float, text: Text, request: Request, timetable: Timetable) -> bool:
    """Return whether there is time, and memory, to count factored n-grams, which will take so many seconds."""
    if len(text.train.ids) > request.policy.large_text:
        return False
    return not timetable.limited or (text.held_out is not None and seconds <= timetable.left())


def count_further(model: CountModel, text: Text, request: Request, timetable: Timetable, recorded: bool) -> bool:
    """Count a model and return true; return false where an interrupt, or too little time, has ended the counting."""
    def stage() -> bool:
        model.fit(text.train, request.threads, budget_bytes=request.policy.counting_bytes)
        return True
    return request.interrupt.attempt(stage if recorded else lambda: timetable.attempt(stage)) is True


def is_counted_again(text: Text, counting: float, request: Request, timetable: Timetable) -> bool:
    """Return whether the n-grams will count the held-out text too, once the parts have been weighed by it."""
    if text.held_out is None or text.whole is None or (request.plan is not None and not request.plan.recounted):
        return False
    return counting <= request.policy.recount_share * timetable.deadline


def saving_seconds(counts: Sequence[CountModel], request: Request) -> float:
    """Return how many seconds writing the model will take; most of its bytes are the n-grams' tables."""
    size = sum(table.nbytes for model in counts for table in model.tables.values())
    return request.policy.saving_seconds + size / request.policy.saving_speed


def count_again_in_time(mixture: Mixture, text: Text, counting: float, request: Request, timetable: Timetable,
                        kept: Sequence[float]) -> None:
    """Count those n-gram models on the whole text for which the time left is enough; nothing else would use that time.

    counting: seconds that all models will take; each takes a share of them by the number of its n-grams. kept: the
    share of its bytes that each model keeps.
    """
    if not timetable.limited or text.whole is None or text.held_out is None:
        return
    total, whole = entries(mixture.parts), text.whole
    for model, share in zip(mixture.parts, kept, strict=True):
        part: CountModel = model
        seconds = counting * entries([part]) / max(1, total)
        if seconds > timetable.left():
            continue
        before: dict[str, Any] = dict(vars(part))

        def stage(part: CountModel = part, share: float = share) -> bool:
            part.fit(whole, request.threads, budget_bytes=request.policy.counting_bytes, kept_share=share)
            return True
        if request.interrupt.attempt(partial(timetable.attempt, stage)) is not True:
            part.__dict__.update(before)


def count_again(mixture: Mixture, text: Text, request: Request, kept: Sequence[float]) -> bool:
    """Count the n-grams on the whole text and return true; where that is interrupted, change nothing and return
    false.

    kept: the share of its bytes that each model keeps. It is that of before: weights of the models by held-out text,
    which they have counted by now, would favour the one that knows it by heart.
    """
    counts: list[CountModel] = [model for model in mixture.parts if not model.parameters]
    attributes, whole, limit = [dict(vars(model)) for model in counts], text.whole, request.policy.counting_bytes

    def count_whole() -> bool:
        for model, share in zip(counts, kept, strict=True):
            model.fit(whole, request.threads, budget_bytes=limit, kept_share=share)
        return True
    if whole is not None and request.interrupt.attempt(count_whole):
        return True
    for model, before in zip(counts, attributes, strict=True):
        vars(model).update(before)
    return False


def entries(counts: Sequence[CountModel]) -> int:
    """Return how many n-grams have been counted."""
    return sum(model.ngrams.nodes for model in counts)


def weighed_tokens(request: Request, timetable: Timetable) -> int:
    """Return how many held-out tokens, at most, the weights of a mixture are fitted on."""
    policy = request.policy
    return int(min(policy.weighed_tokens, policy.weighed_per_second * max(1.0, timetable.budget)))
