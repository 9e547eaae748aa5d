"""Parts of a text turned into ids, and where its documents end in these."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlm.text.scan import IdBuffer, Scanner
from fastlm.text.sources.documents import Part, read_parts
from fastlm.text.sources.memory import check_memory
from fastlm.text.sources.reading import Reading
from fastlm.text.tokens import TOKENIZER

Array = np.ndarray
# Is called with what was scanned: its name and text, the ids (n,) as they were scanned, where documents end in the text
# (D,), None for one document or a part of one, and whether the last document ends with the text.
Watch = Callable[[str, bytes, Array, Array | None, bool], None]
_NEWLINE = ord("\n")
_PER_ID = 4          # bytes of memory
_PER_DOCUMENT = 16   # bytes of memory, for where it ends and how long it is


class Opened:
    """A source that is being read already: an iterator of its parts, as `read_parts` returns it."""

    def __init__(self, parts: Iterator[Part]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Part]:
        return self._parts


def parts_of(source: Any, documents: str, unit: str, reading: Reading) -> Iterator[Part]:
    """Yield the parts of a source, as `read_parts` does, or of one that is open already."""
    if isinstance(source, Opened):
        return iter(source)
    return read_parts(source, documents, unit, reading=reading)


class Filler:
    """Scans parts of a text, of the kind that `documents` names, into a buffer of ids.

    memory: how many bytes the buffer and what is kept beside it may take; `add` raises ValueError beyond.

    Every document that is not empty ends a line, the last line of the text included: with the id `newline` in words
    (unless that is None), with the character in other units where documents are not files. The id `end`, where there is
    one, follows.

    ``buffer``: the ids; ``ends`` (D+1,): where documents end in it, after a 0; ``sizes`` (D,): their UTF-8 bytes;
    ``open``: whether the last document has not ended; ``beside``: bytes that others keep of the text.
    """

    def __init__(self, unit: str, documents: str, scan: Scanner, newline: int | None, end: int | None = None,
                 watch: Watch | None = None, memory: float = float("inf")) -> None:
        self._unit, self._of_files, self._scan, self._newline, self._end = unit, documents == "file", scan, newline, end
        self._watch, self._memory, self.beside = watch, memory, 0
        self.buffer = IdBuffer()
        self.ends, self.sizes, self.open = array("q", [0]), array("q"), False
        self._ends_line = self._some = self._unended = False   # of the open document: its last id, its text, its end

    def add(self, part: Part) -> None:
        """Scan one part."""
        self._scan_part(part)
        if self.held > self._memory:
            check_memory(self.held, int(self._memory), part.name, "tokens", "a shorter text")

    @property
    def held(self) -> int:
        """How many bytes of memory what was scanned takes."""
        return _PER_ID * self.buffer.size + _PER_DOCUMENT * len(self.sizes) + self.beside

    def _scan_part(self, part: Part) -> None:
        if part.names:
            self._add_short(part)
        elif not part.lines:
            self._add_document(part.name, part.text, part.ends)
        elif self._newline is None or self._unit in ("piece", TOKENIZER) or self._end is not None:
            for line in io.BytesIO(part.text):
                self._add_document(part.name, line, True)
        elif part.text:
            begin, text = self.buffer.size, part.text
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE) + 1
            if not text.endswith(b"\n"):
                ends = np.append(ends, len(text))
            self._scan(text if text.endswith(b"\n") else text + b"\n", self.buffer)
            self.ends.frombytes((np.flatnonzero(self.buffer.ids[begin:] == self._newline) + begin + 1).tobytes())
            self.sizes.frombytes(np.diff(ends, prepend=0).tobytes())
            self._tell(part.name, text, begin, ends, True)

    def _add_short(self, part: Part) -> None:
        """Scan words of several documents of one line each; the end of a line that lacks is added."""
        begin, ends = self.buffer.size, np.cumsum(part.sizes)
        codes = np.frombuffer(part.text, np.uint8)
        if self._newline is None or self._end is not None:
            for name, first, last in zip(part.names, [0, *ends.tolist()], ends.tolist(), strict=False):
                self._add_document(name, part.text[first:last], True)
            return
        lacks = codes[ends - 1] != _NEWLINE
        self._scan(np.insert(codes, ends[lacks], _NEWLINE).tobytes() if lacks.any() else part.text, self.buffer)
        places = np.flatnonzero(self.buffer.ids[begin:] == self._newline) + begin + 1
        self.ends.frombytes(places.tobytes())
        self.sizes.frombytes(np.array(part.sizes, np.int64).tobytes())
        try:
            self._tell(part.name, part.text, begin, ends, True)
        except (ValueError, IndexError):   # a token that is missing in one of them, whose name is to be said
            edges = zip(part.names, [0, *ends.tolist()], ends.tolist(), [begin, *places.tolist()], places.tolist(),
                        strict=False)
            for name, first, last, since, until in edges:
                if self._watch is not None:
                    self._watch(name, part.text[first:last], self.buffer.ids[since:until], None, True)
            raise

    def close(self) -> None:
        """End the document that is open, because the rest of it is not read."""
        if self.open:
            self._add_document("", b"", True)

    def _add_document(self, name: str, text: bytes, ends: bool) -> None:
        begin = self.buffer.size
        if not self.open:
            self._some = self._ends_line = self._unended = False
            self.sizes.append(0)
            self.ends.append(begin)
        if text:
            self._some, self._unended = True, not text.endswith(b"\n")
        self.sizes[-1] += len(text)
        ends_line = ends and not self._of_files and self._unit != "word" and (self._unended or not self._some)
        self._scan(text + b"\n" if ends_line else text, self.buffer)
        if self.buffer.size > begin:
            self._ends_line = self.buffer.ids[-1] == self._newline
        if ends and self._unit == "word" and self._newline is not None and self._unended and not self._ends_line:
            self.buffer.append(np.array([self._newline]))
        self._tell(name, text, begin, None, ends)
        if ends and self._some and self._end is not None:
            self.buffer.append(np.array([self._end]))
        self.open = not ends
        self.ends[-1] = self.buffer.size

    def _tell(self, name: str, text: bytes, begin: int, ends: Array | None, ended: bool) -> None:
        if self._watch is not None:
            self._watch(name, text, self.buffer.ids[begin:], ends, ended)

    def clear(self) -> None:
        """Empty the buffer; a document that is open goes on at its beginning."""
        self.buffer.size, self.ends, self.sizes = 0, array("q", [0]), array("q")
        if self.open:
            self.ends.append(0)
            self.sizes.append(0)
