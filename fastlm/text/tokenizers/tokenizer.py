"""The tokenizer of a vocabulary: an object that a user brought, or what a model file keeps of it."""

import re
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from fastlm.text.scan import IdBuffer, Scanner
from fastlm.text.tokenizers.packages import PACKAGES, Own, Package

Array = np.ndarray
MOST_IDS = 1 << 24      # of a tokenizer, fifty times the most there are; each takes memory, whether texts use it or not
MOST_BYTES = 1 << 26    # that a model file keeps of a tokenizer: several times the largest one there is
TOGETHER = 1 << 22      # characters that are handed over at a time, since tokenizers take some 100 bytes for each token


class Tokenizer:
    """A tokenizer with the ids that it has itself. It is rebuilt from what the file keeps when it first reads a text,
    by the package it is of; nobody else ever looks at that.

    kind: "tokenizers", "sentencepiece", "tiktoken" or "own"; kept: the bytes of the file; package: the interface of the
    object, None where it is still to be rebuilt. Raises ValueError for a kind that there is not, or too many bytes.
    """

    def __init__(self, kind: str, kept: bytes, package: Package | None = None) -> None:
        kinds = [known.name for known in PACKAGES] + [Own.name]
        if kind not in kinds:
            raise ValueError(f"the tokenizer is one of {kind!r}; one of {', '.join(kinds)} was expected")
        if len(kept) > MOST_BYTES:
            raise ValueError(f"the tokenizer takes {len(kept)} bytes; {MOST_BYTES} at most were expected")
        self.kind, self.kept, self._package = kind, kept, package

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return the tokenizer of an object. Raises TypeError for one without `encode` and `decode`."""
        for known in (*PACKAGES, Own):
            package = known.of(given)
            if package is not None:
                return cls(package.name, package.kept(), package)
        raise TypeError(f"unit is a {type(given).__name__}; the name of a unit, the path of a tokenizer.json or "
                        "of a .model of sentencepiece, or a tokenizer with encode and decode was expected")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and (self.kind, self.kept) == (other.kind, other.kept)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self.kind, self.kept, self._package if self.kind == Own.name else None)

    @property
    def package(self) -> Package:
        """The interface of the object. Raises ValueError, in one sentence, where there is no object, its package is not
        installed, or refuses what the file keeps."""
        if self._package is None:
            self._package = self._rebuilt()
        return self._package

    def _rebuilt(self) -> Package:
        if self.kind == Own.name:
            raise ValueError("the tokenizer of this model is code that its file does not keep; give it to "
                             "fastlm.load(path, tokenizer=...), or read and predict ids")
        known = next(known for known in PACKAGES if known.name == self.kind)
        try:
            return known.rebuilt(self.kept)
        except ImportError:
            raise ValueError(f'the texts of this model are read by {self.kind}: pip install "fastlm[{self.kind}]"'
                             ) from None
        except Exception as error:
            raise ValueError(f"{self.kind} {_version(self.kind)} refuses the tokenizer of this model: {error}"
                             ) from error

    def ids(self, text: str, together: int = TOGETHER) -> Array:
        """Return the tokenizer's own ids of a text, int64 (n,). Raises TypeError or ValueError where it gives others.

        A long text is handed over in parts, which end where a line does, of `together` characters and the rest of a
        line.
        """
        return np.concatenate([np.zeros(0, np.int64), *map(self._ids, parts(text, together))])

    def _ids(self, text: str) -> Array:
        found = np.asarray(self.package.encode(text))
        if not found.size:
            return np.zeros(0, np.int64)
        if found.dtype.kind not in "iu" or found.ndim != 1:
            raise TypeError(f"the tokenizer's encode returned {found.dtype} {found.shape}; one row of integers was "
                            "expected")
        if found.min() < 0 or found.max() >= MOST_IDS:
            raise ValueError(f"the tokenizer's encode returned ids from {found.min()} to {found.max()}; 0 to "
                             f"{MOST_IDS - 1} were expected")
        return found.astype(np.int64)

    def decode(self, ids: Array) -> str:
        """Return the text of the tokenizer's own ids (n,)."""
        return self.package.decode(ids.tolist())

    def scanner(self, own_ids: Array | None = None, unknown: int | None = None) -> Scanner:
        """Return a scanner of the tokenizer's own ids; or of the places they have in own_ids (V,), -1 for that at
        `unknown`. Raises ValueError for an id that is not there."""
        order = np.zeros(0, np.int64) if own_ids is None else np.argsort(own_ids, kind="stable")

        def scan(text: bytes, buffer: IdBuffer) -> None:
            own = self.ids(text.decode())
            if own_ids is None or not len(own):
                buffer.append(own)
                return
            found = order[np.minimum(np.searchsorted(own_ids, own, sorter=order), len(order) - 1)]
            other = np.flatnonzero(own_ids[found] != own)
            if len(other):
                raise ValueError(f"the tokenizer gives the id {own[other[0]]}, which it did not have when the model "
                                 "was trained")
            if unknown is not None:
                found[found == unknown] = -1
            buffer.append(found)

        return scan


def parts(text: str, together: int = TOGETHER) -> Iterator[str]:
    """Yield parts of a text of so many characters, each with the rest of its last line and the blank ones after it.

    >>> list(parts("The cat\\n\\n sat\\non the\\nmat", 6))
    ['The cat\\n\\n sat\\n', 'on the\\n', 'mat']
    """
    cut = re.compile(rf"(?s).{{{together}}}.*?\n(?=[^\s])|.+")   # the last one is kept by `re`
    return (match[0] for match in cut.finditer(text))


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # here, since it costs `import fastlm` 15 ms

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
