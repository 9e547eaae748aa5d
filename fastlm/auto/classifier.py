"""Classes told apart by language models: one for each class, Bayes' rule on top, calibrated on held-out text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from fastlm.auto.train import train
from fastlm.language_model import LanguageModel
from fastlm.text.sources.containers import texts
from fastlm.text.sources.documents import read_documents
from fastlm.training.budget import parse_budget

Array = np.ndarray
_HELD_OUT = 0.2          # share of the documents of each class by which probabilities are calibrated; an assumption
_MOST_HELD_OUT = 2000    # documents of a class
_ROUNDS = 100            # of Newton's method at most
_PRIOR = 1e-3            # of the penalty that keeps the calibration finite where no held-out text is taken for another


class Classifier:
    """Tells which class a text is of: its language, its author, spam, or random names.

    A language model is trained for each class, and p(class | text) is proportional to

        exp(scale * ln p(text | class) + offset of the class),

    Bayes' rule with the classes' shares of the training documents as the offsets and 1 as the scale, before both are
    fitted on held-out documents: the tokens of a text depend on one another more than a model knows, so that its
    probabilities are too sure by themselves. Texts of any unit compare, since ln p is of exactly the bytes.

    It is an estimator of scikit-learn, which is not needed: `fit` takes texts and their labels, `get_params` and
    `set_params` what `__init__` took.

    Parameters
    ----------
    sources : mapping, default None
        {label: source}, each as `fastlm.train` takes it, a document being a line of a file or an item of a list. None:
        `fit` gives texts and labels later.
    budget : number of seconds, or str such as "30s", default "30s"
        For all classes together.
    unit, model, seed, threads
        As in `fastlm.train`, for every class.
    documents : str, default "line"
        What a document of a file is, as in `fastlm.train`.

    Raises
    ------
    ValueError
        For fewer than two classes, and a class without a text.

    Example
    -------
    >>> spam = Classifier({"spam": "spam.txt", "ham": "ham.txt"}, budget="30s")     # doctest: +SKIP
    >>> spam.predict(["win money now"]), spam.predict_proba(["win money now"])      # doctest: +SKIP
    """

    def __init__(self, sources: Mapping[Any, Any] | None = None, budget: float | str = "30s", unit: str = "char",
                 model: str = "auto", seed: int = 0, threads: int | None = None, documents: str = "line") -> None:
        self.sources, self.budget, self.unit, self.model = sources, budget, unit, model
        self.seed, self.threads, self.documents = seed, threads, documents
        if sources is not None:
            self._fit({label: _documents(source, documents) for label, source in sources.items()})

    # training -----------------------------------------------------------------------------------------------------

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> Classifier:
        """Train on texts and the label of each; return the classifier itself.

        Raises ValueError for fewer than two classes, and different numbers of texts and labels.
        """
        found: dict[Any, list[str]] = {}
        for text, label in zip(list(X), list(y), strict=True):
            if not isinstance(text, str):
                raise TypeError(f"a text is a {type(text).__name__}; str was expected")
            found.setdefault(label, []).append(text)
        self._fit({label: found[label] for label in sorted(found)})
        return self

    def _fit(self, found: dict[Any, list[str]]) -> None:
        if len(found) < 2:
            raise ValueError(f"there are {len(found)} classes; at least two were expected")
        for label, listed in found.items():
            if not any(text.strip() for text in listed):
                raise ValueError(f"the class {label!r} has no text; some was expected")
        rng, total = np.random.default_rng(self.seed), sum(sum(map(len, listed)) for listed in found.values())
        seconds = parse_budget(self.budget)
        self.classes_ = np.array(list(found))
        self.models_, held_out, labels = list[LanguageModel](), list[str](), list[int]()
        for index, listed in enumerate(found.values()):
            chosen = rng.permutation(len(listed))
            count = min(_MOST_HELD_OUT, int(_HELD_OUT * len(listed))) if len(listed) > 1 else 0
            kept = [listed[n] for n in sorted(chosen[count:].tolist())]
            held_out += [listed[n] for n in sorted(chosen[:count].tolist())]
            labels += [index] * count
            share = max(0.5, seconds * sum(map(len, listed)) / total)
            self.models_.append(train(texts(kept), self.unit, model=self.model, budget=share, seed=self.seed,
                                      threads=self.threads, documents="line", progress=False))
        counts = np.array([len(listed) for listed in found.values()], float)
        self.scale_, self.offsets_ = 1.0, np.log(counts / counts.sum())
        if held_out:
            self.scale_, self.offsets_ = calibrated(self._log_p(held_out), np.array(labels), self.offsets_)

    # predicting ---------------------------------------------------------------------------------------------------

    def _log_p(self, X: Iterable[str]) -> Array:
        """Return ln p(text | class) of every text and class (n, C) float64."""
        listed = list(X)
        for text in listed:
            if not isinstance(text, str):
                raise TypeError(f"a text is a {type(text).__name__}; str was expected")
        return np.stack([-model.score_batch(listed, self.threads).total_nats for model in self.models_], axis=1)

    def predict_log_proba(self, X: Iterable[str]) -> Array:
        """Return ln p(class | text) (n, C) float64, in the order of ``classes_``."""
        if not hasattr(self, "models_"):
            raise ValueError("the classifier has not been fitted; fit it first, or give it sources")
        logits = self.scale_ * self._log_p(X) + self.offsets_
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def predict_proba(self, X: Iterable[str]) -> Array:
        """Return p(class | text) (n, C) float64, in the order of ``classes_``."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Iterable[str]) -> Array:
        """Return the most likely class of every text (n,)."""
        best = self.predict_log_proba(X).argmax(1)
        return self.classes_[best]

    def score(self, X: Iterable[str], y: Iterable[Any]) -> float:
        """Return the share of texts whose most likely class is their label."""
        return float(np.mean(self.predict(X) == np.array(list(y))))

    # as an estimator of scikit-learn ------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what `__init__` took."""
        return {name: getattr(self, name) for name in ("sources", "budget", "unit", "model", "seed", "threads",
                                                       "documents")}

    def set_params(self, **params: Any) -> Classifier:
        """Set what `__init__` took; `fit` goes by it. Raises ValueError for another name."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"{name!r} is no parameter; one of {', '.join(self.get_params())} was expected")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks of an estimator, for its searches and validations: a classifier of strings."""
        tags = import_module("sklearn.utils")
        return tags.Tags(estimator_type="classifier", target_tags=tags.TargetTags(required=True), transformer_tags=None,
                         classifier_tags=tags.ClassifierTags(), regressor_tags=None, input_tags=tags.InputTags(
                             one_d_array=True, two_d_array=False, string=True))

    def __repr__(self) -> str:
        fitted = f" of {', '.join(map(str, self.classes_.tolist()))}" if hasattr(self, "classes_") else ""
        return f"<Classifier{fitted}>"


