"""The GRU language model, of one or more layers."""

from __future__ import annotations

from fastlm.autodiff.cells import GRUCell
from fastlm.models.recurrent import Recurrent


class GRU(Recurrent):
    """Embedding -> `layers` layers of gated recurrent units -> softmax. Cho et al. 2014.

    Three quarters of an LSTM's weights and work for the same `hidden`. `width`, `tied` and `ngrams` as in `LSTM`.
    Gates lie in PyTorch's order r, z, n, and the reset gate is taken after the product, as there; weights are its
    transposed.

    >>> GRU(vocab_size=5, hidden=16).log_probabilities([4, 0]).shape
    (2, 5)
    """

    CELL = GRUCell()
