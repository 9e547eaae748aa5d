"""The Python module `kenlm`, by fastlm: the same classes, methods and figures, in base-10 logarithms.

    import fastlm.compat.kenlm as kenlm

A model is an ARPA file, plain or compressed, or a model file of fastlm of any unit; KenLM's own binary files are not
read. Words are what stands between ASCII white space, ``</s>`` is the end of a line and ``<s>`` the beginning of a
document. A model of characters or pieces gives a word the probability of its tokens and the blank before it.

>>> model = Model("my.arpa")                                   # doctest: +SKIP
>>> model.score("this is a sentence .")                        # doctest: +SKIP
-12.3
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastlm import loading
from fastlm.batch import Batch
from fastlm.language_model import LanguageModel as FastlmModel
from fastlm.models import KneserNey, Mixture
from fastlm.scoring.tokens import matched_orders

Array = np.ndarray
LN10 = math.log(10)
_NOT_THERE = -100.0    # log10 p of an unknown word where a model has no <unk>, as in KenLM


class LoadMethod:
    """How KenLM reads a binary file. fastlm maps its files whatever is chosen."""

    LAZY, POPULATE_OR_LAZY, POPULATE_OR_READ, READ, PARALLEL_READ = range(5)


class ARPALoadComplain:
    """What KenLM complains of when it reads ARPA text. fastlm's ``history.ended`` says what was mended."""

    ALL, EXPENSIVE, NONE = range(3)


class Config:
    """The options of `Model`, of which none changes a figure: ``load_method``, ``show_progress``, ``arpa_complain``."""

    def __init__(self) -> None:
        self.load_method = LoadMethod.POPULATE_OR_READ
        self.show_progress = True
        self.arpa_complain = ARPALoadComplain.ALL


class FullScoreReturn:
    """What is known of one word: ``log_prob``, log10 p; ``ngram_length``, the words of the n-gram that matched;
    ``oov``, whether the vocabulary lacks it."""

    __slots__ = ("log_prob", "ngram_length", "oov")

    def __init__(self, log_prob: float, ngram_length: int, oov: bool) -> None:
        self.log_prob, self.ngram_length, self.oov = log_prob, ngram_length, oov

    def __repr__(self) -> str:
        return f"FullScoreReturn({self.log_prob!r}, {self.ngram_length!r}, {self.oov!r})"