def calibrated(log_p: Array, labels: Array, offsets: Array) -> tuple[float, Array]:
    """Return the scale and the offsets (C,) by which exp(scale log_p + offset) predicts labels best.

    log_p (n, C); labels (n,): the right column of each row; offsets (C,): the first ones. The scale is positive.
    Logistic regression by Newton's method (Platt 1999), with a small penalty on the distance from the first values.
    """
    n, C = log_p.shape
    centred = log_p - log_p.max(1, keepdims=True)
    first = np.concatenate([[0.0], offsets])             # the logarithm of the scale, then the offsets
    theta = first.copy()
    right = np.eye(C)[labels]

    def loss(theta: Array) -> float:
        logits = np.exp(theta[0]) * centred + theta[1:]
        nats = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(n), labels]
        return float(nats.sum() + 0.5 * _PRIOR * n * ((theta - first) ** 2).sum())
    for _ in range(_ROUNDS):
        scaled = np.exp(theta[0]) * centred
        logits = scaled + theta[1:]
        p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        slopes = np.concatenate([scaled[:, :, None], np.broadcast_to(np.eye(C), (n, C, C))], axis=2)
        gradient = np.einsum("nc,nck->k", p - right, slopes) + _PRIOR * n * (theta - first)
        mean = np.einsum("nc,nck->nk", p, slopes)
        hessian = np.einsum("nc,nck,ncl->kl", p, slopes, slopes) - mean.T @ mean + _PRIOR * n * np.eye(C + 1)
        step = np.linalg.solve(hessian, gradient)
        size, before = 1.0, loss(theta)
        while size > 1e-6 and not loss(theta - size * step) <= before:
            size /= 2
        theta = theta - size * step
        if np.abs(size * step).max() < 1e-6:
            break
    return float(np.exp(theta[0])), theta[1:] - np.logaddexp.reduce(theta[1:])


def _documents(source: Any, documents: str) -> list[str]:
    """Return the documents of a source as strings."""
    return [text.decode("utf-8", "surrogateescape").rstrip("\r\n")
            for _, text in read_documents(source, documents, "word") if text.strip()]
