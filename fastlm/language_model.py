"""LanguageModel, a vocabulary and a prefix model together, which a user trains, queries, saves and loads."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fastlm import _core
from fastlm.batch import Batch
from fastlm.coding.meter import TextMeter
from fastlm.coding.spelling import Spelling
from fastlm.files import modelfile
from fastlm.generation import Held, sample_ids, texts_of
from fastlm.models.base import PrefixModel
from fastlm.models.cache import CACHES, CacheModel
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.mixture.pruned import fit_weights_again, ngram_models, pruned
from fastlm.models.ngram.pruning import size_of
from fastlm.models.precision import in_halves
from fastlm.models.rebuild import check_rebuilt
from fastlm.prefix_state import PrefixState, name_tokens
from fastlm.scoring import Score, by_document, score_blocks, total
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import parse_bytes
from fastlm.training.history import History, Plan
from fastlm.workers import Workers, one_thread_products

if TYPE_CHECKING:
    from fastlm.text.blocks import Block

Array = np.ndarray


class LanguageModel:
    """A vocabulary and a prefix model that predicts its tokens. ``fastlm.train`` and ``fastlm.load`` make one.

    Every document is read after one boundary token (the end of a line, where the vocabulary has it), so that its
    first token is predicted too. Logarithms are natural: losses are in nats. A text is a string, or bytes where the
    unit is "byte". Tokens that are not in the vocabulary are read as ``<unk>``; where the vocabulary has no ``<unk>``,
    they raise ValueError. With ``adapt=True`` the model goes on learning from each document as it reads it, see
    `models.CacheModel`; the model itself never changes.

    Parameters
    ----------
    vocabulary : Vocabulary
        The tokens and their ids.
    model : PrefixModel
        A model of as many ids.
    history : History, default None
        The figures of the training; None for an empty one.
    plan : Plan, default None
        What repeats the training exactly, where that is known.
    card : dict, default None
        Facts about the text and the choices of `fastlm.train`, {name: value}, that the model file keeps as JSON.
    spelling : Spelling, default None
        How unknown tokens are spelt, and which white space stands between words; None for what the vocabulary shows.

    Raises
    ------
    ValueError
        Where the vocabulary and the model have different numbers of ids.
    """

    def __init__(self, vocabulary: Vocabulary, model: PrefixModel, history: History | None = None,
                 plan: Plan | None = None, card: dict[str, Any] | None = None,
                 spelling: Spelling | None = None) -> None:
        if len(vocabulary) != model.vocab_size:
            raise ValueError(f"the vocabulary has {len(vocabulary)} ids and the model {model.vocab_size}; equal "
                             "numbers were expected")
        self.vocabulary, self.model = vocabulary, model
        self.history, self.plan, self.card = History() if history is None else history, plan, card or {}
        self.adaptive: CacheModel | None = None     # the cache model whose weights `fit_adapt` has fitted
        self.learnt_spelling = spelling

    # reading ------------------------------------------------------------------------------------------------------

    def start(self, adapt: bool = False) -> PrefixState:
        """Return the prefix state at the beginning of a document, from which tokens are read one by one.

        Parameters
        ----------
        adapt : bool, default False
            Whether the state also learns from the tokens that it reads.

        Returns
        -------
        PrefixState

        Example
        -------
        >>> state = lm.start()                                   # doctest: +SKIP
        >>> log_probabilities = state.step("the")                # doctest: +SKIP
        """
        if adapt:
            return self.adapting().start()
        return PrefixState(self.model, self.vocabulary)

    @cached_property
    def spelling(self) -> Spelling:
        """How unknown tokens are spelt, and words spaced: as the text of the training has it, or as the vocabulary
        shows by itself."""
        learnt = self.learnt_spelling or Spelling.of_vocabulary(self.vocabulary)
        return learnt.beside(self.vocabulary)

    @property
    def boundary(self) -> int:
        """The id that is read before the first token of every document."""
        return self.vocabulary.boundary

    def next_tokens(self, context: str, k: int = 5) -> list[tuple[str, float]]:
        """Return the most likely next tokens after a context.

        Parameters
        ----------
        context : str
            The beginning of a document; an empty string for none. A word is expected to be whole: "I am a" is followed
            by the next word.
        k : int, default 5
            How many tokens; at least 1.

        Returns
        -------
        list of (str, float)
            Tokens with their probabilities, the most likely first; fewer than k where the vocabulary is smaller.

        Raises
        ------
        ValueError
            For k below 1, or a context that cannot be encoded.

        Example
        -------
        >>> lm.next_tokens("I am a", k=2)                        # doctest: +SKIP
        [('machine', 0.61), ('man', 0.07)]
        """
        state = self.start()
        state.advance_ids(self.vocabulary.read(context))
        return state.next_tokens(k)

    def predict_all(self, text: str, k: int | None = 5) -> Any:
        """Predict the next token after every prefix of a text, in one pass.

        Parameters
        ----------
        text : str
            The beginning of a document, of n tokens.
        k : int, default 5
            How many tokens after each prefix; at least 1. None for the probabilities of all tokens.

        Returns
        -------
        list of n lists of (str, float), or array (n, V) float32
            Item j is what follows the first j + 1 tokens: the k most likely tokens, as `next_tokens` returns them, or
            with k=None the probabilities of all V tokens of the vocabulary.

        Raises
        ------
        ValueError
            For k below 1, or a text that cannot be encoded.

        Example
        -------
        >>> lm.predict_all("I am a machine", k=1)[1]             # doctest: +SKIP
        [('a', 0.34)]
        """
        if k is not None and k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        ids, head, state = self.vocabulary.read(text), self.model.head, self.start().state
        together = self.model.rows_together()
        together = together if k else max(1, min(together, (1 << 22) // len(self.vocabulary)))
        likeliest: list[list[tuple[str, float]]] = []
        p = np.empty((0 if k else len(ids), len(self.vocabulary)), np.float32)
        for first in range(0, len(ids), together):
            part = ids[first: first + together]
            x, state = self.model.forward(Batch.one(part), state)
            if k:
                likeliest += [name_tokens(self.vocabulary, *row) for row in zip(*head.top(x.value, k), strict=True)]
            else:
                _core.log_softmax(p[first: first + together], head.logits(x).value)
        return likeliest if k else np.exp(p, out=p)

    def top(self, log_probabilities: Array, k: int) -> list[tuple[str, float]]:
        """Name the most likely of the log-probabilities that a `PrefixState` returns.

        Parameters
        ----------
        log_probabilities : array (V,) float32
            Of every token of the vocabulary, in nats.
        k : int
            How many tokens; at least 1.

        Returns
        -------
        list of (str, float)
            Tokens with their probabilities, the most likely first.

        Raises
        ------
        ValueError
            For k below 1.

        Example
        -------
        >>> lm.top(lm.start().step("the"), k=3)                  # doctest: +SKIP
        """
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        best = _core.top_k(np.ascontiguousarray(log_probabilities, np.float32), min(k, len(log_probabilities)))
        return name_tokens(self.vocabulary, best, log_probabilities[best])

    # adapting -----------------------------------------------------------------------------------------------------

    def adapting(self) -> LanguageModel:
        """Return a language model that learns from each document as it reads it: the one that ``adapt=True`` uses.

        Returns
        -------
        LanguageModel
            A new one around the same vocabulary and weights, with a cache of the document. This one stays as it is.
        """
        model = self.model if isinstance(self.model, CacheModel) else self.adaptive or self._cache()
        return LanguageModel(self.vocabulary, model, self.history, self.plan, dict(self.card), self.spelling)

    def fit_adapt(self, source: Any, documents: str | None = None, **reading: Any) -> LanguageModel:
        """Fit how much ``adapt=True`` trusts the document that is being read, on a text that the model has not seen.

        The model file keeps these weights. Without ``adapt=True`` nothing changes.

        Parameters
        ----------
        source : as in `evaluate`
            Held-out text. The training text will not do: the model knows it too well to need its cache.
        documents : "file", "line" or "blank-line", default None
            What a document is; None for what it was in training.
        reading
            As in `evaluate`.

        Returns
        -------
        LanguageModel
            This one.

        Raises
        ------
        ValueError, TypeError, OSError
            For a text that cannot be read, as in `evaluate`.

        Example
        -------
        >>> lm.fit_adapt("held_out.txt").perplexity("test.txt", adapt=True)     # doctest: +SKIP
        """
        corpus = Corpus.read(source, self.vocabulary, documents or self.documents, **reading)
        inputs, targets, starts = read_and_predict(replace(corpus, boundary=self.boundary))
        with one_thread_products():
            self.adaptive = self._cache().fit(inputs, targets, starts)
        return self

    def _cache(self) -> CacheModel:
        return CacheModel(len(self.vocabulary), self.model, **CACHES[self.vocabulary.unit])

    # scoring ------------------------------------------------------------------------------------------------------

    def score(self, text: str, threads: int | None = None, adapt: bool = False) -> Score:
        """Return how well the model predicts one text.

        Parameters
        ----------
        text : str, or bytes where the unit is "byte"
            One document; of a model that was trained on lines, every line is one. What ends a document in training,
            such as the end of a line of words, is read after it and counts too.
        threads : int, default None
            How many threads work; None for as many as this process may use. The figures are the same with any number.
        adapt : bool, default False
            Whether the model learns from the text as it reads it.

        Returns
        -------
        Score
            The negative log-likelihood in nats, perplexity and more, with the loss of every token.

        Raises
        ------
        TypeError
            For something other than a text. `evaluate` takes files and other sources.
        ValueError
            For an empty text, or one that cannot be encoded.

        Example
        -------
        >>> lm.score("I am a machine").nats                      # doctest: +SKIP
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"a {type(text).__name__} was given; score reads one text, evaluate any source")
        if not text:
            raise ValueError("the text is empty; at least one token was expected")
        from fastlm.text.sources.containers import texts

        return total(self._scored(texts([text]), None, threads, adapt), self._escape_nats, per_token=True)

    @property
    def documents(self) -> str:
        """What a document was in training: "file", "line" or "blank-line"; "file" where the card does not say."""
        return str(self.card.get("documents", "file"))

    def evaluate(self, source: Any, documents: str | None = None, threads: int | None = None, adapt: bool = False,
                 per_token: bool = False, **reading: Any) -> Score:
        """Return how well the model predicts a corpus. Each document is read from an empty prefix.

        Memory does not grow with the text: it is read and scored a little at a time.

        Parameters
        ----------
        source : path, folder, open file, table, Corpus, or iterable, as in `fastlm.train`
            The text. A string by itself is a path; `score` takes a text.
        documents : "file", "line" or "blank-line", default None
            What a document is: a file, a line, or the text between blank lines; None for what it was in training.
        threads : int, default None
            How many threads work; None for as many as this process may use. The figures are the same with any number.
        adapt : bool, default False
            Whether the model learns from each document as it reads it, beginning anew with the next.
        per_token : bool, default False
            Whether to keep the loss of every token, 8 bytes each.
        reading
            text_key, format, encoding and errors, as in `fastlm.train`. Text is normalised as the model's was.

        Returns
        -------
        Score
            The negative log-likelihood in nats, perplexity and more.

        Raises
        ------
        OSError
            For a file that cannot be read.
        TypeError
            For something that is not a source of text.
        ValueError
            For an empty source, and for text that is not UTF-8 or contains a NUL character.

        Example
        -------
        >>> print(lm.evaluate("test.txt").perplexity)            # doctest: +SKIP
        """
        return total(self._scored(source, documents, threads, adapt, **reading), self._escape_nats, per_token)

    def score_each(self, source: Any, documents: str | None = None, threads: int | None = None,
                   adapt: bool = False, **reading: Any) -> Iterator[Score]:
        """Return how well the model predicts each document of a corpus, one after another.

        Many short documents are scored together, much faster than by `score` one by one, and memory does not grow with
        their number.

        Parameters
        ----------
        source, documents, threads, adapt, reading
            As in `evaluate`.

        Returns
        -------
        iterator of Score
            Of every document in turn, without the losses of its tokens. Empty documents have no tokens and nats of 0.

        Raises
        ------
        OSError, TypeError, ValueError
            As in `evaluate`, when a document is reached that cannot be read.

        Example
        -------
        >>> best = min(lm.score_each(["I am", "am I"]), key=lambda score: score.nats_per_token)     # doctest: +SKIP
        """
        return by_document(self._scored(source, documents, threads, adapt, **reading), self._escape_nats)

    def perplexity(self, source: Any, documents: str | None = None, threads: int | None = None,
                   adapt: bool = False, **reading: Any) -> float:
        """Return the perplexity of a corpus: exp of the mean -log p over all of its tokens, ends of lines included.

        It is that of the closed vocabulary: unknown words are scored as ``<unk>``, and perplexities of models with
        different vocabularies do not compare. `evaluate` has figures that do: bits_per_byte and perplexity_per_word.

        Parameters
        ----------
        source, documents, threads, adapt, reading
            As in `evaluate`.

        Returns
        -------
        float

        Raises
        ------
        OSError, TypeError, ValueError
            As in `evaluate`.

        Example
        -------
        >>> lm.perplexity("test.txt")                            # doctest: +SKIP
        """
        return self.evaluate(source, documents, threads, adapt, **reading).perplexity

    def _scored(self, source: Any, documents: str | None, threads: int | None,
                adapt: bool, **reading: Any) -> Iterator[tuple[Block, Array]]:
        """Yield the blocks of a source with the losses of their tokens, see `scoring.score_blocks`."""
        from fastlm.text.blocks import read_blocks  # here, since a model that predicts reads no source

        model, meter = self.adapting().model if adapt else self.model, TextMeter(self.vocabulary, self.spelling)
        with one_thread_products(), Workers(threads) as workers:
            blocks = read_blocks(source, self.vocabulary, documents or self.documents, meter, **reading)
            yield from score_blocks(model, blocks, self.boundary, workers)

    def _escape_nats(self, block: Block, nats: Array) -> Array:
        """Return what each token of a block costs more where an unknown one has its escape probability."""
        return self.spelling.escape_nats(block.ids == self.vocabulary.unknown, nats)

    # generation ---------------------------------------------------------------------------------------------------

    def generate(self, prompt: str = "", max_tokens: int = 100, temperature: float = 0.8, top_k: int = 40,
                 top_p: float = 1.0, seed: int | None = None, adapt: bool = False) -> Iterator[str]:
        """Draw a continuation of a prompt token by token.

        ``<unk>`` is never drawn. Bytes and pieces are joined to whole characters; a character that `max_tokens` would
        cut in two is left out. After the end of a document the next one begins, with nothing remembered: a model that
        was trained on lines ends a document with every line, and between other documents a line ends.

        Parameters
        ----------
        prompt : str, default ""
            The beginning of a document. Where the unit is "piece", it may stop within a word, which is then gone on
            with.
        max_tokens : int, default 100
            How many tokens are drawn; generation does not end before.
        temperature : float, default 0.8
            Logits are divided by it: below 1 likely tokens are drawn more often, above 1 less often. 0 always takes the
            most likely token.
        top_k : int, default 40
            Only the `top_k` most likely tokens are drawn; 0 for no limit.
        top_p : float, default 1.0
            Of these, only the most likely ones are drawn that together have this probability, in (0, 1].
        seed : int, default None
            The same seed gives the same text; None for another text each time.
        adapt : bool, default False
            Whether the model learns from what it reads and writes.

        Returns
        -------
        iterator of str
            Pieces of the text as they are drawn; joined, they follow the prompt.

        Raises
        ------
        ValueError
            At once, for a number outside its range or a prompt that cannot be encoded.

        Example
        -------
        >>> print("".join(lm.generate("I am", max_tokens=50, seed=1)))          # doctest: +SKIP
        """
        if max_tokens < 0:
            raise ValueError(f"max_tokens = {max_tokens}; at least 0 was expected")
        if adapt:
            return self.adapting().generate(prompt, max_tokens, temperature, top_k, top_p, seed)
        state, held = self.start(), None
        if prompt:
            read = self.vocabulary.read(prompt)
            if self.vocabulary.unit == "piece" and len(read):
                held = Held(self.vocabulary, read)
            state.advance_ids(read if held is None else held.ids)
        missing = [i for i, token in enumerate(self.vocabulary.tokens) if token is None]
        banned = np.array([*missing, *([] if self.vocabulary.unknown is None else [self.vocabulary.unknown])], np.int64)
        ids = sample_ids(self.model, state.state, state.logits, temperature, top_k, top_p, seed, banned, self._end(),
                         self.boundary, held)
        return texts_of(self.vocabulary, ids, max_tokens, prompt, len(held.rest) if held else 0)

    def _end(self) -> int | None:
        """Return the id that ends a document, None where none does."""
        if self.vocabulary.end_of_document is None and self.documents == "line":
            return self.vocabulary.end_of_line
        return self.vocabulary.end_of_document

    # keeping ------------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """Return the SHA-256 of the vocabulary, the architecture and the weights, in hexadecimal digits.

        Models that are the same byte for byte have the same digest. How they were trained is not a part of it.

        Returns
        -------
        str
        """
        import hashlib  # here, since it costs `import fastlm` 4 ms

        digest = hashlib.sha256(json.dumps(self.model.config(), sort_keys=True).encode())
        for name, array in sorted(self._tensors().items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def _tensors(self) -> dict[str, Array]:
        tensors = {f"vocabulary/{name}": array for name, array in self.vocabulary.tensors().items()}
        return tensors | {f"model/{name}": array for name, array in self.model.tensors().items()}

    def quantized(self) -> LanguageModel:
        """Return a smaller and faster copy for prediction, with weight matrices in int8: a quarter of the memory.

        N-grams in it stay as they are. `Trainer` refuses it.

        Returns
        -------
        LanguageModel

        Raises
        ------
        ValueError
            Where a network has no weight matrices, or they are in int8 already.

        Example
        -------
        >>> lm.quantized().save("small.fastlm")                  # doctest: +SKIP
        """
        out = LanguageModel(self.vocabulary, self.model.quantized(), self.history, self.plan, dict(self.card),
                            self.learnt_spelling)
        out.adaptive = self.adaptive and self.adaptive.around(out.model)
        return out

    def pruned(self, max_bytes: int | str, valid: Any = None, documents: str | None = None, threads: int | None = None,
               **reading: Any) -> LanguageModel:
        """Return a smaller copy whose file has at most so many bytes: the n-grams that matter least are removed.

        Entropy pruning (Stolcke 1998): an n-gram matters by how much the model's cross-entropy rises without it.

        Parameters
        ----------
        max_bytes : int, or "800kB", "20MB", "1.5GB"
            Bytes of the file that `save` writes, at most.
        valid : as in `evaluate`, default None
            Held-out text, on which the weights of a mixture are fitted again. None: they stay as they are, which costs
            up to a per cent.
        documents : "file", "line" or "blank-line", default None
            What a document of `valid` is; None for what it was in training.
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
            Where the model has no n-grams, or what else it has takes more bytes.

        Example
        -------
        >>> lm.pruned(20_000_000, valid="held_out.txt").save("small.fastlm")    # doctest: +SKIP
        """
        most = parse_bytes(max_bytes)
        tables = size_of([part.tables for part in ngram_models(self.model)])
        size = len(self.to_bytes())
        left = most - (size - tables)
        if left < 1:
            raise ValueError(f"max_bytes = {most:,}; all but the n-grams takes {size - tables:,}")
        model = pruned(self.model, left, threads) if tables > left else self.model
        out = LanguageModel(self.vocabulary, model, self.history, self.plan, dict(self.card), self.learnt_spelling)
        out.adaptive = self.adaptive and self.adaptive.around(out.model)
        if valid is not None and isinstance(model, Mixture) and model is not self.model:
            corpus = Corpus.read(valid, self.vocabulary, documents or self.documents, **reading)
            with one_thread_products():
                fit_weights_again(model, *read_and_predict(replace(corpus, boundary=self.boundary)))
        return out

    def save(self, target: str | os.PathLike[str] | BinaryIO) -> None:
        """Write vocabulary, model, history, plan and card to one file in the safetensors layout.

        An older file is replaced, and stays until the new one is whole. Float32 weights whose values are those of
        float16, as `fastlm.train` leaves them, take two bytes each in the file.

        Parameters
        ----------
        target : path, or file object
            The name of the file; or a file object that takes bytes, such as ``io.BytesIO()``.

        Raises
        ------
        OSError
            Where the file cannot be written; an older file is then as it was.
        ValueError
            For a model that could not be loaded again, because its options do not build it or its class has no name.

        Example
        -------
        >>> lm.save("my.fastlm")                                 # doctest: +SKIP
        """
        tensors, config = self._tensors(), json.dumps(self.model.config())
        check_rebuilt(config, self.model, len(self.vocabulary))
        metadata = {"kind": "model", "unit": self.vocabulary.unit, "config": config,
                    "card": json.dumps(self.card), "history": self.history.to_json()}
        if self.vocabulary.normalize is not None:
            metadata["normalize"] = self.vocabulary.normalize
        if self.plan is not None:
            metadata["plan"] = self.plan.to_json()
            tensors["plan/rates"] = self.plan.rates
        if self.adaptive is not None:
            metadata["adaptive"] = json.dumps(self.adaptive.choices_in_file())
            tensors["adaptive/weights"] = self.adaptive.weights
        if self.learnt_spelling is not None:
            tensors |= self.learnt_spelling.tensors()
        modelfile.save(target, in_halves(self.model, tensors), metadata)

    def to_bytes(self) -> bytes:
        """Return the bytes of the file that `save` writes; ``fastlm.load`` takes them.

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            As `save` does.

        Example
        -------
        >>> fastlm.load(lm.to_bytes()).digest() == lm.digest()   # doctest: +SKIP
        True
        """
        file = io.BytesIO()
        self.save(file)
        return file.getvalue()

    def __repr__(self) -> str:
        return f"<LanguageModel of {len(self.vocabulary):,} {self.vocabulary.unit}s: {self.model!r}>"
