"""Text to ids at full speed: a growing array of ids, and one scanner for each unit."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from fastlm.text import stored

PIECE = 1 << 20
_MANY_IDS = 1 << 22    # from so many on a buffer grows by an eighth and no longer by half
IN_CACHE = 1 << 15     # bytes of which the code points stay in the fastest cache

Walk = Callable[..., tuple[int, int]]
Scanner = Callable[[bytes, "IdBuffer"], None]


class IdBuffer:
    """A growing int32 array: 4 bytes an id, 4.5 of many, and of very many in a temporary file."""

    def __init__(self, capacity: int = 1024) -> None:
        self._array = np.empty(capacity, np.int32)
        self._stored: stored.StoredIds | None = None
        self.size = 0

    @property
    def ids(self) -> np.ndarray:
        """The ids written so far, a view that is valid until the next one is written."""
        return self._array[: self.size]

    def room(self, least: int = 1) -> np.ndarray:
        """Return the free part, at least `least` ids long; the writer adds the number of ids it wrote to `size`."""
        if self.size + least > len(self._array):
            more = self.size // (2 if self.size < _MANY_IDS else 8)
            self._grow(self.size + max(least, more))
        return self._array[self.size :]

    def _grow(self, size: int) -> None:
        if size <= stored.IN_MEMORY:
            # In place: the system moves the pages of a long array to another address, and copies nothing.
            self._array.resize(size, refcheck=False)
        elif self._stored is None:
            self._stored = stored.StoredIds()
            longer = self._stored.room(size)
            longer[: self.size] = self.ids
            self._array = longer
        else:
            self._array = self._stored.room(size)

    def append(self, ids: np.ndarray) -> None:
        """Append integer ids (n,)."""
        self.room(len(ids))[: len(ids)] = ids
        self.size += len(ids)

    def ends_in(self, id: int, start: int) -> bool:
        """Return whether any ids were written from `start` on, and this one last."""
        return self.size > start and self._array[self.size - 1] == id

    def finish(self) -> np.ndarray:
        """Return a copy of exactly the ids written."""
        return self.ids.copy()

    def take(self) -> np.ndarray:
        """Return the ids written, in memory of no more than they take, and forget them."""
        array, size, in_file = self._array, self.size, self._stored is not None
        self._array, self.size, self._stored = np.empty(0, np.int32), 0, None
        if in_file:
            return stored.released(array)[:size]
        array.resize(size, refcheck=False)   # in place: a long text has no memory to spare for a copy
        return array


def pieces(text: bytes, size: int = PIECE) -> Iterator[tuple[int, memoryview]]:
    """Yield (offset, part) of UTF-8 text in parts of about `size` bytes that end between characters."""
    view, start = memoryview(text), 0
    while start < len(text):
        end = min(start + size, len(text))
        for _ in range(3):
            if end < len(text) and text[end] & 0xC0 == 0x80:
                end -= 1
        yield start, view[start:end]
        start = end


def word_scanner(walk: Walk, newline: int) -> Scanner:
    """Return a scanner of words between ASCII whitespace.

    walk: `WordTable.learn` or `.find`; newline: the id of "\\n", -1 where it has none.
    """

    def scan(text: bytes, buffer: IdBuffer) -> None:
        position = 0
        while True:
            position, written = walk(text, position, buffer.room(), newline)
            buffer.size += written
            if position == len(text):
                return

    return scan


def char_lookup(ids: Mapping[int, int]) -> np.ndarray:
    """Return the lookup that `char_scanner` takes of the ids of code points: -1 for others, and as its last entry."""
    lookup = np.full(max(ids, default=-1) + 2, -1, np.int32)
    lookup[list(ids)] = list(ids.values())
    return lookup


def char_scanner(lookup: np.ndarray | None = None, at_once: int = IN_CACHE) -> Scanner:
    """Return a scanner of code points, or of their ids in a lookup, whose last entry is for all code points past its
    end; at_once: bytes that are decoded at a time."""

    def scan(text: bytes, buffer: IdBuffer) -> None:
        for _, piece in pieces(text, at_once):
            codes = np.frombuffer(str(piece, "utf-8").encode("utf-32-le"), np.dtype("<u4"))
            if lookup is None:
                buffer.append(codes)
            else:
                np.take(lookup, codes, mode="clip", out=buffer.room(len(codes))[: len(codes)])
                buffer.size += len(codes)

    return scan


def scan_bytes(text: bytes, buffer: IdBuffer) -> None:
    """Append the values of the bytes as ids."""
    buffer.append(np.frombuffer(text, np.uint8))
