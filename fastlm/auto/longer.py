"""Longer n-grams of characters, where the alphabet is too large for networks to correct n-grams."""

from __future__ import annotations

from collections.abc import Sequence

from fastlm.auto.cross_fit import folds_in_memory
from fastlm.auto.evaluate import nll_by_part
from fastlm.auto.request import Request, Text
from fastlm.auto.timetable import Timetable
from fastlm.models import Factored, KneserNey, Mixture


def longer_ngrams(counts: Sequence[KneserNey | Factored], counting: float, text: Text, request: Request,
                  timetable: Timetable) -> KneserNey | None:
    """Return n-grams of `uncorrected_order`, not counted yet, where they may be better than those counted, else None.

    They may be better where the alphabet is too large for networks to correct n-grams and the text repeats itself; they
    are tried where no order was asked for and there is time. counts: the models that were counted, the plain one, which
    took `counting` seconds, first.
    """
    policy, tokens, model = request.policy, len(text.train.ids), counts[0]
    wanted = policy.of(request.unit).uncorrected_order
    if request.order is not None or wanted is None or tokens > policy.large_text or text.held_out is None \
            or not isinstance(model, KneserNey) or not model.counted_whole or model.order >= wanted \
            or folds_in_memory(len(counts), model.vocab_size, tokens, timetable.limited, policy):
        return None
    fits = not timetable.limited or policy.uncorrected_seconds * counting <= timetable.left()
    repeats = tokens >= policy.uncorrected_repeats * model.ngrams.longest
    return KneserNey(model.vocab_size, wanted) if fits and repeats else None


def better(model: KneserNey, longer: KneserNey, text: Text, request: Request, tokens: int) -> KneserNey:
    """Count longer n-grams; return them, or the usual ones where these predict held-out text better.

    tokens: how many tokens of the held-out text they predict, about.
    """
    longer.fit(text.train, request.threads, budget_bytes=request.policy.counting_bytes)
    assert text.held_out is not None
    usual_nll, longer_nll = nll_by_part(Mixture(model.vocab_size, [model, longer]), text.held_out, request.threads,
                                        tokens, request.policy).nll.mean(1)
    return longer if longer_nll < usual_nll else model
