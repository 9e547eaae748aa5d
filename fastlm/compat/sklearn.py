"""Estimators of scikit-learn by fastlm: a classifier of texts, and a scorer that finds what is unusual.

scikit-learn has to be installed; `fastlm.Classifier` has the same methods and does not need it.

>>> from sklearn.model_selection import cross_val_score       # doctest: +SKIP
>>> cross_val_score(TextClassifier(budget="10s"), texts, labels)      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from fastlm.auto.classifier import Classifier
from fastlm.auto.train import train
from fastlm.text.sources.containers import texts

Array = np.ndarray
_FEWEST = 20    # texts, of which a fifth decides what is unusual


class _OfTexts(BaseEstimator):
    """An estimator whose X is a sequence of strings."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False, True
        tags.non_deterministic = False
        return tags


def strings(X: Any) -> list[str]:
    """Return X as a list of strings; raise ValueError where it is none, in the words that scikit-learn expects."""
    if isinstance(X, str | bytes):
        raise ValueError("Iterable over raw text documents expected, string object received.")
    listed = [str(text) if isinstance(text, np.str_) else text for text in X]
    for number, text in enumerate(listed):
        if not isinstance(text, str):
            raise ValueError(f"X[{number}] is a {type(text).__name__}; X has to be an iterable of strings")
    return listed


class TextClassifier(ClassifierMixin, _OfTexts):
    """Tells which class a text is of, see `fastlm.Classifier`.

    budget, unit, model, seed, threads: as there. After `fit`, ``classes_`` are the labels, in their order, and
    ``classifier_`` is the `fastlm.Classifier`.
    """

    def __init__(self, budget: float | str = "30s", unit: str = "char", model: str = "auto", seed: int = 0,
                 threads: int | None = None) -> None:
        self.budget, self.unit, self.model, self.seed, self.threads = budget, unit, model, seed, threads

    def fit(self, X: Iterable[str], y: Sequence[Any]) -> TextClassifier:
        """Train on texts and their labels."""
        self.classifier_ = Classifier(None, self.budget, self.unit, self.model, self.seed, self.threads).fit(
            strings(X), np.asarray(y).tolist())
        self.classes_ = self.classifier_.classes_
        return self

    def predict_log_proba(self, X: Iterable[str]) -> Array:
        """Return ln p(class | text) (n, C) float64."""
        check_is_fitted(self)
        return self.classifier_.predict_log_proba(strings(X))

    def predict_proba(self, X: Iterable[str]) -> Array:
        """Return p(class | text) (n, C) float64."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Iterable[str]) -> Array:
        """Return the most likely class of every text (n,)."""
        best = self.predict_log_proba(X).argmax(1)
        return self.classes_[best]


class TextOutliers(OutlierMixin, _OfTexts):
    """Finds texts that are unlike those it was trained on: lines of a log, random names.

    budget, unit, model, seed, threads: as in `fastlm.train`. contamination: the share of the training texts that are
    taken to be unusual, which decides where `predict` draws the line: by a fifth of them, which the model does not
    learn from, where there are 20 or more. After `fit`, ``model_`` is the language model and ``offset_`` the line.
    """

    def __init__(self, budget: float | str = "30s", unit: str = "char", model: str = "auto",
                 contamination: float = 0.05, seed: int = 0, threads: int | None = None) -> None:
        self.budget, self.unit, self.model, self.contamination = budget, unit, model, contamination
        self.seed, self.threads = seed, threads

    def fit(self, X: Iterable[str], y: Any = None) -> TextOutliers:
        """Train on texts; their labels are not looked at."""
        listed = strings(X)
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination = {self.contamination} is outside (0, 0.5]")
        fifth = listed[::5] if len(listed) >= _FEWEST else []
        kept = [text for n, text in enumerate(listed) if n % 5 or not fifth]
        self.model_ = train(texts(kept), self.unit, model=self.model, budget=self.budget, seed=self.seed,
                            threads=self.threads, documents="line", progress=False)
        self.offset_ = float(np.quantile(self.score_samples(fifth or listed), self.contamination))
        return self

    def score_samples(self, X: Iterable[str]) -> Array:
        """Return how usual every text is (n,) float64: minus its bits per byte, higher for what is more usual."""
        check_is_fitted(self, "model_")
        return np.nan_to_num(-self.model_.score_batch(strings(X), self.threads).bits_per_byte, nan=0.0)

    def decision_function(self, X: Iterable[str]) -> Array:
        """Return `score_samples` less the line: below 0 for what is unusual."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Iterable[str]) -> Array:
        """Return 1 for every usual text (n,) and -1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)
