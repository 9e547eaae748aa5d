"""LanguageModel, a vocabulary and a prefix model together, which a user trains, queries, saves and loads."""

from __future__ import annotations

from fastlm.language_model.growing import Growing
from fastlm.language_model.mixing import Weighted
from fastlm.language_model.predicting import Predicting
from fastlm.language_model.showing import Showing
from fastlm.language_model.vectors import Vectors


class LanguageModel(Predicting, Showing, Vectors, Growing):
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

    def __mul__(self, weight: float) -> Weighted:
        """Return the model with a weight, so that ``0.7 * mails + 0.3 * novels`` mixes the two, see `fastlm.mix`."""
        if not isinstance(weight, int | float):
            return NotImplemented
        return Weighted([self], [float(weight)])

    __rmul__ = __mul__
