"""A vocabulary and a prefix model together: what a user trains, asks, saves and loads."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch
from fastlm.files import modelfile
from fastlm.generation import sample_ids
from fastlm.models.base import PrefixModel
from fastlm.models.cache import CACHES, CacheModel
from fastlm.models.initial import limited
from fastlm.models.rebuild import DAMAGE, check_rebuilt, dictionary, rebuild, shortened
from fastlm.prefix_state import PrefixState, name_tokens
from fastlm.scoring import Score, score_sequences
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.batches import read_and_predict
from fastlm.training.history import History, Plan
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray


class LanguageModel:
    """Next-token prediction for text. Made by ``fastlm.train`` and ``fastlm.load``.

    ``vocabulary``, ``model``: its two parts; ``history``, ``plan``: how it was trained; ``card``: facts about the text.
    Every document is read after one boundary token (the end of a line, where the vocabulary has it), so that its
    first token is predicted too. Figures are natural logarithms; perplexity is exp of the mean over all targets.
    With ``adapt=True`` the model goes on learning from each document as it reads it: see `models.CacheModel`.
    """

    def __init__(self, vocabulary: Vocabulary, model: PrefixModel, history: History | None = None,
                 plan: Plan | None = None, card: dict[str, Any] | None = None) -> None:
        if len(vocabulary) != model.vocab_size:
            raise ValueError(f"the vocabulary has {len(vocabulary)} ids and the model {model.vocab_size}; equal "
                             "numbers were expected")
        self.vocabulary, self.model = vocabulary, model
        self.history, self.plan, self.card = History() if history is None else history, plan, card or {}
        self.adaptive: CacheModel | None = None     # where `fit_adapt` has chosen its weights

    # reading ------------------------------------------------------------------------------------------------------

    def start(self, adapt: bool = False) -> PrefixState:
        """The state at the beginning of a document."""
        if adapt:
            return self.adapting().start()
        return PrefixState(self.model, self.vocabulary)

    @property
    def boundary(self) -> int:
        """The id read before the first token of every document."""
        return self.vocabulary.boundary

    def next_tokens(self, context: str, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest tokens after `context`, the beginning of a document, with their probabilities.

        >>> lm.next_tokens("I am a", k=2)                        # doctest: +SKIP
        [('machine', 0.61), ('man', 0.07)]
        """
        state = self.start()
        state.advance_ids(self.vocabulary.encode(context))
        return state.next_tokens(k)

    def predict_all(self, text: str, k: int | None = 5) -> Any:
        """What follows every prefix of a text, in one pass: prefix j is its first j tokens.

        Returns a list of n lists as in `next_tokens`, or with k=None the probabilities (n, V) float32.
        """
        if k is not None and k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        ids, head, state = self.vocabulary.encode(text), self.model.head, self.start().state
        together = self.model.rows_together()
        together = together if k else max(1, min(together, (1 << 22) // len(self.vocabulary)))
        likeliest: list[list[tuple[str, float]]] = []
        p = np.empty((0 if k else len(ids), len(self.vocabulary)), np.float32)
        for first in range(0, len(ids), together):
            part = ids[first: first + together]
            x, state = self.model.forward(Batch.one(part), state)
            if k:
                likeliest += [self._named(*row) for row in zip(*head.top(x.value, k), strict=True)]
            else:
                _core.log_softmax(p[first: first + together], head.logits(x).value)
        return likeliest if k else np.exp(p, out=p)

    def top(self, log_probabilities: Array, k: int) -> list[tuple[str, float]]:
        """The k likeliest of log-probabilities (V,) as (token, probability), likeliest first."""
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        best = _core.top_k(np.ascontiguousarray(log_probabilities, np.float32), min(k, len(log_probabilities)))
        return self._named(best, log_probabilities[best])

    def _named(self, ids: Array, log_probabilities: Array) -> list[tuple[str, float]]:
        return name_tokens(self.vocabulary, ids, log_probabilities)

    # adapting -----------------------------------------------------------------------------------------------------

    def adapting(self) -> LanguageModel:
        """The same, learning from each document as it reads: what ``adapt=True`` asks. This one stays as it is."""
        model = self.model if isinstance(self.model, CacheModel) else self.adaptive or self._cache()
        return LanguageModel(self.vocabulary, model, self.history, self.plan, dict(self.card))

    def fit_adapt(self, source: Any, documents: str = "file") -> LanguageModel:
        """Chooses how much ``adapt=True`` trusts what was just read, on a text that the model has not seen: a Corpus or
        a source as in `evaluate`. The model file keeps it; nothing else changes. Returns itself."""
        corpus = source if isinstance(source, Corpus) else Corpus.read(source, self.vocabulary, documents=documents)
        inputs, targets, starts = read_and_predict(replace(corpus, boundary=self.boundary))
        with one_thread_products():
            self.adaptive = self._cache().fit(inputs, targets, starts)
        return self

    def _cache(self) -> CacheModel:
        return CacheModel(len(self.vocabulary), self.model, **CACHES[self.vocabulary.unit])

    # scoring ------------------------------------------------------------------------------------------------------

    def score(self, text: str, threads: int | None = None, adapt: bool = False) -> Score:
        """How likely one document is: see `Score`. Word models count the end of its last line too.

        >>> lm.score("I am a machine").bits_per_byte            # doctest: +SKIP
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"a {type(text).__name__} was given; score reads one text, evaluate any source")
        if not text:
            raise ValueError("the text is empty; at least one token was expected")
        return self._score(Corpus.read(iter([text]), self.vocabulary), threads, adapt)

    def evaluate(self, source: Any, documents: str = "file", threads: int | None = None, adapt: bool = False) -> Score:
        """How likely a corpus is: a path, paths, a folder, an open file or an iterable of documents."""
        return self._score(Corpus.read(source, self.vocabulary, documents=documents), threads, adapt)

    def perplexity(self, source: Any, documents: str = "file", threads: int | None = None,
                   adapt: bool = False) -> float:
        """exp of the mean -log p over all target tokens of a corpus; sources as in `evaluate`."""
        return self.evaluate(source, documents, threads, adapt).perplexity

    def _score(self, corpus: Corpus, threads: int | None, adapt: bool) -> Score:
        if adapt:
            return self.adapting()._score(corpus, threads, False)
        inputs, targets, _ = read_and_predict(replace(corpus, boundary=self.boundary))
        spans = list(corpus.spans())
        with one_thread_products(), Workers(threads) as workers:
            nats = score_sequences(self.model, [inputs[s] for s in spans], [targets[s] for s in spans], workers)
        per_token = np.concatenate(nats)
        return Score(float(per_token.sum()), len(per_token), corpus.unknown, corpus.bytes, per_token)

    # generation ---------------------------------------------------------------------------------------------------

    def generate(self, prompt: str = "", max_tokens: int = 100, temperature: float = 0.8, top_k: int = 40,
                 top_p: float = 1.0, seed: int | None = None, adapt: bool = False) -> Iterator[str]:
        """Yields the continuation of `prompt` piece by piece as it is drawn; joined they are the text.

        temperature 0 takes the likeliest token; top_k 0 is no limit. ``<unk>`` is never drawn. One seed gives one text.
        A byte model's bytes come out as whole characters; one that max_tokens cuts in two is left out.
        """
        if max_tokens < 0:
            raise ValueError(f"max_tokens = {max_tokens}; at least 0 was expected")
        if adapt:
            return self.adapting().generate(prompt, max_tokens, temperature, top_k, top_p, seed)
        state = self.start()
        if prompt:
            state.read(prompt)
        missing = [i for i, token in enumerate(self.vocabulary.tokens) if token is None]
        banned = np.array([*missing, *([] if self.vocabulary.unknown is None else [self.vocabulary.unknown])], np.int64)
        ids = sample_ids(self.model, state.state, state.logits, temperature, top_k, top_p, seed, banned)
        return self._pieces(ids, max_tokens, bool(prompt) and not prompt[-1].isspace())

    def _pieces(self, ids: Iterator[int], count: int, apart: bool) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for _, i in zip(range(count), ids, strict=False):
            if self.vocabulary.unit == "byte":
                piece = decoder.decode(bytes([i]))
            else:
                piece = self.vocabulary.tokens[i] or ""
                if self.vocabulary.unit == "word" and piece != "\n":
                    piece, apart = (" " if apart else "") + piece, True
                else:
                    apart = False
            if piece:
                yield piece

    # keeping ------------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """SHA-256 of vocabulary, architecture and weights: equal for models that are the same byte for byte."""
        import hashlib  # here, since it costs `import fastlm` 4 ms

        digest = hashlib.sha256(json.dumps(self.model.config(), sort_keys=True).encode())
        for name, array in sorted(self._tensors().items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def _tensors(self) -> dict[str, Array]:
        blob, offsets, counts, _ = self.vocabulary.to_arrays()
        tensors = {"vocabulary/tokens": blob, "vocabulary/offsets": offsets, "vocabulary/counts": counts}
        return tensors | {f"model/{name}": array for name, array in self.model.tensors().items()}

    def quantized(self) -> LanguageModel:
        """The same for prediction alone, its weight matrices in int8: a quarter of the memory, and faster.

        `Trainer` refuses it. ValueError where the model has no such matrices.
        """
        out = LanguageModel(self.vocabulary, self.model.quantized(), self.history, self.plan, dict(self.card))
        out.adaptive = self.adaptive and self.adaptive.around(out.model)
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to one file in the safetensors layout; an older file stays until the new one is whole.
        ValueError for a model that could not be loaded again: its options do not build it, or its class has no name.
        """
        tensors, config = self._tensors(), json.dumps(self.model.config())
        check_rebuilt(config, self.model.tensors(), len(self.vocabulary))
        metadata = {"kind": "model", "unit": self.vocabulary.unit, "config": config,
                    "card": json.dumps(self.card), "history": self.history.to_json()}
        if self.plan is not None:
            metadata["plan"] = self.plan.to_json()
            tensors["plan/rates"] = self.plan.rates
        if self.adaptive is not None:
            metadata["adaptive"] = json.dumps(self.adaptive.choices_in_file())
            tensors["adaptive/weights"] = self.adaptive.weights
        modelfile.save(path, tensors, metadata)

    def __repr__(self) -> str:
        return f"<LanguageModel of {len(self.vocabulary):,} {self.vocabulary.unit}s: {self.model!r}>"


def load(path: str | os.PathLike[str]) -> LanguageModel:
    """The language model in a file written by `save`.

    Nothing in the file is run. Raises OSError where it cannot be read and ModelFileError, one sentence, where it is
    damaged, foreign or of a newer version.

    >>> lm = fastlm.load("my.fastlm")                            # doctest: +SKIP
    """
    tensors, metadata = modelfile.load(path)
    if metadata.get("kind") != "model":
        raise modelfile.ModelFileError(f"{path} holds a {metadata.get('kind', 'foreign file')}; a model was expected")
    try:
        vocabulary = Vocabulary.from_arrays(tensors["vocabulary/tokens"], tensors["vocabulary/offsets"],
                                            tensors["vocabulary/counts"], metadata["unit"])
        weights = {name.removeprefix("model/"): array for name, array in tensors.items() if name.startswith("model/")}
        model = rebuild(metadata["config"], weights, len(vocabulary))
        model.restore(weights)
        plan = Plan.from_json(metadata["plan"], tensors["plan/rates"]) if "plan" in metadata else None
        lm = LanguageModel(vocabulary, model, History.from_json(metadata["history"]), plan,
                           dictionary(metadata["card"], "card"))
        if "adaptive" in metadata:
            options = CacheModel.options_from_file("Adaptive", dictionary(metadata["adaptive"], "cache"))
            with limited({"weights": tensors["adaptive/weights"]}):
                lm.adaptive = CacheModel(len(vocabulary), model, **options)
            lm.adaptive.use(tensors["adaptive/weights"])
        return lm
    except DAMAGE as error:
        raise modelfile.ModelFileError(f"{path} is damaged: {shortened(error)}") from error
