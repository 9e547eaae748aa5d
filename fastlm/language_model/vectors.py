"""The vectors of tokens: the embedding that a network has learnt."""

from __future__ import annotations

import os

import numpy as np

from fastlm import _core
from fastlm.files import atomic
from fastlm.language_model.parts import Parts
from fastlm.models.base import PrefixModel

Array = np.ndarray


class Vectors(Parts):
    """Compares tokens by what the network has learnt of them."""

    @property
    def vectors(self) -> Array:
        """The embedding (V, W) float32 of every token, which is not to be written to: that of the first network.

        Raises ValueError where the model has no network with an embedding.
        """
        found = _embedding(self.model)
        if found is None:
            raise ValueError(f"{self.model!r} has no network with an embedding, so its tokens have no vectors")
        view = found.view()
        view.flags.writeable = False
        return view

    def most_similar(self, token: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the tokens whose vectors point most in the direction of that of a token.

        Parameters
        ----------
        token : str
            A token of the vocabulary.
        k : int, default 10
            How many; at least 1.

        Returns
        -------
        list of (str, float)
            Tokens with the cosine of the angle between the vectors, the most similar first.

        Raises
        ------
        ValueError
            For a token that is not in the vocabulary, k below 1, and a model without vectors.

        Example
        -------
        >>> lm.most_similar("king", k=2)                         # doctest: +SKIP
        [('queen', 0.71), ('prince', 0.64)]
        """
        if k < 1:
            raise ValueError(f"k = {k}; at least 1 was expected")
        vectors, id = self.vectors, self.vocabulary.id(token)
        lengths = np.sqrt(np.einsum("vw,vw->v", vectors, vectors))
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = np.nan_to_num(vectors @ vectors[id] / (lengths * lengths[id]), nan=-1.0)
        cosines[[other for other, name in enumerate(self.vocabulary.tokens) if other == id or name is None]] = -2.0
        best = _core.top_k(np.ascontiguousarray(cosines, np.float32), min(k, len(cosines) - 1))
        return [(self.vocabulary.token(int(other)), float(cosines[other])) for other in best if cosines[other] > -2]

    def save_vectors(self, path: str | os.PathLike[str]) -> None:
        """Write the vectors in the text format of word2vec, which gensim and others read; an older file is replaced.

        Parameters
        ----------
        path : path
            The name of the file.

        Raises
        ------
        OSError
            Where the file cannot be written.
        ValueError
            For a model without vectors, and for tokens that hold white space, which the format cannot: those of words
            have none.

        Example
        -------
        >>> lm.save_vectors("vectors.txt")                       # doctest: +SKIP
        """
        vectors = self.vectors
        rows = [(token, vectors[id]) for id, token in enumerate(self.vocabulary.tokens)
                if token is not None and id != self.vocabulary.end_of_line]
        for token, _ in rows:
            if len(token.split()) != 1:
                raise ValueError(f"{token!r} holds white space, which parts the columns of the format; the vectors of "
                                 "words can be written")
        lines = [f"{len(rows)} {vectors.shape[1]}"]
        lines += [" ".join([token, *(f"{x:.6g}" for x in vector.tolist())]) for token, vector in rows]
        text = "\n".join(lines) + "\n"
        atomic.replace(path, lambda file: _write(file, text.encode("utf-8", "surrogateescape")))


def _write(file: object, text: bytes) -> None:
    file.write(text)  # type: ignore[attr-defined]


def _embedding(model: PrefixModel) -> Array | None:
    """Return the embedding of a model, or of the first of its parts that has one."""
    found = model.own_parameters.get("embedding")
    if found is not None and found.shape[0] == model.vocab_size:
        return np.asarray(found.value, np.float32)
    return next((vectors for part in getattr(model, "parts", ()) if (vectors := _embedding(part)) is not None), None)
