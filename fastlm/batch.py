"""Batches of sequences, packed time step after time step, and the prefix states that are carried between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


class Batch:
    """The tokens of S sequences, packed: step t holds the t-th token of every sequence that is longer than t.

    ``ids`` (N,) int32: the tokens; ``size`` (T,) uintp: how many sequences each step holds, in falling order;
    ``starts`` (N,) uint8 or None: 1 at rows before which a new document begins; ``order`` (S,) or None: lane s, the
    s-th token of every step, is the caller's sequence ``order[s]``, longest first; ``sequences``: S.

    >>> batch = Batch.of([[5, 6], [7, 8, 9]])
    >>> batch.ids.tolist(), batch.size.tolist()
    ([7, 5, 8, 6, 9], [2, 2, 1])
    """

    __slots__ = ("ids", "offset", "order", "sequences", "size", "starts")

    def __init__(self, ids: Array, size: Array, sequences: int, starts: Array | None = None,
                 order: Array | None = None) -> None:
        self.ids = ids
        self.size = size
        self.sequences = sequences
        self.starts = starts
        self.order = order
        self.offset = np.zeros(len(size) + 1, np.int64)
        np.cumsum(size, out=self.offset[1:])

    @classmethod
    def of(cls, sequences: Sequence[Array | Sequence[int]]) -> Batch:
        """Pack sequences of ids of any lengths, 0 included. ``unpack`` gives rows back in the caller's order.

        Raises TypeError for ids that are not whole numbers.
        """
        arrays = [_as_ids(sequence).reshape(-1) for sequence in sequences]
        lengths = np.array([len(array) for array in arrays], np.int64)
        order = np.argsort(-lengths, kind="stable")
        steps = int(lengths.max(initial=0))
        # lengths fall from lane to lane, so the lanes that have a token at step t are the first size[t]
        size = _falling(lengths[order], steps).astype(np.uintp)
        batch = cls(np.empty(int(lengths.sum()), np.int32), size, len(arrays), None, order)
        for lane, index in enumerate(order):
            batch.ids[batch.offset[: lengths[index]] + lane] = arrays[index]
        return batch

    @classmethod
    def rectangle(cls, ids: Array, starts: Array | None = None) -> Batch:
        """Make a batch of S sequences of T tokens each, from ids (T, S) and starts (T, S) uint8 or None."""
        steps, sequences = ids.shape
        flags = None if starts is None or not starts.any() else np.ascontiguousarray(starts, np.uint8).reshape(-1)
        rows, size = np.ascontiguousarray(ids, np.int32).reshape(-1), np.full(steps, sequences, np.uintp)
        return cls(rows, size, sequences, flags)

    @classmethod
    def one(cls, ids: Array) -> Batch:
        """Make a batch of one sequence of ids (N,) int32, which are not copied. Row n is its n-th token."""
        return cls(ids, np.ones(len(ids), np.uintp), 1)

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> Array:
        """Count the tokens of each lane (S,) int64, longest first; 0 for an empty sequence."""
        return _falling(self.size.astype(np.int64), self.sequences)

    def steps(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of every time step and one past its last row."""
        return itertools.pairwise(self.offset.tolist())

    def to_packed(self, values: Array) -> Array:
        """Return a copy of per-sequence values (S, ...), reordered from the caller's order to that of the lanes."""
        return values.copy() if self.order is None else np.ascontiguousarray(values[self.order])

    def from_packed(self, values: Array) -> Array:
        """Return per-lane values (S, ...) in the caller's order."""
        if self.order is None:
            return values
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def last_rows(self) -> Array:
        """Return the row of each lane's last token (S,) int64, -1 for an empty lane."""
        lengths = self.lengths()
        rows = np.full(self.sequences, -1, np.int64)
        live = lengths > 0
        rows[live] = self.offset[lengths[live] - 1] + np.flatnonzero(live)
        return rows

    def unpack(self, rows: Array) -> list[Array]:
        """Split per-row values (N, ...) into one array for each sequence, in the caller's order."""
        lengths = self.lengths()
        parts: list[Array] = [rows[:0]] * self.sequences
        for lane in range(self.sequences):
            index = lane if self.order is None else int(self.order[lane])
            parts[index] = rows[self.offset[: lengths[lane]] + lane]
        return parts


