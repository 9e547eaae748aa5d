"""Token ids as NumPy arrays, and the (prefix, target) pairs of a document."""

from collections.abc import Iterator, Sequence

import numpy as np

Ids = Sequence[int] | np.ndarray

_LARGEST = 2**31 - 1


def integers(ids: Ids, name: str = "ids") -> np.ndarray:
    """Return the ids as a one-dimensional integer array: an array as it is, a list as int64.

    Raises TypeError where they are not integers, ValueError where they are not one-dimensional.
    """
    array = np.asarray(ids)
    if array.size == 0 and not isinstance(ids, np.ndarray) and array.ndim == 1:
        array = np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} are {_kind(ids, array)}; expected integers")
    if array.ndim != 1:
        raise ValueError(f"{name} have the shape {array.shape}; expected one dimension")
    return array


def as_ids(ids: Ids, vocab_size: int | None = None, name: str = "ids") -> np.ndarray:
    """Return the ids as an int32 array (N,), not copied where they are one already.

    With a `vocab_size` every id must lie below it. Raises TypeError and ValueError as `integers` does, and
    IndexError for an id out of range: `ids[17] = 70 is outside the vocabulary of 65`.
    """
    array = integers(ids, name)
    end = _LARGEST + 1 if vocab_size is None else vocab_size
    if array.size and (int(array.min()) < 0 or int(array.max()) >= end):
        n = int(np.flatnonzero((array < 0) | (array > end - 1))[0])
        bounds = f"the range 0 to {_LARGEST}" if vocab_size is None else f"the vocabulary of {vocab_size}"
        raise IndexError(f"{name}[{n}] = {array[n]} is outside {bounds}")
    return np.ascontiguousarray(array, np.int32)


def pairs(ids: Ids) -> Iterator[tuple[np.ndarray, int]]:
    """Yield every (prefix, target) pair of a document: `ids[:j]` and `ids[j]` for j = 1 .. N-1.

    The prefixes are views on `ids` (N,), of its integer dtype; nothing is copied. Fewer than two ids make no
    pair.
    Raises TypeError where the ids are not integers, ValueError where they are not one-dimensional.

        >>> [(prefix.tolist(), target) for prefix, target in pairs([25, 7, 100])]
        [([25], 7), ([25, 7], 100)]
    """
    array = integers(ids)
    return ((array[:j], int(array[j])) for j in range(1, len(array)))


def _kind(ids: object, array: np.ndarray) -> str:
    return f"a {type(ids).__name__}" if array.ndim == 0 else f"of the type {array.dtype}"