class State:
    """What a model remembers of the words before. States can be compared, ordered, hashed, copied and pickled."""

    __slots__ = ("begun", "context", "row")

    def __init__(self) -> None:
        self.context: Any = -1      # of n-grams the number of a context; of other models their `fastlm.State`
        self.row: Any = None        # of other models, from which the next token is predicted
        self.begun = False          # whether a word stands before

    def _key(self) -> tuple[Any, ...]:
        if isinstance(self.context, int):
            return (self.context,)
        return tuple((name, array.tobytes()) for name, array in sorted(self.context.arrays.items()))

    def _copy_from(self, other: State) -> None:
        self.context, self.row, self.begun = other.context, other.row, other.begun

    def __copy__(self) -> State:
        out = State()
        out._copy_from(self)
        return out

    def __deepcopy__(self, memo: Any = None) -> State:
        return self.__copy__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._key() == other._key()

    def __lt__(self, other: State) -> bool:
        return self._key() < other._key()

    def __le__(self, other: State) -> bool:
        return self._key() <= other._key()

    def __gt__(self, other: State) -> bool:
        return self._key() > other._key()

    def __ge__(self, other: State) -> bool:
        return self._key() >= other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Model:
    """A language model that is asked as KenLM's is.

    path: of an ARPA file or a model file, or a `fastlm.LanguageModel` that is loaded already. Raises OSError where it
    cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str] | FastlmModel, config: Config | None = None) -> None:
        if isinstance(path, FastlmModel):
            self.lm, self.path = path, b""
        else:
            self.path = os.path.abspath(os.fsencode(path))
            try:
                self.lm = loading.load(os.fsdecode(self.path))
            except (OSError, ValueError) as error:
                raise OSError(f"Cannot read model '{os.fsdecode(path)}' ({error})") from error
        model, vocabulary = self.lm.model, self.lm.vocabulary
        self._model, self._vocabulary = model, vocabulary
        self._ngrams = model.ngrams if isinstance(model, KneserNey) else None
        self._is_words = vocabulary.unit == "word"
        self._nats, self._id = np.empty(1), np.empty(1, np.int32)

    @property
    def order(self) -> int:
        """The words of the longest n-grams; 0 where the model has none."""
        parts = self._model.parts if isinstance(self._model, Mixture) else [self._model]
        return next((part.order for part in parts if isinstance(part, KneserNey)), 0)

    # words --------------------------------------------------------------------------------------------------------

    def _known(self, word: str) -> bool:
        return word in self._vocabulary and self._vocabulary.id(word) != self._vocabulary.unknown

    def _ids_of(self, word: str, begun: bool) -> list[int] | None:
        """Return the ids of a word, None where the model gives it no probability."""
        vocabulary = self._vocabulary
        if word == "</s>":
            ends = [vocabulary.end_of_line, vocabulary.end_of_document]
            return [id for id in (ends[:1] if self._is_words else ends) if id is not None] or None
        if not self._is_words:
            return vocabulary.read((" " if begun else "") + word).tolist()
        if word == "<s>":
            return [vocabulary.boundary]
        if self._known(word):
            return [vocabulary.id(word)]
        return None if vocabulary.unknown is None else [vocabulary.unknown]

    def __contains__(self, word: str | bytes) -> bool:
        word = _text(word)
        if word in ("<s>", "</s>"):
            return True
        return self._known(word) if self._is_words else bool(
            self._vocabulary.unknown is None or self._vocabulary.unknown not in self._vocabulary.read(word))

    # states -------------------------------------------------------------------------------------------------------

    def BeginSentenceWrite(self, state: State) -> None:
        """Change a state to that at the beginning of a sentence."""
        state.begun = False
        if self._ngrams is not None:
            state.context = self._ngrams.score(self._nats, self._one(self.lm.boundary), -1)
        else:
            state.row, state.context = self._read(None, self.lm.boundary)

    def NullContextWrite(self, state: State) -> None:
        """Change a state to that of no context at all. Of other models than n-grams it is that of a beginning."""
        if self._ngrams is None:
            self.BeginSentenceWrite(state)
        else:
            state.context, state.begun = -1, False

    def _one(self, id: int) -> Array:
        self._id[0] = id
        return self._id

    def _read(self, state: Any, id: int) -> tuple[Any, Any]:
        rows, after = self._model.forward(Batch.one(np.array([id], np.int32)), state)
        return rows, after

    def BaseScore(self, in_state: State, word: str, out_state: State) -> float:
        """Return log10 p(word | in_state), and change out_state to that after the word."""
        ids = self._ids_of(word, in_state.begun)
        nats = 0.0
        context, row = in_state.context, in_state.row
        for id in ids or []:
            if self._ngrams is not None:
                context = self._ngrams.score(self._nats, self._one(id), context)
                nats += float(self._nats[0])
            else:
                nats += float(self._model.head.nats(row, np.array([id], np.int32))[0])
                row, context = self._read(context, id)
        if ids is None and self._ngrams is not None:
            context = -1
        out_state.context, out_state.row, out_state.begun = context, row, True
        return _NOT_THERE if ids is None else -nats / LN10

    def BaseFullScore(self, in_state: State, word: str, out_state: State) -> FullScoreReturn:
        """Return what is known of a word after in_state, and change out_state to that after the word."""
        ids = self._ids_of(word, in_state.begun)
        length = 1
        if ids is not None and len(ids) == 1:
            target = np.array(ids, np.int32)
            rows = np.array([in_state.context], np.int32) if self._ngrams is not None else in_state.row
            length = int(matched_orders(self._model, rows, target)[0])
        log_prob = self.BaseScore(in_state, word, out_state)
        return FullScoreReturn(log_prob, length, word not in self)

    # sentences ----------------------------------------------------------------------------------------------------

    def _start(self, bos: bool) -> State:
        state = State()
        (self.BeginSentenceWrite if bos else self.NullContextWrite)(state)
        return state

    def score(self, sentence: str | bytes, bos: bool = True, eos: bool = True) -> float:
        """Return log10 p of a sentence.

        bos: whether it begins one, after ``<s>``; eos: whether it ends there, with ``</s>``.
        """
        state, total = self._start(bos), 0.0
        for word in _words(sentence, eos):
            total += self.BaseScore(state, word, state)
        return total

    def full_scores(self, sentence: str | bytes, bos: bool = True,
                    eos: bool = True) -> Iterator[tuple[float, int, bool]]:
        """Yield (log10 p, words of the n-gram that matched, whether it is unknown) of every word, ``</s>`` included."""
        state = self._start(bos)
        for word in _words(sentence, eos):
            found = self.BaseFullScore(state, word, state)
            yield found.log_prob, found.ngram_length, found.oov

    def perplexity(self, sentence: str | bytes) -> float:
        """Return 10 to the power of -log10 p / words, ``</s>`` being one of them."""
        return float(10.0 ** (-self.score(sentence) / len(list(_words(sentence, True)))))

    def __repr__(self) -> str:
        return f"<Model from {os.path.basename(self.path).decode(errors='replace') or repr(self.lm)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.path or self.lm,)


class LanguageModel(Model):
    """The older name of `Model`."""


def _text(data: str | bytes) -> str:
    if isinstance(data, bytes):
        return data.decode("utf-8", "surrogateescape")
    if isinstance(data, str):
        return data
    raise TypeError(f"Cannot convert {type(data)} to string")


def _words(sentence: str | bytes, eos: bool) -> Iterator[str]:
    """Yield the words of a sentence between ASCII white space, and ``</s>``."""
    for word in _text(sentence).encode("utf-8", "surrogateescape").split():
        yield word.decode("utf-8", "surrogateescape")
    if eos:
        yield "</s>"
