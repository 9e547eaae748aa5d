"""Several language models as one: their predictions mixed, by weights that are given or fitted on held-out text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from fastlm.language_model.parts import Parts
from fastlm.models.base import PrefixModel
from fastlm.models.mixture import gate
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.widened import Widened
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.batches import read_and_predict
from fastlm.workers import one_thread_products

Array = np.ndarray
Language = TypeVar("Language", bound=Parts)
_EQUAL = 1e-9       # by which weights may miss 1


def mix(models: Sequence[Language], held_out: Any = None, weights: Iterable[float] | None = None,
        documents: str | None = None, **reading: Any) -> Language:
    """Return one language model that mixes the predictions of several: p = sum of weight times p.

    Vocabularies of words or characters may differ: the new one has all of their tokens, and a model gives one that it
    lacks the probability of ``<unk>`` and then its spelling. None of the models is changed.

    Parameters
    ----------
    models : sequence of LanguageModel
        At least one; all of the same unit, and of the same documents.
    held_out : as in `LanguageModel.evaluate`, default None
        Text that no model has seen, on which the weights are fitted. None where weights are given.
    weights : iterable of float, default None
        One for each model, positive and of sum 1; None to fit them.
    documents : "file", "line" or "blank-line", default None
        What a document of the held-out text is; None for what it was in training.
    reading
        As in `LanguageModel.evaluate`.

    Returns
    -------
    LanguageModel

    Raises
    ------
    ValueError
        For models that cannot be mixed, and weights that do not fit.

    Example
    -------
    >>> lm = fastlm.mix([mails, novels], "held_out.txt")       # doctest: +SKIP
    """
    listed = list(models)
    if not listed:
        raise ValueError("there are no models; at least one was expected")
    if (held_out is None) == (weights is None):
        raise ValueError("held_out and weights: exactly one of the two was expected")
    first = listed[0]
    for lm in listed[1:]:
        _check_alike(first, lm)
    vocabulary = united([lm.vocabulary for lm in listed])
    model = Mixture(len(vocabulary), [widened(lm, vocabulary) for lm in listed])
    if weights is not None:
        model.weights = checked(list(weights), len(listed))
    else:
        corpus = Corpus.read(held_out, vocabulary, documents or first.documents, **reading)
        fit(model, replace(corpus, boundary=vocabulary.boundary))
    card = dict(first.card) | {"mixed": f"{len(listed)} models, weights "
                                        f"{', '.join(f'{weight:.3f}' for weight in model.weights)}"}
    return type(first)(vocabulary, model, card=card, spelling=first.learnt_spelling)


def checked(weights: list[float], count: int) -> Array:
    """Return weights (K,) float64; raise ValueError where they are not so many positive numbers of sum 1."""
    found = np.array(weights, np.float64)
    if found.shape != (count,) or not (found > 0).all() or not abs(found.sum() - 1) <= _EQUAL:
        raise ValueError(f"weights = {weights}; {count} positive numbers of sum 1 were expected")
    return found / found.sum()


def fit(model: Mixture, corpus: Corpus) -> None:
    """Choose the weights of a mixture, and its gate where it has one, by a text that its parts have not seen."""
    inputs, targets, starts = read_and_predict(corpus)
    cuts = np.flatnonzero(starts)[1:] if starts is not None else np.zeros(0, np.int64)
    spans = [slice(first, last) for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(inputs)], strict=True)]
    with one_thread_products():
        nats = [np.concatenate([part.score(inputs[span], targets[span]) for span in spans]) for part in model.parts]
    used = targets >= 0
    model.weights = gate.fit_weights(np.array([each[used] for each in nats]))


def _check_alike(first: Parts, lm: Parts) -> None:
    a, b = first.vocabulary, lm.vocabulary
    if a.unit != b.unit or a.normalize != b.normalize:
        raise ValueError(f"one model reads {a.unit}s (normalize={a.normalize}) and another {b.unit}s "
                         f"(normalize={b.normalize}); the same were expected")
    if a.unit not in ("word", "char") and not _same(a, b):
        raise ValueError(f"the models have different vocabularies of {a.unit}s; the same one was expected")
    if first.documents != lm.documents:
        raise ValueError(f"documents of one model are {first.documents!r} and of another {lm.documents!r}; the same "
                         "were expected")
    if (a.end_of_line is None) != (b.end_of_line is None) or (a.end_of_document is None) != (b.end_of_document is None):
        raise ValueError("one model has a token that ends a line or a document, and another has none; both or neither "
                         "were expected")


def _same(a: Vocabulary, b: Vocabulary) -> bool:
    """Return whether two vocabularies turn texts into the same ids; how often they have seen each does not matter."""
    return a is b or (a.tokens == b.tokens and a.end_of_document == b.end_of_document and a.origin == b.origin
                      and (a.merges is b.merges or np.array_equal(a.merges, b.merges)))   # type: ignore[arg-type]


def united(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """Return the first vocabulary, with the tokens of the others that it lacks behind its own."""
    first = vocabularies[0]
    if all(_same(first, other) for other in vocabularies[1:]):
        return first
    tokens, counts = list(first.tokens), first.counts.tolist()
    known = {token for token in tokens if token is not None}
    for other in vocabularies[1:]:
        names = {other.end_of_document: None} if other.end_of_document is not None else {}
        for id, token in enumerate(other.tokens):
            if token is not None and token not in known and id not in names:
                known.add(token)
                tokens.append(token)
                counts.append(int(other.counts[id]))
    if any(other.unknown is not None for other in vocabularies) and first.unknown is None:
        raise ValueError("the first model has no <unk> and another one has; one with <unk> was expected first")
    return Vocabulary(tokens, first.unit, np.array(counts, np.int64), first.normalize, None, first.end_of_document)


def widened(lm: Parts, vocabulary: Vocabulary) -> PrefixModel:
    """Return the model of a language model for a vocabulary that has all of its tokens.

    Raises ValueError where it lacks some and has no ``<unk>``.
    """
    own = lm.vocabulary
    if _same(own, vocabulary):
        return lm.model
    ids, share, missing = np.zeros(len(vocabulary), np.int32), np.ones(len(vocabulary)), list[int]()
    for id, token in enumerate(vocabulary.tokens):
        if id == vocabulary.end_of_document and own.end_of_document is not None:
            ids[id] = own.end_of_document
        elif token is not None and token in own:
            ids[id] = own.id(token)
        else:
            missing.append(id)
    if not missing:
        return Widened(len(vocabulary), lm.model).use(ids, share)
    if own.unknown is None or vocabulary.unknown is None:
        raise ValueError(f"{vocabulary.tokens[missing[0]]!r} is not in the vocabulary of a model that has no <unk>")
    ids[missing] = own.unknown
    share[missing] = np.exp([-lm.spelling.nats([vocabulary.tokens[id] or ""]) for id in missing])
    share[vocabulary.unknown] = max(0.0, 1.0 - share[missing].sum())
    return Widened(len(vocabulary), lm.model).use(ids, share)


class Weighted:
    """Language models and their weights so far, as in ``0.7 * mails + 0.3 * novels``: at a sum of 1 they are mixed."""

    def __init__(self, models: Sequence[Parts], weights: Sequence[float]) -> None:
        self.models, self.weights = list(models), list(weights)

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Weighted):
            return NotImplemented
        models, weights = [*self.models, *other.models], [*self.weights, *other.weights]
        if abs(sum(weights) - 1) <= _EQUAL:
            return mix(models, weights=weights)
        return Weighted(models, weights)

    def __repr__(self) -> str:
        return (f"<{len(self.models)} language models of weights {self.weights}, which sum to "
                f"{sum(self.weights):g}, not 1>")
