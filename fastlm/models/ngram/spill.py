"""Bytes that do not fit in memory, in a temporary file that is gone whatever happens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import numpy as np

from fastlm.text.stored import temporary_room

Array = np.ndarray
Name = tuple[int, int]
_READ_TOGETHER = 1 << 18   # bytes: they take little memory, even where some hundred runs are read at once


class Spill:
    """Bytes by names, in a file without a name of its own, which the system removes however the process ends.

    It lies in the folder for temporary files, which the environment variable TMPDIR names. Any number of threads may
    write and read.

    >>> with Spill() as spill:
    ...     spill.append((0, 1), np.arange(3, dtype=np.uint8))
    ...     part, whole = spill.read((0, 1)).more(0)
    >>> part.tolist(), whole
    ([0, 1, 2], True)
    """

    def __init__(self) -> None:
        import tempfile  # here, since it costs `import fastlm` 8 ms

        self._file = tempfile.TemporaryFile(buffering=0)   # noqa: SIM115 (its own class is the context manager)
        self._lock = threading.Lock()
        self._parts: dict[Name, list[tuple[int, int]]] = {}
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def append(self, name: Name, data: Array) -> None:
        """Append bytes (n,) uint8 to those of a name. Raises OSError where there is no room for them."""
        left = memoryview(data)  # type: ignore[arg-type]
        with self._lock, temporary_room(len(data)):
            self._file.seek(self.size)
            while left:
                left = left[self._file.write(left):]
            self._parts.setdefault(name, []).append((self.size, len(data)))
            self.size += len(data)

    def read(self, name: Name) -> SpillReader:
        """Return a reader of the bytes of a name, from their beginning."""
        return SpillReader(self, list(self._parts.get(name, [])))

    def fill(self, out: Array, at: int) -> None:
        """Set out (n,) uint8 to the bytes that stand at a place in the file."""
        left = memoryview(out)  # type: ignore[arg-type]
        with self._lock:
            self._file.seek(at)
            while left:
                left = left[self._file.readinto(left):]


class SpillReader:
    """Reads the bytes of one name of a spill, part after part."""

    def __init__(self, spill: Spill, parts: list[tuple[int, int]]) -> None:
        self._spill, self._parts = spill, parts[::-1]
        self._data = np.empty(0, np.uint8)

    def more(self, left: int) -> tuple[Array, bool]:
        """Return the last `left` bytes of those returned before and the bytes after them (n,) uint8, and whether none
        follow."""
        at, size = self._parts.pop() if self._parts else (0, 0)
        if size > _READ_TOGETHER:
            self._parts.append((at + _READ_TOGETHER, size - _READ_TOGETHER))
            size = _READ_TOGETHER
        data = np.empty(left + size, np.uint8)
        data[:left] = self._data[len(self._data) - left:]
        self._spill.fill(data[left:], at)
        self._data = data
        return data, not self._parts
