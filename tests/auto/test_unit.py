"""Which unit suits a text: the rules one by one, and what train makes of them."""

from dataclasses import replace

import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.auto.unit import Look, look_at, unit_for
from tests.auto.test_blend import asked as request_of

PROSE = Look(5_000_000, 90, 900_000, 0.0, 0.01, 0.0, 0.01, 60.0, 9.0)


def chosen(look: Look, budget: float | None = 60.0, **options) -> str:
    return unit_for(look, budget, request_of(**{"budget": budget} | options))[0]


@pytest.mark.parametrize("changes, unit", [
    ({}, "piece"),
    ({"characters": 2_000_000}, "piece"),
    ({"characters": 1_999_999}, "char"),
    ({"characters": 700_000, "alphabet": 201}, "piece"),
    ({"characters": 699_999, "alphabet": 201}, "char"),
    ({"unknown": 0.001}, "word"),
    ({"unknown": 0.001, "unspaced": 0.2}, "piece"),
    ({"separate": 3.0}, "word"),
    ({"separate": 2.9}, "piece"),
    ({"words": 1999}, "word"),
    ({"words": 1999, "unspaced": 0.5}, "piece"),
    ({"line": 40.0, "blanks": 0.0}, "char"),
    ({"line": 40.0, "blanks": 1.0}, "piece"),
    ({"digits": 0.2}, "piece"),
])
def test_each_rule(changes: dict, unit: str) -> None:
    assert chosen(replace(PROSE, **changes)) == unit


def test_what_was_asked_for_decides_first() -> None:
    assert chosen(PROSE, min_count=1) == "word"
    assert chosen(PROSE, max_size=50) == "word"
    assert chosen(replace(PROSE, words=5), max_size=4096) == "piece"


def test_numbers_in_a_short_time() -> None:
    """Where no network corrects n-grams of pieces, characters are better."""
    numbers = replace(PROSE, digits=0.2)
    assert chosen(numbers, 19.9) == "char" and chosen(numbers, 20.0) == "piece" == chosen(numbers, None)
    assert chosen(replace(PROSE, digits=0.19), 19.9) == "piece"


def test_fewer_characters_are_enough_where_networks_correct() -> None:
    assert chosen(replace(PROSE, characters=2_999_999), 19.9) == "char"
    assert chosen(replace(PROSE, characters=3_000_000), 19.9) == "piece"
    assert chosen(replace(PROSE, characters=2_000_000), 20.0) == chosen(replace(PROSE, characters=2_000_000), None) \
        == "piece"


def test_too_little_time_for_characters() -> None:
    short = replace(PROSE, characters=1_990_000)
    assert chosen(short) == chosen(short, None) == chosen(short, 1.0) == "char"
    assert chosen(short, 0.9) == "piece"


def test_a_look_on_paper() -> None:
    look = look_at("I am , 12 <unk> .\nyou are.\n\u6f22\n", 29)
    assert (look.characters, look.words, look.unknown) == (29, 9, 1 / 9)
    assert look.digits == 2 / 29 and look.unspaced == 1 / 29
    assert look.separate == 2.0 and (look.line, look.blanks) == (8.0, 1.0)
    assert look_at("", 0).words == 0


def test_train_says_what_it_decided() -> None:
    lm = fastlm.train(["the cat sat on the mat\n" * 20], model="kneser-ney")
    assert lm.vocabulary.unit == "word" and lm.card["unit"] == "unit word: 120 words are an example"
    lm = fastlm.train(["the cat sat on the mat\n" * 500], model="kneser-ney", order=3)
    assert lm.vocabulary.unit == "char" and lm.card["unit"] == "unit char: 11,500 characters, 11 different"
    policy = Policy(pieces_from=10_000)
    lm = fastlm.train(iter(["the cat sat on the mat\n" * 500]), model="kneser-ney", policy=policy)
    assert lm.vocabulary.unit == "piece" and lm.vocabulary.encode("the cat").size < 4
    assert "unit" not in fastlm.train(["a b"], "word", model="kneser-ney").card


def test_a_long_source_is_read_once_and_whole() -> None:
    """More than is looked at: the rest follows, from a generator that cannot be read again."""
    lm = fastlm.train((text for text in ["ab cd\n"] * 3000), model="kneser-ney", policy=Policy(bytes_looked_at=100))
    assert lm.card["bytes"] == 18_000 and lm.vocabulary.unit == "word"


def test_a_plan_repeats_the_unit() -> None:
    text = ["the cat sat on the mat\n" * 400]
    policy = Policy(pieces_from=5000)
    lm = fastlm.train(text, model="lstm", epochs=0.2, policy=policy)
    assert lm.vocabulary.unit == "piece" and lm.plan.unit == "piece"
    assert fastlm.train(text, plan=lm.plan).digest() == lm.digest()


def test_ids_and_corpora_are_words() -> None:
    lm = fastlm.train([[1, 2, 3], [1, 2, 4]] * 20, model="kneser-ney")
    assert lm.vocabulary.unit == "word"
    assert fastlm.train([["York", "is"]] * 20, model="kneser-ney").vocabulary.unit == "word"


def test_a_unit_that_is_none() -> None:
    with pytest.raises(ValueError) as caught:
        fastlm.train(["a b"], "pieces")
    assert str(caught.value) == "unit = 'pieces'; expected one of 'auto', 'word', 'char', 'byte', 'piece'"
