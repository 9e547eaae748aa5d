"""Tables: which column holds the texts, and the texts of its rows."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from fastlm.text.sources.paths import is_name
from fastlm.text.sources.reading import Reading
from fastlm.text.sources.strings import a_kind, is_missing, shown, text_bytes

SAMPLE = 100             # rows by which the columns of text are found
SAMPLE_SIZE = 1 << 24    # characters of them: rows may be as long as a file
_MANY_COLUMNS = 20       # that a message names
_NUMBER_OR_DATE = re.compile(r"[\s\d.,:;%/+\-TZ]*")

MISSING = object()       # the value of a row that lacks the column


@dataclass(frozen=True)
class Fault:
    """The value of every column of a row that could not be read, with the sentence that says why."""

    sentence: str


class FaultyRow(dict[str, Any]):
    """A row without columns, since it could not be read."""

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.fault = Fault(sentence)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the fault in place of any column."""
        return self.fault


@dataclass(frozen=True)
class Table:
    """A table of any kind.

    name: for messages. sample: {column: its first values}. values: gives the values of a column, of all rows. row: how
    a message names row n, counted from 0. kind: the error that is raised where no column can be told to be the text.
    """

    name: str
    sample: Mapping[str, Sequence[Any]]
    values: Callable[[str], Iterator[Any]]
    row: Callable[[int], str] = "row {}".format
    kind: type[Exception] = ValueError


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, and its text as UTF-8; None where there is no text, and `fault` then says why."""

    name: str
    text: bytes | None
    fault: str = ""


class LineNames:
    """Names rows by the numbers of their lines: of the first rows, which are read ahead, and of the last one read."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last = 0

    def add(self, number: int) -> None:
        """Note the line of the next row."""
        if len(self._first) < SAMPLE:
            self._first.append(number)
        self._last = number

    def __call__(self, n: int) -> str:
        """Return the name of row n: one of the first ones, or the last."""
        return f"line {self._first[n] if n < len(self._first) else self._last}"


def from_rows(name: str, rows: Iterator[Mapping[str, Any]], row: Callable[[int], str] = "row {}".format,
              kind: type[Exception] = ValueError) -> Table:
    """Return a table of rows that are mappings of columns to values, read once."""
    head = sample_of(rows, lambda one: sum(len(value) for value in one.values() if isinstance(value, str | list)))
    columns = dict.fromkeys(key for one in head for key in one if isinstance(key, str)) or {"": None}
    sample = {key: [one[key] for one in head if key in one] for key in columns}

    def values(key: str) -> Iterator[Any]:
        return (one.get(key, MISSING) for one in chain(head, rows))
    return Table(name, sample, values, row, kind)


def sample_of(rows: Iterator[Any], size: Callable[[Any], int]) -> list[Any]:
    """Return the first rows, `SAMPLE` of them, or fewer that are so long together that they are enough; size: tells how
    long one is.

    >>> sample_of(iter(["a" * SAMPLE_SIZE, "b"]), len) == ["a" * SAMPLE_SIZE]
    True
    """
    head, total = list[Any](), 0
    while len(head) < SAMPLE and total < SAMPLE_SIZE and (row := next(rows, None)) is not None:
        head.append(row)
        total += size(row)
    return head


def text_column(table: Table, reading: Reading) -> str:
    """Return the column of a table that holds the texts: `text_key` or, where that is None, the only column of text.

    A column of text holds strings. Where several do, those count in which most strings have several words; numbers and
    dates never do. The choice is said. Raises an error of the table's kind that names the columns where there is no
    such column, or more than one.
    """
    names = _named(table.sample)
    if table.sample.keys() == {""}:   # rows that are strings, or no rows with columns
        return ""
    if reading.text_key is not None:
        if reading.text_key not in table.sample:
            raise table.kind(f"{table.name} has no column {shown(reading.text_key)}; it has {names}")
        return reading.text_key
    strings = [key for key, values in table.sample.items() if _are_strings(values)]
    texts = [key for key in strings if _have_words(table.sample[key])] if len(strings) > 1 else strings
    if len(texts) != 1:
        found = f"several of its columns hold text, {_named(texts)}" if texts else (
            "none of its columns holds text" if not strings else "several of its columns hold strings, and none text")
        raise table.kind(f"{table.name} has the columns {names}; {found}, so text_key= (--text-key) was expected to "
                         "name one")
    if len(table.sample) > 1:
        reading.note(table.name, f": the column {shown(texts[0])} of {names} is read; text_key= (--text-key) names "
                     "another")
    return texts[0]


def rows_of(table: Table, reading: Reading, unit: str) -> Iterator[Row]:
    """Yield the rows of a table's text column, in their order."""
    key = text_column(table, reading)
    given = [value for value in table.sample[key] if isinstance(value, str)]
    if given and all(map(is_name, given)):
        raise table.kind(f"{table.name}: the column {shown(key)} holds names of files, {shown(given[0])} first; texts "
                         "were expected, or a list of the names")
    for n, value in enumerate(table.values(key)):
        name = f"{table.name}, {table.row(n)}"
        if isinstance(value, str):
            try:
                yield Row(name, text_bytes(repaired(value, reading), name, unit))
            except ValueError as error:
                yield Row(name, None, str(error))
        elif isinstance(value, Fault):
            yield Row(name, None, value.sentence)
        elif value is MISSING:
            yield Row(name, None, f"{name} has no column {shown(key)}; a text was expected")
        else:
            yield Row(name, None, f"{name}: the column {shown(key)} is {a_kind(value)}; a text was expected")


def texts_of(table: Table, reading: Reading, unit: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, text) of every row. Raises ValueError, naming the row, where there is no text; with
    `errors="ignore"` such rows are left out, and their number is said."""
    count = left_out = 0
    for row in rows_of(table, reading, unit):
        count += 1
        if row.text is not None:
            yield row.name, row.text
        elif reading.errors == "ignore":
            left_out += 1
        else:
            raise table.kind(f'{row.fault}; errors="ignore" (--errors ignore) leaves such rows out')
    if left_out:
        reading.note("", f"{table.name}: {left_out:,} of {count:,} rows have no text and are left out")


def repaired(text: str, reading: Reading) -> str:
    """Return a string in which the errors handler of a reading has dealt with halves of surrogate pairs."""
    if reading.errors not in ("replace", "ignore") or text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", reading.errors)


def _are_strings(values: Sequence[Any]) -> bool:
    """Return whether the values that are there are strings, and some is more than a number or a date."""
    found = [value for value in values if not is_missing(value)]
    if not values:
        return True
    return all(isinstance(value, str) for value in found) and not all(map(_NUMBER_OR_DATE.fullmatch, found))


def _have_words(values: Sequence[Any]) -> bool:
    """Return whether at least half of the strings are several words, or long and in a script without spaces."""
    found = [value for value in values if isinstance(value, str) and value.strip()]
    texts = sum(1 for value in found if not _NUMBER_OR_DATE.fullmatch(value)
                and (len(value.split(maxsplit=1)) > 1 or (not value.isascii() and len(value) > 8)))
    return 2 * texts >= len(found) > 0


def _named(columns: Any) -> str:
    names = [shown(str(key)) for key in columns]
    more = len(names) - _MANY_COLUMNS
    return ", ".join(names[:_MANY_COLUMNS] or ["no columns"]) + (f" and {more} more" if more > 0 else "")
