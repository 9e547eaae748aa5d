"""A vocabulary that lies in a file and was checked before: what of it is used is made when it is first used."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np

from fastlm._core import WordTable
from fastlm.text.scan import Scanner, word_scanner
from fastlm.text.tokenizers.origin import Origin
from fastlm.text.tokens import NEWLINE, RAW_UNITS, UNKNOWN
from fastlm.text.vocabulary import Vocabulary

_MADE_TOGETHER = ("tokens", "_ids", "_pieces")   # what the constructor of a vocabulary makes of its arrays


class MappedVocabulary(Vocabulary):
    """The vocabulary whose `tensors` these are. Python's strings and dictionaries of all tokens take a hundred bytes
    each; they are made once something asks for them, and encoding words does not.

    tensors: as `Vocabulary.tensors` returns them, whose vocabulary was checked before, by `Vocabulary.restore`. unit,
    normalize: as there.

    >>> small = MappedVocabulary(Vocabulary(["a", "\\n", "<unk>"]).tensors(), "word")
    >>> small.encode("a b").tolist(), small.unknown, small.name(0)
    ([0, 2], 2, 'a')
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], unit: str, normalize: str | None = None) -> None:
        self.unit, self.normalize = unit, normalize
        self._blob, self._offsets, self.counts = tensors["tokens"], tensors["offsets"], tensors["counts"].view()
        self.counts.setflags(write=False)
        self.merges, self.origin = tensors.get("merges"), Origin.restore(tensors)
        self.tokenizer_ids = None if self.origin is None else self.origin.own_ids
        end = tensors.get("end_of_document")
        self.end_of_document = None if end is None else int(end[0])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getattr__(self, name: str) -> Any:
        """Make what is not there yet. Threads that ask at once make the same, and keep one."""
        if name in _MADE_TOGETHER:
            whole = Vocabulary.restore(self.tensors(), self.unit, self.normalize)
            for made in _MADE_TOGETHER:
                vars(self).setdefault(made, vars(whole)[made])
        elif name == "unknown":
            named = None if self.unit in RAW_UNITS else self._find(UNKNOWN)
            self.unknown = named if self.origin is None else self.origin.unknown
        elif name == "end_of_line":
            self.end_of_line = self._find(NEWLINE)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return vars(self)[name]

    def _find(self, token: str) -> int | None:
        """Return the id of a token, None where there is none, without a dictionary of all tokens."""
        wanted = np.frombuffer(token.encode(), np.uint8)
        ids = np.flatnonzero(np.diff(self._offsets) == len(wanted))
        if self.end_of_document is not None:
            ids = ids[ids != self.end_of_document]
        same = (self._blob[self._offsets[ids][:, None] + np.arange(len(wanted))] == wanted).all(axis=1)
        return int(ids[same][0]) if same.any() else None

    def to_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        return self._blob, self._offsets, self.counts, self.unit

    def name(self, id: int) -> str | None:
        if "tokens" in vars(self):
            return self.tokens[id]
        text = self._blob[self._offsets[id]: self._offsets[id + 1]].tobytes()
        return text.decode("utf-8", "strict" if self.unit in ("word", "char") else "surrogateescape") or None

    @cached_property
    def tabs_inside(self) -> bool:
        return self.unit == "word" and any((self._blob == ord(tab)).any() for tab in "\v\f")

    @cached_property
    def scan(self) -> Scanner:
        if self.unit != "word" or self.end_of_document is not None:
            return super().scan
        newline = -1 if self.end_of_line is None else self.end_of_line
        return word_scanner(WordTable(self._blob, self._offsets).find, newline)

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary.restore, (self.tensors(), self.unit, self.normalize)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self   # which never changes
