"""Values between commas, semicolons or tabs, as tables."""

import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastlm.text.sources.columns import Fault, LineNames, Table, sample_of
from fastlm.text.sources.strings import checked, shown

_LONGEST_FIELD = 1 << 26   # bytes of a field in quotes; one that never ends would take the rest of the file
_NEVER = ""   # in place of a line, of which none is empty
_NUMBER = re.compile(r"\s*[+-]?[\d.,]+%?\s*")


def delimited(name: str, lines: Iterator[bytes], tabs: bool, text_key: str | None = None) -> Table:
    """Return the table of a .csv or .tsv file, whose first line names the columns.

    lines: still to be checked. tabs: whether tabs stand between the values; otherwise commas or, where the first line
    has more of them, semicolons or tabs. Values may stand in double quotes, doubled inside, with delimiters and ends of
    lines in them; between tabs a quote that does not pair is a part of the value. A row with more or fewer values than
    the first line, or with bytes that are not UTF-8, is a faulty one. Raises ValueError where the first line is no
    header, which has neither numbers (unless `text_key` is one of its names) nor a name twice.
    """
    first = checked(next(lines, b""), f"{name}, line 1", 0, "word").decode()
    delimiter = "\t" if tabs else max(",;\t", key=lambda mark: (_unquoted(first).count(mark), mark == ","))
    rows = _rows(name, chain([first], (line.decode("utf-8", "surrogateescape") for line in lines)), delimiter)
    header = next(rows, (1, []))[1]
    if text_key not in header:
        _check_header(name, header)
    names, head = LineNames(), sample_of(rows, lambda row: sum(map(len, row[1])))

    def values(key: str) -> Iterator[Any]:
        column = header.index(key)
        for number, row in chain(head, rows):
            names.add(number)
            yield _value(row, column, len(header), f"{name}, line {number}")
    sample = {key: [row[n] for _, row in head if n < len(row)] for n, key in enumerate(header)}
    return Table(name, sample, values, names)


def _value(row: list[str], column: int, expected: int, name: str) -> str | Fault:
    if len(row) != expected:
        return Fault(f"{name} has {len(row)} values; {expected} were expected, as in the first line")
    try:
        checked(row[column].encode("utf-8", "surrogateescape"), name, 0, "word")
    except ValueError as error:
        return Fault(str(error))
    return row[column]


def _check_header(name: str, header: list[str]) -> None:
    """Raise ValueError for a first line that cannot be names of columns, and would be lost as a row."""
    strange = [key for key in header if _NUMBER.fullmatch(key)]
    if strange or len(set(header)) < len(header) or not any(header):
        what = shown(strange[0]) if strange else "a name twice" if any(header) else "nothing"
        raise ValueError(f"{name}: the first line has {what} among the names of the columns; a header was expected, "
                         'and format="text" (--format text) reads the file as it stands')


def _rows(name: str, lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, values) of every row; empty lines are left out."""
    field = re.compile(rf'"([^"]*+(?:""[^"]*+)*+)"(?={delimiter}|\Z)|([^{delimiter}]*+)')
    number, width, waiting = 0, 0, deque[str]()
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number += 1
        parts = [line, *_until_closed(name, number, line, chain(_drained(waiting), lines), delimiter)]
        values = _split("".join(parts), field)
        if len(parts) > 1 and delimiter == "\t" and (len(values) != width or parts[-1] is _NEVER):
            waiting.extend(part for part in parts[1:] if part is not _NEVER)
            parts, values = parts[:1], line.rstrip("\r\n").split("\t")
        if any(values) or len(values) > 1:
            yield number, values
        width, number = width or len(values), number + len(parts) - 1


def _drained(waiting: deque[str]) -> Iterator[str]:
    while waiting:
        yield waiting.popleft()


def _until_closed(name: str, number: int, line: str, lines: Iterator[str], delimiter: str) -> Iterator[str]:
    """Yield the lines that a row goes on over, because a value in quotes has ends of lines in it; `_NEVER` at the end
    where no quote closes a value between tabs."""
    size, is_open = len(line), '"' in line and _is_open(line, delimiter, False)
    while is_open:
        following = next(lines, None)
        if following is None or size > _LONGEST_FIELD:
            if delimiter != "\t":
                raise ValueError(f"{name}, line {number}: a quote is opened that no quote closes")
            yield from () if following is None else (following,)
            yield _NEVER
            return
        yield following
        size += len(following)
        is_open = _is_open(following, delimiter, True)


def _is_open(line: str, delimiter: str, is_open: bool) -> bool:
    """Return whether a value in quotes goes on after a line; is_open: whether one goes on from the line before."""
    at = 0
    while True:
        if is_open or line.startswith('"', at):
            end = at if is_open else at + 1
            while (end := line.find('"', end)) >= 0 and line.startswith('"', end + 1):
                end += 2
            if end < 0:
                return True
            is_open, at = False, end + 1
        at = line.find(delimiter, at) + 1
        if at == 0:
            return False


def _split(row: str, field: re.Pattern[str]) -> list[str]:
    """Return the values of a row: what is in quotes without them, and doubled quotes as single ones."""
    text, values, at = row.removesuffix("\n").removesuffix("\r"), [], 0
    while at <= len(text) and (match := field.match(text, at)):
        values.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        at = match.end() + 1
    return values


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)
