"""Classes told apart by language models: what they say, how sure they are, and the interface of an estimator."""

from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm.auto.classifier import calibrated

ENGLISH = ["the cat sat on the mat", "a dog ran to the house", "we saw the man there", "this is what they said",
           "the house is where the dog sat", "what a man", "they ran to the mat", "see the cat there"] * 6
GERMAN = ["die Katze sitzt auf der Matte", "ein Hund lief zum Haus", "wir sahen den Mann dort",
          "das ist was sie sagten",
          "das Haus ist wo der Hund sitzt", "was ein Mann", "sie liefen zur Matte", "dort ist die Katze"] * 3


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> fastlm.Classifier:
    path = tmp_path_factory.mktemp("classes") / "de.txt"
    path.write_text("\n".join(GERMAN) + "\n", encoding="utf-8")
    return fastlm.Classifier({"en": ENGLISH, "de": path}, budget=1, model="kneser-ney")


def test_languages(classifier: fastlm.Classifier) -> None:
    texts, labels = ["the man sat there", "der Mann sitzt dort", "a house", "ein Haus"], ["en", "de", "en", "de"]
    assert classifier.predict(texts).tolist() == labels and classifier.score(texts, labels) == 1.0
    assert classifier.classes_.tolist() == ["en", "de"] and repr(classifier) == "<Classifier of en, de>"
    p = classifier.predict_proba(texts)
    assert p.shape == (4, 2) and np.allclose(p.sum(1), 1) and (p.max(1) > 0.8).all()
    np.testing.assert_allclose(np.log(p), classifier.predict_log_proba(texts))


def test_probabilities_are_bayes_rule(classifier: fastlm.Classifier) -> None:
    text = "the Hund"
    log_p = np.array([-model.score(text).total_nats for model in classifier.models_])
    logits = classifier.scale_ * log_p + classifier.offsets_
    assert classifier.predict_log_proba([text])[0] == pytest.approx(logits - np.logaddexp(*logits))


def test_an_estimator_of_texts_and_labels() -> None:
    texts, labels = ENGLISH + GERMAN, ["en"] * len(ENGLISH) + ["de"] * len(GERMAN)
    fitted = fastlm.Classifier(budget=1, model="kneser-ney", seed=3).fit(texts, labels)
    assert fitted.classes_.tolist() == ["de", "en"] and fitted.score(texts, labels) > 0.98
    assert fitted.get_params()["seed"] == 3 and fitted.set_params(seed=4).get_params()["seed"] == 4
    again = fastlm.Classifier(budget=1, model="kneser-ney", seed=3).fit(texts, labels)
    np.testing.assert_allclose(again.predict_proba(["a Hund"]), fastlm.Classifier(
        budget=1, model="kneser-ney", seed=3).fit(texts, labels).predict_proba(["a Hund"]))
    with pytest.raises(ValueError, match="'depth' is no parameter; one of sources, budget, unit"):
        fitted.set_params(depth=3)


def test_scikit_learn_can_clone_and_search() -> None:
    base, selection = pytest.importorskip("sklearn.base"), pytest.importorskip("sklearn.model_selection")
    classifier = fastlm.Classifier(budget=0.5, model="kneser-ney")
    assert base.clone(classifier).get_params() == classifier.get_params()
    texts, labels = np.array(ENGLISH + GERMAN), np.array(["en"] * len(ENGLISH) + ["de"] * len(GERMAN))
    scores = selection.cross_val_score(classifier, texts, labels, cv=selection.StratifiedKFold(3), scoring="accuracy")
    assert scores.min() > 0.9


def test_the_calibration_by_a_grid() -> None:
    """Two classes whose log-probabilities are ten times too sure, and a class that is rarer than it looks."""
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.3).astype(int)
    evidence = rng.normal(2 * labels - 1, 1.0)            # ln p(x | 1) - ln p(x | 0) = 2 x
    log_p = np.stack([-500 - 10 * evidence, -500 + 10 * evidence], axis=1)
    scale, offsets = calibrated(log_p, labels, np.log([0.5, 0.5]))
    assert scale == pytest.approx(0.1, rel=0.1)
    assert offsets[1] - offsets[0] == pytest.approx(np.log(0.3 / 0.7), abs=0.15)
    p = 1 / (1 + np.exp(-(scale * (log_p[:, 1] - log_p[:, 0]) + offsets[1] - offsets[0])))
    for low in (0.1, 0.4, 0.7):                           # what is said to be so likely is so often right
        some = (p > low) & (p < low + 0.2)
        assert labels[some].mean() == pytest.approx(p[some].mean(), abs=0.06)


def test_classes_that_are_told_apart_without_an_error_stay_finite() -> None:
    log_p = np.array([[-1.0, -90.0], [-80.0, -2.0]] * 20)
    scale, offsets = calibrated(log_p, np.array([0, 1] * 20), np.log([0.5, 0.5]))
    assert 0 < scale < 1e4 and np.isfinite(offsets).all()


def test_what_cannot_be_learnt(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 1 classes; at least two were expected"):
        fastlm.Classifier({"a": ["x"]})
    with pytest.raises(ValueError, match="the class 'b' has no text; some was expected"):
        fastlm.Classifier({"a": ["x y"], "b": [" "]})
    with pytest.raises(ValueError, match="has not been fitted"):
        fastlm.Classifier().predict(["x"])
    with pytest.raises(TypeError, match="a text is a int; str was expected"):
        fastlm.Classifier(budget=1).fit(["a", 3], [0, 1])  # type: ignore[list-item]
    with pytest.raises(ValueError):
        fastlm.Classifier(budget=1).fit(["a"], [0, 1])
    few = fastlm.Classifier(budget=1, model="kneser-ney").fit(["aa", "bb"], [0, 1])
    assert few.predict(["aaa", "bbb"]).tolist() == [0, 1] and few.scale_ == 1.0
