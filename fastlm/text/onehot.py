"""One-hot inputs: the indicator vector of a prefix, and the positional one-hot matrix of a document."""

from dataclasses import dataclass

import numpy as np

from fastlm.text.pairs import Ids, as_ids


@dataclass(frozen=True, eq=False)
class OneHot:
    """The positional one-hot matrix {0,1}^(|V| x T) of a document, kept as its ids.

    Column t is the one-hot vector of token t; columns past the document's end are zero.
    ids: int32 (n,), n <= T; shape: (|V|, T).
    """

    ids: np.ndarray
    shape: tuple[int, int]

    def to_dense(self) -> np.ndarray:
        """Return the matrix, float32 (|V|, T)."""
        dense = np.zeros(self.shape, np.float32)
        dense[self.ids, np.arange(len(self.ids))] = 1
        return dense

    def to_vector(self) -> np.ndarray:
        """Return the columns one after another, float32 (|V| * T,): entry t*|V| + id is 1."""
        vocab_size, max_length = self.shape
        vector = np.zeros(vocab_size * max_length, np.float32)
        vector[np.arange(len(self.ids)) * vocab_size + self.ids] = 1
        return vector

    def to_csr(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the matrix in compressed sparse rows: data float32 (n,), indices int32 (n,), indptr int32 (|V|+1,).

            scipy.sparse.csr_array(x.to_csr(), shape=x.shape)
        """
        indices = np.argsort(self.ids, kind="stable").astype(np.int32)
        indptr = np.searchsorted(self.ids[indices], np.arange(self.shape[0] + 1)).astype(np.int32)
        return np.ones(len(self.ids), np.float32), indices, indptr


def indicator(ids: Ids, vocab_size: int) -> np.ndarray:
    """Return which tokens occur in a prefix: float32 (vocab_size,), 1 at every id of `ids` (N,), 0 elsewhere.

    Raises IndexError where an id is outside the vocabulary, ValueError where vocab_size is below 1.

        >>> indicator([2, 0, 2], 4)
        array([1., 0., 1., 0.], dtype=float32)
    """
    _check_extent("vocab_size", vocab_size)
    vector = np.zeros(vocab_size, np.float32)
    vector[as_ids(ids, vocab_size)] = 1
    return vector


def encode(ids: Ids, vocab_size: int, max_length: int) -> OneHot:
    """Return the positional one-hot matrix of a document, of the shape (vocab_size, max_length).

    ids (N,) integers, of which those from max_length on are left out. Raises IndexError where an id is outside
    the vocabulary, ValueError where vocab_size or max_length is below 1.

        >>> encode([1, 0], vocab_size=2, max_length=3).to_vector()
        array([0., 1., 1., 0., 0., 0.], dtype=float32)
    """
    _check_extent("vocab_size", vocab_size)
    _check_extent("max_length", max_length)
    kept = as_ids(ids, vocab_size)[:max_length].copy()
    kept.setflags(write=False)
    return OneHot(kept, (int(vocab_size), int(max_length)))


def decode(x: OneHot | np.ndarray, vocab_size: int | None = None) -> np.ndarray:
    """Return the ids of a positional one-hot matrix, int32 (n,), exactly those it was made from.

    x is what `encode` returned, its dense matrix (|V|, T), or its concatenated columns (|V| * T,) with
    `vocab_size`.
    Raises ValueError where an array is not one-hot columns followed by zero columns.

        >>> decode(encode([1, 0], vocab_size=2, max_length=3))
        array([1, 0], dtype=int32)
    """
    if isinstance(x, OneHot):
        return x.ids.copy()
    array = np.asarray(x)
    if array.ndim == 1:
        if vocab_size is None or vocab_size < 1 or array.size % vocab_size:
            raise ValueError(f"vocab_size = {vocab_size} does not cut {array.size} entries into columns")
        columns = array.reshape(-1, vocab_size)
    elif array.ndim == 2:
        columns = array.T
    else:
        raise ValueError(f"x has the shape {array.shape}; expected (|V|, T) or (|V| * T,)")
    ones = (columns == 1).sum(axis=1)
    length = int(np.argmax(ones == 0)) if (ones == 0).any() else len(ones)
    wrong = (columns != 0).sum(axis=1) != (np.arange(len(ones)) < length)
    if wrong.any():
        raise ValueError(f"column {int(np.argmax(wrong))} of x is not one-hot, or follows a zero column")
    return columns[:length].argmax(axis=1).astype(np.int32)


def _check_extent(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} = {value}; expected at least 1")
