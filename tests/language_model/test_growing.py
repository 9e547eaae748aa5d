"""Models that go on learning: better on the new text, new words known, the old model unchanged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.language_model.growing import split
from fastlm.text.corpus import Corpus

OLD = "the cat sat on the mat\na cat ran to the house\n" * 60
NEW = "the zebra sat on the log\nno zebra ran to the caf\u00e9\n" * 60


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("options", [{"model": "kneser-ney"}, {"model": "lstm", "epochs": 2},
                                     {"model": "mixture", "epochs": 1}])
@pytest.mark.parametrize("documents", ["file", "line"])
def test_the_new_text_is_learnt(unit: Any, options: dict[str, Any], documents: Any, tmp_path: Path) -> None:
    lm = fastlm.train([OLD], unit, documents=documents, **options)
    before = lm.digest()
    new = lm.adapt([NEW], budget=1.5)
    test = "no zebra sat on the log\n"
    assert new.score(test).bits_per_byte < 0.6 * lm.score(test).bits_per_byte
    assert new.score("a cat ran to the house\n").bits_per_byte < 4     # what it was is not forgotten
    assert lm.digest() == before and new.documents == documents and "tokens in" in new.card["adapted"]
    if unit == "word":
        assert "zebra" in new.vocabulary and "zebra" not in lm.vocabulary
    new.save(tmp_path / "m")
    twin = fastlm.load(tmp_path / "m")
    assert twin.score(test) == new.score(test) and twin.digest() == new.digest()
    assert np.exp(new.start().log_probabilities().astype(float)).sum() == pytest.approx(1, abs=2e-3)


def test_again_and_again() -> None:
    lm = fastlm.train([OLD], model="kneser-ney")
    twice = lm.adapt([NEW], budget=1).adapt([NEW.replace("zebra", "yak")], budget=1)
    assert {"cat", "zebra", "yak"} <= set(twice.vocabulary.tokens)
    assert twice.score("the yak sat").bits_per_byte < lm.score("the yak sat").bits_per_byte


def test_a_network_is_trained_on() -> None:
    lm = fastlm.train([OLD], "char", model="lstm", epochs=2)
    new = lm.adapt([NEW], budget=3)
    assert [type(part).__name__.replace("Widened", "LSTM") for part in new.model.parts] == ["KneserNey", "LSTM", "LSTM"]
    assert len(lm.adapt([NEW], budget=0.1).model.parts) == 2


def test_short_texts_and_counts_alone() -> None:
    lm = fastlm.train([OLD], model="kneser-ney")
    with pytest.raises(ValueError, match="the text has 2 tokens; at least 100 were expected"):
        lm.adapt(["zebra\n"])
    assert lm.quantized().adapt([NEW], budget=1).score("the zebra").unknown == 0


def test_stretches_are_held_out_once() -> None:
    corpus = Corpus.from_ids([range(700), range(700, 1000)])
    train, held_out = split(corpus)
    assert sorted([*train.ids.tolist(), *held_out.ids.tolist()]) == list(range(1000)) and len(held_out.ids) == 100
    assert len(split(Corpus.from_ids([range(100)]))[1].ids) == 10
