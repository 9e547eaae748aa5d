"""A language model for the CTC decoder `pyctcdecode`, by fastlm.

    from pyctcdecode import Alphabet, BeamSearchDecoderCTC
    from fastlm.compat.pyctcdecode import FastlmLanguageModel

    model = FastlmLanguageModel("my.fastlm", alpha=0.5, beta=1.5)
    decoder = BeamSearchDecoderCTC(Alphabet.build_alphabet(labels), model)

pyctcdecode has to be installed. A model is an ARPA file, or a model file of fastlm of any unit.
"""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_left
from pathlib import Path
from typing import Any

from pyctcdecode.language_model import AbstractLanguageModel

from fastlm.compat.kenlm import Model, State
from fastlm.language_model import LanguageModel

LN10 = math.log(10)
_USUAL_LENGTH = 6     # letters, from which an unknown beginning of a word costs more the longer it is; as there
_ATTRIBUTES, _MODEL = "attrs.json", "model.fastlm"
_NAMES = ("alpha", "beta", "unk_score_offset", "score_boundary")


class FastlmLanguageModel(AbstractLanguageModel):
    """A model of fastlm where pyctcdecode expects a language model.

    A word adds alpha (ln p + unk_score_offset ln 10 where it is unknown) + beta to the score of a hypothesis; the
    beginning of a word adds `unk_score_offset` where no known word begins so.

    model: a path, a `fastlm.LanguageModel`, or a `fastlm.compat.kenlm.Model`. alpha, beta: the weight of the model, and
    what each word adds; unk_score_offset: to the base-10 logarithm of an unknown word; score_boundary: whether the
    beginning and the end of a sentence count. Raises OSError where a file cannot be read.
    """

    def __init__(self, model: str | os.PathLike[str] | LanguageModel | Model, alpha: float = 0.5, beta: float = 1.5,
                 unk_score_offset: float = -10.0, score_boundary: bool = True) -> None:
        self._model = model if isinstance(model, Model) else Model(model)
        self.alpha, self.beta, self.unk_score_offset = alpha, beta, unk_score_offset
        self.score_boundary = score_boundary
        vocabulary = self._model.lm.vocabulary
        self._words = None if vocabulary.unit != "word" else sorted(
            token for id, token in enumerate(vocabulary.tokens)
            if token is not None and id not in (vocabulary.unknown, vocabulary.end_of_line))

    @property
    def order(self) -> int:
        """The words by which hypotheses are told apart: those of the longest n-grams, more for other models."""
        return self._model.order or 10

    def reset_params(self, **params: Any) -> None:
        """Change alpha, beta, unk_score_offset or score_boundary; None leaves one as it is."""
        for name, value in params.items():
            if name in _NAMES and value is not None:
                setattr(self, name, value)

    def get_start_state(self) -> State:
        """Return the state before the first word."""
        state = State()
        if self.score_boundary:
            self._model.BeginSentenceWrite(state)
        else:
            self._model.NullContextWrite(state)
        return state

    def score_partial_token(self, partial_token: str) -> float:
        """Return what the beginning of a word adds: 0 where a known word begins so."""
        if self._words is None:
            return 0.0
        at = bisect_left(self._words, partial_token)
        if at < len(self._words) and self._words[at].startswith(partial_token):
            return 0.0
        return self.unk_score_offset * max(1.0, len(partial_token) / _USUAL_LENGTH)

    def score(self, prev_state: State, word: str, is_last_word: bool = False) -> tuple[float, State]:
        """Return what a word adds to the score, and the state after it; the last word adds the end of the sentence."""
        after = State()
        log10_p = self._model.BaseScore(prev_state, word, after)
        if word not in self._model:
            log10_p += self.unk_score_offset
        if is_last_word and self.score_boundary:
            log10_p += self._model.BaseScore(after, "</s>", State())
        return self.alpha * log10_p * LN10 + self.beta, after

    def save_to_dir(self, filepath: str) -> None:
        """Save the model and the numbers to a folder."""
        Path(filepath, _ATTRIBUTES).write_text(json.dumps({name: getattr(self, name) for name in _NAMES}))
        self._model.lm.save(Path(filepath, _MODEL))

    @classmethod
    def load_from_dir(cls, filepath: str) -> FastlmLanguageModel:
        """Return what `save_to_dir` saved."""
        return cls(Path(filepath, _MODEL), **json.loads(Path(filepath, _ATTRIBUTES).read_text()))
