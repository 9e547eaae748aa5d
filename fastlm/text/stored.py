"""Arrays of ids that lie in a temporary file where they are so long that memory has no room for several of them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Array = np.ndarray
IN_MEMORY = 1 << 26    # ids: of longer arrays, of 256 MB and more, the few that a text is made of would not fit
PART = 1 << 20         # ids that are looked at together, so that temporaries of 8 bytes an id do not matter


def id_array(n: int) -> Array:
    """Return an array (n,) int32, whose values are not set: in memory, or where it is longer than IN_MEMORY in a file
    without a name of its own, in the folder for temporary files, which the system removes however the process ends.

    Raises OSError where there is no room for the file.
    """
    return np.empty(n, np.int32) if n <= IN_MEMORY else StoredIds().room(n)


class StoredIds:
    """A growing array of ids in a temporary file, which is there as long as an array of it is."""

    def __init__(self) -> None:
        import tempfile  # here, since it costs `import fastlm` 8 ms

        self._file = tempfile.TemporaryFile(buffering=0)   # noqa: SIM115 (it is closed below)

    def __del__(self) -> None:
        self._file.close()

    def room(self, n: int) -> Array:
        """Return an array (n,) int32 of what was written so far, and room for more; n never falls."""
        with temporary_room(4 * n):
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, 4 * n)   # else a full disk would end the process later
            else:
                self._file.truncate(4 * n)
        return np.frombuffer(mmap.mmap(self._file.fileno(), 4 * n), np.int32)


@contextmanager
def temporary_room(size: int) -> Iterator[None]:
    """Let OSError, inside, say that so many bytes found no room in the folder for temporary files."""
    try:
        yield
    except OSError as error:
        import tempfile

        raise OSError(error.errno, f"{error.strerror}: {size:,} bytes were to be written in the folder for temporary "
                                   f"files, {tempfile.gettempdir()}; TMPDIR names another") from error


def released(array: Array) -> Array:
    """Return the array, of which no page stays in memory where it lies in a file; the system may keep them for others
    to use."""
    owner: Any = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
    return array


def parts(ids: Array, size: int | None = None) -> Iterator[tuple[int, Array]]:
    """Yield (position, view) of parts of ids (n,), of PART or so many ids each; those that were passed take no memory
    where they lie in a file.

    >>> [(begin, part.tolist()) for begin, part in parts(np.arange(5, dtype=np.int32), 3)]
    [(0, [0, 1, 2]), (3, [3, 4])]
    """
    size = size or PART
    for begin in range(0, len(ids), size):
        yield begin, ids[begin: begin + size]
        released(ids)


def inserted(ids: Array, at: Array, id: int) -> Array:
    """Return ids (n,) with an id before the places `at` (k,) int64, which rise, as np.insert does.

    >>> inserted(np.array([5, 6, 7], np.int32), np.array([1, 3]), 9).tolist()
    [5, 9, 6, 7, 9]
    """
    out, written = id_array(len(ids) + len(at)), 0
    for begin, part in parts(ids):
        first, last = np.searchsorted(at, [begin, begin + len(part)])
        longer = np.insert(part, at[first:last] - begin, np.int32(id))
        out[written: written + len(longer)] = longer
        written += len(longer)
        released(out)
    out[written:] = id
    return out


def selected(ids: Array, mask: Array) -> Array:
    """Return the ids (n,) that are marked in mask (n,) bool, copied."""
    out, written = id_array(int(np.count_nonzero(mask))), 0
    for begin, part in parts(ids):
        chosen = part[mask[begin: begin + len(part)]]
        out[written: written + len(chosen)] = chosen
        written += len(chosen)
        released(out)
    return out


def occurrences(ids: Array, size: int) -> Array:
    """Return how often each id from 0 to size - 1 is among ids (n,): int64 (size,).

    >>> occurrences(np.array([1, 2, 1], np.int32), 4).tolist()
    [0, 2, 1, 0]
    """
    return sum((np.bincount(part, minlength=size) for _, part in parts(ids)), np.zeros(size, np.int64))


def preceding(ids: Array) -> Array:
    """Return the id before each of ids (n,); what the first is preceded by is not set.

    >>> preceding(np.array([5, 6, 7], np.int32))[1:].tolist()
    [5, 6]
    """
    return _moved(ids[:-1], 1, len(ids))


def following(ids: Array) -> Array:
    """Return the id after each of ids (n,); what the last is followed by is not set.

    >>> following(np.array([5, 6, 7], np.int32))[:-1].tolist()
    [6, 7]
    """
    return _moved(ids[1:], 0, len(ids))


def _moved(ids: Array, to: int, n: int) -> Array:
    """Return an array (n,) with ids at a place of it."""
    out = id_array(n)
    for begin, part in parts(ids):
        out[begin + to: begin + to + len(part)] = part
        released(out)
    return out
