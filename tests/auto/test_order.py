"""The order of n-grams by what the text repeats."""

from dataclasses import replace

import numpy as np

import fastlm
from fastlm import Corpus
from fastlm.auto.order import Order, order_for
from fastlm.auto.policy import Policy, UnitPolicy
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey
from fastlm.text.vocabulary import Vocabulary
from tests.auto.test_blend import asked
from tests.auto.test_timetable import Turned

LETTERS = Vocabulary(list("abcdefghijklmnopqrstuvwxyz0123"), unit="char")


def repeating(share: float, length: int = 40, tokens: int = 20_000) -> Corpus:
    """Return ids of which about a share is copied from the rest, so many in a row."""
    rng = np.random.default_rng(0)
    source = rng.integers(30, size=round(tokens * (1 - share / 2))).astype(np.int32)
    places = rng.integers(len(source) - length, size=round(tokens * share / 2 / length))
    copies = [source[at: at + length] for at in places]
    return Corpus.from_ids([np.concatenate([source, *copies])])


def order_of(corpus: Corpus, budget: float | None = None, order: int | None = None, vocabulary: Vocabulary = LETTERS,
             **policy) -> Order:
    request = asked(Policy(**{"longer_tokens": 1000} | policy), budget=budget, order=order)
    return order_for(corpus, vocabulary, request, Timetable(budget, Turned()))


def test_n_grams_are_as_long_as_what_is_repeated() -> None:
    assert order_of(repeating(0.0)) == Order(8)
    assert order_of(repeating(0.9)) == Order(16, repeated_above=8)
    assert order_of(repeating(0.9, length=20)) == Order(12, repeated_above=8)    # a third fewer are as long as 15
    assert order_of(repeating(0.9), longer_repeated=0.9) == Order(8)
    assert order_of(repeating(0.9), characters=replace(UnitPolicy.usual("char"), longer_orders=(10,))) == Order(10, 8)
    assert order_of(repeating(0.9), characters=replace(UnitPolicy.usual("char"), longer_orders=(7, 8))) == Order(8)


def test_short_texts_words_and_orders_that_are_asked_for_stay_as_they_are() -> None:
    assert order_of(repeating(0.9), longer_tokens=30_000) == Order(8)
    assert order_of(repeating(0.9), order=11) == Order(11)
    words = Vocabulary([f"w{id}" for id in range(30)])
    assert order_of(repeating(0.9), vocabulary=words) == Order(5)


def test_longer_n_grams_need_time() -> None:
    """Of 20,000 tokens they are expected to take a fiftieth of a second, and may take a fifth of the time."""
    assert order_of(repeating(0.9), budget=0.11) == Order(16, 8)
    assert order_of(repeating(0.9), budget=0.09) == Order(8)
    assert order_of(repeating(0.9), budget=0.11, longer_share=0.1) == order_of(
        repeating(0.9), budget=0.11, longer_seconds=2e-6) == Order(8)


def test_the_order_is_in_the_model_and_repeated_by_its_plan() -> None:
    rng = np.random.default_rng(1)
    sentences = ["".join(chr(97 + id) for id in rng.integers(26, size=60)) for _ in range(12)]
    text = "\n".join(sentences[int(which)] for which in rng.integers(12, size=200))
    policy = Policy(longer_tokens=1000)
    counted = fastlm.train([text], "char", model="kneser-ney", threads=1, policy=policy).model
    assert isinstance(counted, KneserNey) and counted.options["order"] == 16 and counted.options["repeated_above"] == 8
    lm = fastlm.train([text], "char", epochs=1, threads=1, policy=policy)
    assert lm.model.parts[0].options == counted.options and lm.plan is not None
    again = fastlm.train([text], "char", plan=lm.plan, threads=2)      # the usual policy would count order 8
    assert again.digest() == lm.digest()
    assert fastlm.train([text], "char", epochs=1, threads=1).digest() != lm.digest()
