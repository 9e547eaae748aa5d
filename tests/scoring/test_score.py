"""The figures of a text, by hand, and those of many texts at once."""

import json
import math
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.scoring.score import FIGURES, Score, Scores

LN2 = math.log(2)
# Four tokens of 8 nats in all, of which one is unknown and costs 5; spelt for 3 nats, spacing 1; 6 bytes, 2 words.
BY_HAND = Score(nats=8.0, tokens=4, unknown=1, bytes=6, spelling_nats=3.0, spacing_nats=1.0, words=2, unknown_nats=5.0)


def test_every_normalisation_by_hand() -> None:
    expected = {
        "nats": 8, "tokens": 4, "unknown": 1, "bytes": 6, "spelling_nats": 3, "spacing_nats": 1, "words": 2,
        "unknown_nats": 5, "bits": 8 / LN2, "nats_per_token": 2, "bits_per_token": 2 / LN2, "perplexity": math.e ** 2,
        "known_nats": 3, "perplexity_known": math.e, "total_nats": 12, "total_bits": 12 / LN2, "nats_per_word": 6,
        "bits_per_word": 6 / LN2, "perplexity_per_word": math.e ** 6, "nats_per_byte": 2, "bits_per_byte": 2 / LN2}
    assert set(expected) == set(FIGURES) == set(BY_HAND.to_dict())
    assert BY_HAND.to_dict() == pytest.approx(expected)
    assert json.loads(json.dumps(BY_HAND.to_dict())) == BY_HAND.to_dict()


def test_it_prints_itself_in_a_sentence() -> None:
    assert str(BY_HAND) == ("8.0000 nats (11.5416 bits) for 4 tokens: perplexity 7.389 a token, 403.429 a word; 2.8854 "
                            "bits per byte; 1 unknown")


def test_nothing_to_divide_by() -> None:
    empty = Score(0.0, 0, 0, 0)
    assert all(math.isnan(empty.to_dict()[name]) for name in FIGURES if "per_" in name or "perplexity" in name)
    assert Score(2e6, 1, 0, 1, words=1).perplexity == math.inf
    assert math.isnan(Score(3.0, 2, 2, 4, unknown_nats=3.0).perplexity_known)


def test_many_scores_are_a_sequence_and_arrays() -> None:
    scores = Scores.of([BY_HAND, Score(1.0, 1, 0, 1), BY_HAND])
    assert len(scores) == 3 and scores[0] == scores[-1] == BY_HAND and list(scores[1:]) == [scores[1], BY_HAND]
    assert scores.tokens.tolist() == [4, 1, 4] and scores.tokens.dtype == np.int64
    np.testing.assert_allclose(scores.nats_per_token, [2, 1, 2])
    assert scores.to_dict().keys() == set(FIGURES)
    with pytest.raises(AttributeError, match="scores have no 'loss'; one of nats, tokens, "):
        scores.loss  # noqa: B018
    frame = pytest.importorskip("pandas") and scores.to_pandas()
    assert frame.shape == (3, len(FIGURES)) and frame["words"].tolist() == [2, 0, 2]


TEXTS = ["I am a machine", "", "am I a cat? zebra", "\u00e9", "a\n", "I am\nyou are\na zebra\n\n", " ", "learning"] * 3


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
def test_a_batch_has_the_scores_of_each_text(unit: Any, documents: Any) -> None:
    lm = fastlm.train(["I am a machine learning cat\n\nyou are a machine\n" * 30], unit, documents=documents,
                      model="kneser-ney")
    scores = lm.score_batch(iter(TEXTS), threads=2)
    assert scores.perplexity.tolist() == pytest.approx([score.perplexity for score in scores], nan_ok=True)
    assert scores == Scores.of(scores) != scores[1:]
    assert len(scores) == len(TEXTS)
    for text, score in zip(TEXTS, scores, strict=True):
        if not text or (documents == "blank-line" and not text.strip()):
            assert score == Score(0.0, 0, 0, 0)
        else:
            alone = lm.score(text)
            assert score.to_dict() == pytest.approx(alone.to_dict(), rel=1e-9, abs=1e-9, nan_ok=True)


def test_unknown_words_are_counted_apart() -> None:
    lm = fastlm.train(["the cat sat\n" * 9 + "one two three\n"], model="kneser-ney")
    score = lm.score("the zebra sat")
    assert score.unknown == 1 and score.unknown_nats == pytest.approx(score.per_token[1])
    assert score.known_nats == pytest.approx(score.per_token[[0, 2, 3]].sum())
    assert lm.evaluate(["the zebra sat", "the cat"]).unknown_nats == pytest.approx(score.unknown_nats)


def test_what_is_no_text() -> None:
    lm = fastlm.train(["the cat sat\n" * 9], model="kneser-ney")
    with pytest.raises(TypeError, match="a str was given; score_batch reads many texts, score one$"):
        lm.score_batch("the cat")
    with pytest.raises(TypeError, match=r"texts\[1\] is a int; a text was expected$"):
        lm.score_batch(["the", 3])  # type: ignore[list-item]
    assert len(lm.score_batch([])) == 0 and lm.rank([]) == []


def test_candidates_are_ranked() -> None:
    lm = fastlm.train(["the cats sleep\nthe cat sleeps\n" * 40], model="kneser-ney", documents="line")
    found = lm.rank(["the cat sleep", "the cats sleep", "the zebra sleeps", "the cat sleep"])
    assert [text for text, _ in found] == ["the cats sleep", "the cat sleep", "the cat sleep", "the zebra sleeps"]
    assert found[0][1].to_dict() == pytest.approx(lm.score("the cats sleep").to_dict())
    after = lm.rank(["sleep", "sleeps"], context="the cat")
    assert [text for text, _ in after] == ["sleeps", "sleep"] and after[0][1] == lm.score("sleeps", context="the cat")
