"""N-grams that have not counted what they predict, asked for the probabilities of a few tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastlm.autodiff.tape import empty
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray


class FoldedNGrams:
    """The count models of the folds of a text: each has counted the other folds alone.

    models[f][k]: model k of fold f; fold (N,) int8: that of every token of the text; rows (K, N) int32: what model k of
    that fold makes of the prefix of the token (`PrefixModel.forward`). Where a table of all log-probabilities would not
    fit into memory, because the vocabulary is large, these are asked for the words that a step of training draws.
    """

    def __init__(self, models: Sequence[Sequence[KneserNey]], fold: Array, rows: Array) -> None:
        self.models, self.fold, self.rows = models, fold, rows

    @property
    def count_models(self) -> int:
        """How many models each fold has, K."""
        return len(self.rows)

    def log_probabilities(self, positions: Array, words: Array, targets: Array) -> Array:
        """Return ln p (K, N, 1 + S) float32 of the target of each row, and of S words.

        positions (N,) int64: tokens of the text, which the rows predict; words (S,) int64, different ones; targets (N,)
        int32, -1 for none, of which ln p is 0.
        """
        out = empty((len(self.rows) * len(positions), 1 + len(words))).reshape(len(self.rows), len(positions), -1)
        fold, wanted = self.fold[positions], words.astype(np.int32)
        for number in np.unique(fold):
            of_fold = np.flatnonzero(fold == number)
            for k, model in enumerate(self.models[number]):
                found = empty((len(of_fold), 1 + len(words)))
                model.ngrams.of_words(found, self.rows[k, positions[of_fold]], targets[of_fold], wanted)
                out[k, of_fold] = found
        return out
