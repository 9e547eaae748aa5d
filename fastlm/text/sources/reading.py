"""Reading: the choices by which a source becomes text, the same on every path."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from fastlm.text.sources.memory import half_of_memory

if TYPE_CHECKING:
    from fastlm.text.sources.extent import Extent

DOCUMENTS = ("file", "line", "blank-line")
FORMATS = ("auto", "text", "jsonl", "json", "csv", "tsv", "parquet", "arrow")
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_LONGEST_LINE = 1 << 28   # bytes; an assumption
NORMALIZED_UNITS = ("char", "piece")   # words and bytes are read as they are written


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError where the value of an argument is not one of its choices."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r}; expected one of {', '.join(map(repr, choices))}")


def log(sentence: str) -> None:
    """Note a sentence in the log "fastlm" at level INFO, which shows nothing unless the program asks for it."""
    import logging  # here, since few texts need it

    logging.getLogger("fastlm").info(sentence)


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    text_key: the column of tables (.jsonl, .csv, .parquet, data frames) that holds the texts; None where there is
    exactly one column of text. format: "auto", by the name and the first bytes of a file, or one of `FORMATS` for all
    files. encoding: of files of text; None for UTF-8. errors: what is done with bytes that are not of the encoding, as
    `bytes.decode` takes it: "strict" refuses them, "replace" reads U+FFFD, "ignore" leaves them out; with "ignore" rows
    without a text are left out, too, and counted. normalize: the Unicode normalisation form "NFC", "NFD", "NFKC",
    "NFKD", None for text as it is written, or "auto": NFC for characters and pieces, None for words and bytes. say:
    called with a sentence about what was guessed or left out. extent: how much is read; None for all. memory: how many
    bytes of memory one text, or all that is kept of what is read, may take, a line an eighth of them, up to 256 MiB;
    None for half of what there is.

    Raises ValueError or TypeError, in one sentence, for choices that do not exist.

        >>> Reading(normalize="auto").form("char"), Reading(normalize="none").form("char")
        ('NFC', None)
    """

    text_key: str | None = None
    format: str = "auto"
    encoding: str | None = None
    errors: str = "strict"
    normalize: str | None = "auto"
    say: Callable[[str], None] = log
    extent: Extent | None = None
    memory: int | None = None
    _said: set[str] = field(default_factory=set, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choice("format", self.format, FORMATS)
        if self.normalize is not None:
            check_choice("normalize", self.normalize, ("auto", "none", *FORMS))
        if self.text_key is not None and not isinstance(self.text_key, str):
            raise TypeError(f"text_key is a {type(self.text_key).__name__}; expected the name of a column")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.memory is not None and (not isinstance(self.memory, int) or self.memory < 1):
            raise ValueError(f"memory = {self.memory!r}; expected a number of bytes from 1 on, or None")
        try:
            codecs.lookup_error(self.errors)
        except (LookupError, TypeError):
            raise ValueError(f"errors = {self.errors!r}; expected 'strict', 'replace', 'ignore' or another handler of "
                             "decoding errors") from None

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """Return the reading of keyword arguments, of which `reading` may be a whole one and the others change it."""
        unknown = options.keys() - {"reading", "text_key", "format", "encoding", "errors", "normalize", "extent",
                                    "memory"}
        if unknown:
            raise TypeError(f"{min(unknown)!r} is no option of reading; expected text_key, format, encoding, errors, "
                            "normalize or memory")
        base = options.pop("reading", None)
        if base is None:
            return cls(**options)
        return base.but(**options)

    def but(self, **changes: Any) -> Self:
        """Return a reading with some choices changed."""
        kept = {name: getattr(self, name) for name in ("text_key", "format", "encoding", "errors", "normalize", "say",
                                                       "extent", "memory")}
        return type(self)(**{**kept, **changes})

    @property
    def longest_line(self) -> int:
        """How many bytes a line may have, or a word: longer ones come of a file that has no lines, or of a bomb."""
        return min(_LONGEST_LINE, self.most_memory // 8)

    @property
    def most_memory(self) -> int:
        """How many bytes of memory a text may take."""
        return half_of_memory() if self.memory is None else self.memory

    def form(self, unit: str) -> str | None:
        """Return the normalisation form of texts of a unit, None for texts as they are written."""
        if self.normalize == "auto":
            return "NFC" if unit in NORMALIZED_UNITS else None
        return None if self.normalize == "none" else self.normalize

    @property
    def is_utf8(self) -> bool:
        """Whether files are UTF-8 without a fault."""
        return self.errors == "strict" and (self.encoding is None
                                            or codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig"))

    def note(self, name: str, sentence: str) -> None:
        """Say a sentence about a source of a name; once, however many files of a folder it is true of."""
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(f"{name}{sentence}")


def check_encoding(name: str) -> None:
    """Raise ValueError where a name is not that of an encoding of text."""
    try:
        known = codecs.lookup(name)._is_text_encoding   # as str.encode asks; "rot13" and "zip" are none
    except (LookupError, TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(f"encoding = {name!r}; expected the name of an encoding, such as 'utf-8', 'utf-16' or "
                         "'cp1252'")
