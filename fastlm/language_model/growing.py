"""Language models that go on learning from new text."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np

from fastlm.batch import Batch
from fastlm.language_model.mixing import united, widened
from fastlm.language_model.parts import Parts
from fastlm.models.base import PrefixModel
from fastlm.models.mixture import gate
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.ngram.kneser_ney import KneserNey
from fastlm.models.widened import Widened
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import Clock, parse_budget
from fastlm.workers import one_thread_products

Array = np.ndarray
_FEWEST = 100            # tokens of new text, below which there is nothing to weigh by; an assumption
_HELD_OUT = 0.1          # share of the new text by which the parts are weighed; an assumption
_MOST_HELD_OUT = 25_000  # tokens, which give a loss to about a hundredth of a nat
_STRETCHES = 10          # of the text that are held out
_RATE = 2e-3             # peak of AdamW's rate, a fifth of the usual one, for networks that have learnt already
_NETWORK_SHARE = 0.7     # of the time left; the rest is for weighing and counting again; an assumption
_LEAST_SECONDS = 0.5     # below which no network is trained on; an assumption


class Growing(Parts):
    """Adapts a model to new text."""

    def adapt(self, source: Any, budget: float | str = "10s", documents: str | None = None, seed: int = 0,
              threads: int | None = None, **reading: Any) -> Self:
        """Return a new model that has gone on learning from new text; this one stays as it is.

        New n-grams are counted, of new words and characters too; the network is trained on, where there is one and time
        for it; and both are mixed with what the model was, by weights that depend on the context and are fitted on a
        tenth of the new text, which is counted in the end as well.

        Parameters
        ----------
        source : as in `fastlm.train`
            The new text, of at least 100 tokens.
        budget : seconds, or "90s", "10m", "1h", default "10s"
            For everything, about.
        documents : "file", "line" or "blank-line", default None
            What a document of the new text is; None for what it was in training.
        seed : int, default 0
            Decides the order in which the network reads.
        threads : int, default None
            How many threads work; None for as many as this process may use.
        reading
            As in `evaluate`.

        Returns
        -------
        LanguageModel

        Raises
        ------
        ValueError
            For a text that is too short.
        OSError, TypeError
            As in `evaluate`.

        Example
        -------
        >>> mine = lm.adapt("my_mails.txt", budget="30s")        # doctest: +SKIP
        """
        clock, seconds = Clock(), parse_budget(budget)
        vocabulary, corpus = self._read(source, documents or self.documents, reading)
        if len(corpus.ids) < _FEWEST:
            raise ValueError(f"the text has {len(corpus.ids)} tokens; at least {_FEWEST} were expected")
        train, held_out = split(corpus)
        counts = KneserNey(len(vocabulary), self._order()).fit(train, threads)
        parts: list[PrefixModel] = [counts, widened(self, vocabulary)]
        network = _network(self.model)
        left = _NETWORK_SHARE * (seconds - clock.seconds())
        if network is not None and left > _LEAST_SECONDS:
            parts.append(self._trained_on(network, vocabulary, train, held_out, left, seed, threads))
        model = Mixture(len(vocabulary), parts)
        weigh(model, held_out)
        counts.fit(corpus, threads)
        card = dict(self.card) | {"adapted": f"to {len(corpus.ids):,} tokens in {clock.seconds():.1f} s, weights "
                                             f"{', '.join(f'{weight:.3f}' for weight in model.weights)}"}
        return type(self)(vocabulary, model, self.history, card=card, spelling=self.learnt_spelling)

    def _read(self, source: Any, documents: str, reading: dict[str, Any]) -> tuple[Vocabulary, Corpus]:
        """Return the vocabulary with what is new in a text, and the text by it."""
        own = self.vocabulary
        if own.unit not in ("word", "char") or own.unknown is None:
            corpus = Corpus.read(source, own, documents, **reading)
            return own, replace(corpus, boundary=own.boundary)
        new, corpus = Corpus.build(source, own.unit, documents=documents, fold=True,
                                   **{"normalize": own.normalize or "none", **reading})
        if new.end_of_document is not None and own.end_of_document is None:
            corpus, new = _without_ends(corpus, new)
        vocabulary = united([own, new])
        renamed = np.array([_id_of(vocabulary, new, id) for id in range(len(new))], np.int32)
        ids = renamed[corpus.ids]
        if own.end_of_document is not None and new.end_of_document is None:
            corpus = replace(corpus, ids=ids).ended(vocabulary.end_of_document)
            return vocabulary, replace(corpus, boundary=vocabulary.boundary)
        return vocabulary, replace(corpus, ids=ids, boundary=vocabulary.boundary, left_out={})

    def _order(self) -> int:
        parts = self.model.parts if isinstance(self.model, Mixture) else [self.model]
        return next((part.order for part in parts if isinstance(part, KneserNey)),
                    5 if self.vocabulary.unit == "word" else 8)

    def _trained_on(self, network: PrefixModel, vocabulary: Vocabulary, train: Corpus, held_out: Corpus,
                    seconds: float, seed: int, threads: int | None) -> PrefixModel:
        """Return a copy of a network that was trained on, for the vocabulary."""
        from fastlm.training.optim import AdamW  # here, since a model that is loaded trains nothing
        from fastlm.training.trainer import Trainer

        mine = copy.deepcopy(network)
        inside = Parts(self.vocabulary, mine, spelling=self.learnt_spelling)
        out = widened(inside, vocabulary)
        own = out.own if isinstance(out, Widened) else None

        def seen(corpus: Corpus) -> Corpus:
            return corpus if own is None else replace(corpus, ids=own[corpus.ids], boundary=self.vocabulary.boundary)
        trainer = Trainer(mine, AdamW(lr=_RATE), seed=seed, threads=threads)
        trainer.fit(seen(train), seen(held_out), budget=seconds)
        return out


def _network(model: PrefixModel) -> PrefixModel | None:
    """Return the first network in a model whose weights can be trained, None where there is none."""
    if isinstance(model, Mixture):
        return next((found for part in model.parts if (found := _network(part)) is not None), None)
    trainable = [parameter for parameter in model.parameters.values() if parameter.trainable]
    return model if trainable and len(trainable) == len(model.parameters) else None


def _id_of(vocabulary: Vocabulary, new: Vocabulary, id: int) -> int:
    if id == new.end_of_document and vocabulary.end_of_document is not None:
        return vocabulary.end_of_document
    token = new.tokens[id]
    return vocabulary.id(token) if token is not None else 0


def _without_ends(corpus: Corpus, new: Vocabulary) -> tuple[Corpus, Vocabulary]:
    """Return a text without the tokens that end its documents, and its vocabulary without them."""
    keeps = corpus.ids != new.end_of_document
    kept = corpus.select(keeps)
    tokens = [token if id != new.end_of_document else None for id, token in enumerate(new.tokens)]
    return kept, Vocabulary(tokens, new.unit, new.counts, new.normalize)


def split(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Return what is learnt from and what is held out: ten stretches, a tenth of the text, evenly spaced."""
    size = len(corpus.ids)
    each = max(1, int(min(_HELD_OUT * size, _MOST_HELD_OUT) / _STRETCHES))
    mask = np.zeros(size, bool)
    for n in range(_STRETCHES):
        first = (size - each) * (2 * n + 1) // (2 * _STRETCHES)
        mask[first: first + each] = True
    return corpus.select(~mask), corpus.select(mask)


def weigh(model: Mixture, held_out: Corpus) -> None:
    """Choose the weights of a mixture, whose first part is n-grams, and how they depend on the context."""
    inputs, targets, starts = read_and_predict(held_out)
    cuts = np.flatnonzero(starts)[1:]
    spans = [slice(first, last) for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(inputs)], strict=True)]
    counts = model.parts[0]
    assert isinstance(counts, KneserNey)
    with one_thread_products():
        nats = [np.concatenate([part.score(inputs[span], targets[span]) for span in spans]) for part in model.parts]
    nodes = np.concatenate([counts.forward(Batch.one(inputs[span]))[0].value for span in spans])
    used = targets >= 0
    model.estimate_weights([each[used] for each in nats], gate.features(counts, nodes[used]))
