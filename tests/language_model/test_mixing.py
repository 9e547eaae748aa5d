"""Several language models as one: sums of probabilities, by hand and over vocabularies that differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.cli import main
from fastlm.language_model.mixing import Weighted, united, widened

FIRST = "the cat sat on the mat\na cat ran\n" * 30
SECOND = "the dog sat on the log\nno dog ran far\n" * 30


def trained(text: str, unit: Any = "word", **options: Any) -> fastlm.LanguageModel:
    return fastlm.train([text], unit, **({"model": "kneser-ney", "documents": "line"} | options))


def p_of(lm: fastlm.LanguageModel, context: str, word: str) -> float:
    """The probability of a word as a string, spelt where it is unknown."""
    score = lm.score(word, context=context)
    return float(np.exp(-(score.per_token[0] + score.spelling_nats)))


@pytest.mark.parametrize("options", [{}, {"model": "lstm", "epochs": 1}])
def test_one_vocabulary_is_the_sum_of_probabilities(options: dict[str, Any]) -> None:
    a, b = trained(FIRST, "char", **options), trained(FIRST[::-1], "char", **options)
    mixed = 0.7 * a + b * 0.3
    text = "the cat"
    if a.vocabulary == b.vocabulary:
        assert mixed.vocabulary is a.vocabulary
    p = [np.exp(-lm.score(text).per_token) for lm in (a, b, mixed)]
    assert p[2] == pytest.approx(0.7 * p[0] + 0.3 * p[1], rel=1e-4)
    assert mixed.documents == "line" and "2 models, weights 0.700, 0.300" in mixed.card["mixed"]


def test_words_that_one_of_them_lacks() -> None:
    a, b = trained(FIRST), trained(SECOND)
    mixed = fastlm.mix([a, b], weights=[0.25, 0.75])
    assert set(mixed.vocabulary.tokens) == set(a.vocabulary.tokens) | set(b.vocabulary.tokens)
    for context in ("the", "a", "no dog"):
        for word in ("cat", "dog", "the", "far"):
            by_hand = 0.25 * p_of(a, context, word) + 0.75 * p_of(b, context, word)
            assert p_of(mixed, context, word) == pytest.approx(by_hand, rel=1e-3), (context, word)
    assert np.exp(mixed.start().log_probabilities().astype(float)).sum() == pytest.approx(1, abs=1e-3)
    assert mixed.score("the zebra dog").unknown == 1 and np.isfinite(mixed.score("the zebra dog").total_nats)


def test_weights_are_fitted_on_held_out_text() -> None:
    a, b = trained(FIRST), trained(SECOND)
    near_b = fastlm.mix([a, b], ["the dog sat on the log\nno dog ran\n" * 5])
    near_a = fastlm.mix([a, b], ["a cat sat on the mat\n" * 5])
    assert near_b.model.weights[1] > 0.8 > 0.2 > near_a.model.weights[1]
    text = ["the dog ran\nthe cat sat\n"]
    fitted = fastlm.mix([a, b], text)
    for w in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert fitted.perplexity(text) <= fastlm.mix([a, b], weights=[w, 1 - w]).perplexity(text) * 1.02
    assert fastlm.mix([a], text).perplexity(text) == pytest.approx(a.perplexity(text), rel=1e-5)


@pytest.mark.parametrize("unit", ["word", "char", "piece", "byte"])
def test_it_is_kept_and_used_as_any_model(unit: Any, tmp_path: Path) -> None:
    a, b = trained(FIRST, unit), trained(FIRST if unit == "piece" else SECOND, unit)
    mixed = 0.5 * a + 0.3 * b + 0.2 * b
    mixed.save(tmp_path / "m")
    twin = fastlm.load(tmp_path / "m")
    assert twin.digest() == mixed.digest() and twin.score("the dog sat") == mixed.score("the dog sat")
    assert "".join(twin.generate("the", 9, seed=2)) == "".join(mixed.generate("the", 9, seed=2))
    assert twin.next_words("the", k=2) == mixed.next_words("the", k=2)
    state = mixed.start()
    by_steps = [state.step(int(id)) for id in mixed.vocabulary.read("the dog")]
    np.testing.assert_allclose(by_steps[-1], mixed.model.log_probabilities(
        [mixed.boundary, *mixed.vocabulary.read("the dog")])[-1], atol=1e-5)
    assert len(mixed.token_scores("the dog")) == mixed.score("the dog").tokens


def test_sums_that_are_not_one() -> None:
    a, b = trained(FIRST), trained(SECOND)
    half = 0.5 * a + 0.2 * b
    assert isinstance(half, Weighted)
    assert repr(half) == "<2 language models of weights [0.5, 0.2], which sum to 0.7, not 1>"
    assert isinstance(half + 0.3 * a, fastlm.LanguageModel)
    with pytest.raises(TypeError):
        half + 3
    with pytest.raises(TypeError):
        a * "x"  # type: ignore[operator]


def test_models_that_do_not_mix() -> None:
    a = trained(FIRST)
    for other, message in [
            (trained(FIRST, "char"), r"one model reads words \(normalize=None\) and another chars \(normalize=NFC\)"),
            (trained(FIRST, documents="file"), "documents of one model are 'line' and of another 'file'")]:
        with pytest.raises(ValueError, match=message):
            fastlm.mix([a, other], weights=[0.5, 0.5])
    with pytest.raises(ValueError, match="different vocabularies of pieces"):
        fastlm.mix([trained(FIRST, "piece"), trained(SECOND, "piece")], weights=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"weights = \[0.5, 0.6\]; 2 positive numbers of sum 1 were expected"):
        fastlm.mix([a, a], weights=[0.5, 0.6])
    with pytest.raises(ValueError, match="exactly one of the two was expected"):
        fastlm.mix([a, a])
    with pytest.raises(ValueError, match="there are no models"):
        fastlm.mix([], weights=[])


def test_vocabularies_by_hand() -> None:
    a, b = trained(FIRST), trained(SECOND)
    both = united([a.vocabulary, b.vocabulary])
    assert both.tokens[:len(a.vocabulary)] == a.vocabulary.tokens and united([a.vocabulary] * 2) is a.vocabulary
    part = widened(b, both)
    assert part.vocab_size == len(both) and widened(a, a.vocabulary) is a.model
    row = np.exp(part.log_probabilities([both.boundary])[0].astype(float))
    own = np.exp(b.model.log_probabilities([b.boundary])[0].astype(float))
    assert row.sum() == pytest.approx(1, abs=1e-3)
    assert row[both.id("dog")] == pytest.approx(own[b.vocabulary.id("dog")], rel=1e-5)
    cat = own[b.vocabulary.unknown] * np.exp(-b.spelling.nats(["cat"]))
    assert row[both.id("cat")] == pytest.approx(cat, rel=1e-4)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", FIRST), ("b", SECOND)):
        trained(text).save(tmp_path / name)
    (tmp_path / "held").write_text("the dog sat\nthe cat sat\n")
    names = [str(tmp_path / name) for name in ("a", "b")]
    assert main(["mix", *names, "-o", str(tmp_path / "m"), "--weights", "0.25,0.75"]) == 0
    assert fastlm.load(tmp_path / "m").model.weights.tolist() == [0.25, 0.75]
    assert main(["mix", *names, "-o", str(tmp_path / "n"), "--valid", str(tmp_path / "held")]) == 0
    assert "weights" in capsys.readouterr().err
    assert main(["mix", *names, "-o", str(tmp_path / "k")]) == 2
