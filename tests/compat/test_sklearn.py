"""Estimators of scikit-learn: its own check of estimators, pipelines, and what they find."""

import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
estimators = pytest.importorskip("fastlm.compat.sklearn")
checks = pytest.importorskip("sklearn.utils.estimator_checks")
selection = pytest.importorskip("sklearn.model_selection")
TextClassifier, TextOutliers = estimators.TextClassifier, estimators.TextOutliers

ENGLISH = ["the cat sat on the mat", "a dog ran to the house", "we saw the man there", "this is what they said"] * 8
GERMAN = ["die Katze sitzt auf der Matte", "ein Hund lief zum Haus", "wir sahen den Mann dort", "das ist es"] * 8
TEXTS, LABELS = np.array(ENGLISH + GERMAN), np.array(["en"] * len(ENGLISH) + ["de"] * len(GERMAN))


@pytest.mark.parametrize("estimator", [TextClassifier(budget=0.5, model="kneser-ney"),
                                       TextOutliers(budget=0.5, model="kneser-ney")], ids=lambda it: type(it).__name__)
def test_the_check_of_scikit_learn(estimator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    failed = [f"{check['check_name']}: {check['exception']}" for check in found if check["status"] == "failed"]
    assert failed == [] and any(check["status"] == "passed" for check in found)   # most are of tables of numbers


def test_a_search_over_parameters() -> None:
    search = selection.GridSearchCV(TextClassifier(budget=0.5, model="kneser-ney"), {"unit": ["char", "word"]},
                                    cv=selection.StratifiedKFold(2)).fit(TEXTS, LABELS)
    assert search.best_score_ > 0.9 and search.best_params_["unit"] in ("char", "word")
    best = search.best_estimator_
    assert best.predict(["a cat ran", "ein Hund dort"]).tolist() == ["en", "de"]
    assert best.classes_.tolist() == ["de", "en"]
    assert best.predict_proba(["a cat"]).sum() == pytest.approx(1)
    assert sklearn.clone(best).get_params() == best.get_params()


def test_unusual_texts_are_found() -> None:
    model = TextOutliers(budget=0.5, model="kneser-ney", contamination=0.02).fit(TEXTS)
    usual, odd = ["the cat sat on the mat", "wir sahen den Mann dort"], ["xq9z kkw vvvq", "0x8f 0x3a"]
    assert model.predict(usual).tolist() == [1, 1] and model.predict(odd).tolist() == [-1, -1]
    assert model.decision_function(odd).max() < 0 < model.decision_function(usual).min()
    assert model.score_samples(odd) == pytest.approx([-model.model_.score(text).bits_per_byte for text in odd])
    assert np.mean(model.predict(TEXTS) == -1) <= 0.2
    with pytest.raises(ValueError, match="contamination = 0.7 is outside"):
        TextOutliers(contamination=0.7).fit(TEXTS)


def test_what_is_no_list_of_texts() -> None:
    with pytest.raises(ValueError, match="string object received"):
        TextOutliers().fit("abc")
    with pytest.raises(ValueError, match=r"X\[1\] is a int; X has to be an iterable of strings"):
        TextClassifier().fit(["a", 3], [0, 1])
