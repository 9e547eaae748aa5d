"""The order of n-grams: longer ones where the text repeats itself so much that they know more."""

from __future__ import annotations

from dataclasses import dataclass

from fastlm.auto.request import Request
from fastlm.auto.timetable import Timetable
from fastlm.models.ngram.repeats import repeats
from fastlm.models.ngram.streams import at_most
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.workers import available_threads


@dataclass(frozen=True)
class Order:
    """The tokens of the longest n-grams, and above how many of them only those after repeated contexts are kept: None
    where all are. See `KneserNey`."""

    tokens: int
    repeated_above: int | None = None


def order_for(corpus: Corpus, vocabulary: Vocabulary, request: Request, timetable: Timetable | None = None) -> Order:
    """Return the order of the n-grams of a text: that asked for, or the usual one of the unit, or one of its
    `longer_orders`.

    A longer one is the longest for which at least `longer_repeated` of the text's contexts occur again, by a sample of
    them: so many of the tokens of new text will then be predicted from contexts as long. None is longer where the
    text has fewer than `longer_tokens` tokens, or where counting is expected to take more than `longer_share` of the
    time left. timetable: None where there is no limit.
    """
    policy = request.policy
    numbers = policy.of(vocabulary.unit)
    if request.order is not None:
        return Order(request.order)
    usual, longer = Order(numbers.order), [order for order in numbers.longer_orders if order > numbers.order]
    if not longer or len(corpus.ids) < policy.longer_tokens:
        return usual
    counting = policy.longer_seconds * len(corpus.ids) / (request.threads or available_threads())
    if timetable is not None and counting > policy.longer_share * timetable.left():
        return usual
    shares = repeats(at_most(corpus, policy.longer_text), [order - 1 for order in longer], policy.longer_places)
    known = [order for order, share in zip(longer, shares, strict=True) if share >= policy.longer_repeated]
    return Order(max(known), numbers.order) if known else usual
