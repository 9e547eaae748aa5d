"""The law of honest figures: the same text, scored by models of any unit and vocabulary, compares."""

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest

import fastlm

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def text_of(lines: int, seed: int) -> str:
    """Lines of words made of syllables, each of which has four usual successors; every fiftieth word is new."""
    rng, out, word = np.random.default_rng(seed), [], 0
    syllables = [[np.random.default_rng(n).integers(0, 26, 2) for _ in range(1 + n % 4)] for n in range(600)]
    words = ["".join(LETTERS[i] for syllable in each for i in syllable) for each in syllables]
    for _ in range(lines):
        line = []
        for _ in range(9):
            word = (7 * word + 31 * int(4 * rng.random() ** 2)) % 600 if rng.random() < 0.9 else int(rng.integers(600))
            line.append(words[word])
        new = ["".join(rng.choice(list(LETTERS[:12]), 6))] if rng.random() < 0.2 else []
        out.append(" ".join(line + new) + "\n")
    return "".join(out)


TRAIN, TEST = text_of(3000, 1), text_of(300, 2)
UNITS: dict[str, dict[str, Any]] = {
    "20 words": {"max_size": 20}, "all words": {"min_count": 1}, "words": {"unit": "word"},
    "characters": {"unit": "char"},
    "bytes": {"unit": "byte"}, "pieces": {"unit": "piece"}}


@pytest.fixture(scope="module")
def scores() -> dict[str, fastlm.Score]:
    return {name: fastlm.train([TRAIN], model="kneser-ney", **options).evaluate([TEST])
            for name, options in UNITS.items()}


def test_fewer_words_do_not_look_better(scores: dict[str, fastlm.Score]) -> None:
    """With 20 words the closed figures are the best of all, and the bits of the bytes the worst of all words'."""
    assert scores["20 words"].perplexity < scores["words"].perplexity < scores["all words"].perplexity
    bits = {name: score.bits_per_byte for name, score in scores.items()}
    assert bits["20 words"] > 1.05 * max(bits["words"], bits["all words"])
    assert 0.8 < bits["characters"] / bits["words"] < 1.25 and 0.95 < bits["pieces"] / bits["words"] < 1.25
    assert bits["characters"] == pytest.approx(bits["bytes"], rel=0.01)


def test_all_units_count_the_same_bytes_and_words(scores: dict[str, fastlm.Score]) -> None:
    words = len(TEST.split()) + TEST.count("\n")
    for score in scores.values():
        assert (score.bytes, score.words) == (len(TEST), words)
        assert score.total_nats == score.nats + score.spelling_nats + score.spacing_nats
        assert score.perplexity_per_word == pytest.approx(np.exp(score.total_nats / words))
        assert score.bits_per_byte == pytest.approx(np.log2(score.perplexity_per_word) * words / len(TEST))


def test_characters_of_one_alphabet_are_what_they_were(scores: dict[str, fastlm.Score]) -> None:
    """Where nothing is unknown the total is that of the tokens, but for the chance of an unknown one."""
    score = scores["characters"]
    assert score.unknown == 0 and score.spacing_nats == 0 and 0 < score.spelling_nats < 1e-4 * score.nats


@pytest.mark.parametrize("unit", ["word", "char"])
def test_lines_of_words_never_seen_are_less_likely(unit: str) -> None:
    lm = fastlm.train([TRAIN], unit=unit, model="kneser-ney", documents="line")
    rng = np.random.default_rng(3)
    letters = list("abcdefghijklmnop")
    odd = "".join(" ".join("".join(rng.choice(letters, 6)) for _ in range(9)) + "\n" for _ in range(60))
    usual, unusual = ([score.total_nats / score.bytes for score in lm.score_each([text], documents="line")]
                      for text in (TEST, odd))
    assert np.mean(np.array(unusual)[:, None] > np.array(usual)) > 0.99


def test_a_score_is_a_value() -> None:
    lm = fastlm.train(["the cat sat\n" * 9], model="kneser-ney")
    a, b, other = lm.score("the cat sat"), lm.score("the cat sat"), lm.score("the cat")
    assert a == b and a in [b] and {a, b} == {b} and a != other and hash(a) == hash(b)
    assert json.loads(json.dumps(dataclasses.asdict(a)))["nats"] == a.nats
    assert all(type(value) in (float, int) for value in dataclasses.asdict(a).values())
    assert {type(getattr(a, name)) for name in ("bits_per_byte", "perplexity", "perplexity_per_word", "total_nats",
                                                "nats_per_token")} == {float}
    twin = pickle.loads(pickle.dumps(a))
    assert twin == a and twin.per_token.tolist() == a.per_token.tolist()
    assert "per_token" not in repr(a)