def _falling(values: Array, count: int) -> Array:
    """Return how many of the values (n,), in falling order, are above 0, 1, ... count - 1: (count,) int64."""
    return np.searchsorted(-values, -np.arange(count), side="left")


def _as_ids(sequence: Array | Sequence[int]) -> Array:
    array = np.asarray(sequence)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"ids of dtype {array.dtype} were given; whole numbers were expected")
    return array.astype(np.int32, copy=False)


class Rows:
    """Rows of several arrays together: row n of each belongs to prefix n, as the rows of a mixture's parts.

    ``parts``: arrays or Variables of N rows each, Rows of them, or None for a part that is not needed. The length, a
    slice and a copy work as those of a NumPy array, since heads need them.

    >>> rows = Rows(np.arange(3), np.ones((3, 2)))
    >>> len(rows), rows[-1:].parts[0].tolist()
    (3, [2])
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    @property
    def value(self) -> Rows:
        """The same rows as plain arrays, as ``value`` of a Variable is a plain array."""
        return Rows(*(part if part is None or isinstance(part, np.ndarray) else part.value for part in self.parts))

    def __len__(self) -> int:
        first = next(part for part in self.parts if part is not None)
        return len(first if isinstance(first, np.ndarray | Rows) else first.value)

    def __getitem__(self, index: slice) -> Rows:
        return Rows(*(part if part is None else part[index] for part in self.parts))

    def copy(self) -> Rows:
        """Return rows that share no memory with these."""
        return Rows(*(part if part is None else part.copy() for part in self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and len(self.parts) == len(other.parts) and all(
            equal_rows(*pair) for pair in zip(self.parts, other.parts, strict=True))

    __hash__ = None  # type: ignore[assignment]


def equal_rows(left: Any, right: Any) -> bool:
    """Return whether two arrays of rows, or Rows, hold the same numbers."""
    return left == right if isinstance(left, Rows) else bool(np.array_equal(left, right))


class State:
    """The state of a model after the prefixes read so far: named arrays with one row for each of S sequences.

    A state is plain data that can be copied, compared and pickled. A model never changes a state that it is given. An
    array whose name begins with ``past`` grows with its sequences: its second axis is as long as the longest of them,
    and it holds zeros beyond the end of the others. The array ``length`` (S,) beside it holds their lengths. `select`
    and `stack` keep this so.
    """

    __slots__ = ("arrays", "sequences")

    def __init__(self, sequences: int, **arrays: Array) -> None:
        self.sequences = sequences
        self.arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __len__(self) -> int:
        return self.sequences

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, State) and self.sequences == other.sequences
                and self.arrays.keys() == other.arrays.keys()
                and all(np.array_equal(array, other.arrays[name]) for name, array in self.arrays.items()))

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> State:
        """Return a state that shares no memory with this one."""
        return State(self.sequences, **{name: array.copy() for name, array in self.arrays.items()})

    def select(self, indices: Array | Sequence[int]) -> State:
        """Return the states of some sequences, in the order of `indices`, which may repeat."""
        index = np.asarray(indices, np.int64)
        return State(len(index), **{name: array[:, :self._longest(name, index)][index] if _grows(name) else array[index]
                                    for name, array in self.arrays.items()})

    def _longest(self, name: str, index: Array) -> int:
        """Return the longest of some sequences in a growing array. The name of an array of a mixture's part, and of the
        lengths that belong to it, begins with the name of the part."""
        return int(self.arrays[name[:name.rindex("past")] + "length"][index].max(initial=0))

    @staticmethod
    def stack(states: Sequence[State]) -> State:
        """Return one state with the sequences of several states, one after another."""
        out = State(sum(map(len, states)))
        for name, first in states[0].arrays.items():
            arrays = [state.arrays[name] for state in states]
            if _grows(name):
                longest = max(array.shape[1] for array in arrays)
                arrays = [np.concatenate([array, np.zeros((len(array), longest - array.shape[1], *first.shape[2:]),
                                                          first.dtype)], axis=1) for array in arrays]
            out.arrays[name] = np.concatenate(arrays)
        return out


def _grows(name: str) -> bool:
    return name.rpartition("/")[2].startswith("past")
