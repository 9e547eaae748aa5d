"""The LSTM language model, of one or more layers."""

from __future__ import annotations

from fastlm.autodiff.cells import LSTMCell
from fastlm.models.recurrent import Recurrent


class LSTM(Recurrent):
    """Embedding -> `layers` LSTM layers -> softmax. Hochreiter & Schmidhuber 1997; Zaremba et al. 2014 for dropout.

    `width` is the embedding's (None: that of `hidden`); `tied` uses the embedding as the output weights too (Press &
    Wolf 2017), which needs width == hidden. `ngrams`: hashed n-grams beside the embedding, see
    `hashed_ngrams.HashedNGrams`. Gates lie in PyTorch's order i, f, g, o; weights are its transposed.

    >>> LSTM(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    CELL = LSTMCell()
