"""JSON lines and JSON files, as tables."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastlm.text.sources.columns import FaultyRow, LineNames, Table, from_rows
from fastlm.text.sources.strings import checked, shown

_AS_IT_STANDS = 'format="text" (--format text) reads the file as it stands'


def json_lines(name: str, lines: Iterator[tuple[int, bytes]]) -> Table:
    """Return the table of JSON lines: objects, or strings, which are a column of texts without a name.

    lines: (number from 1, line), which are still to be checked. Anything else is a faulty row.
    """
    names = LineNames()

    def rows() -> Iterator[Mapping[str, Any]]:
        for number, line in lines:
            if not line.isspace():
                names.add(number)
                try:
                    yield _row(parsed(line, f"{name}, line {number}"), f"{name}, line {number}")
                except ValueError as error:
                    yield FaultyRow(str(error))
    return from_rows(name, rows(), names)


def parsed(text: bytes, name: str) -> Any:
    """Return the value of a line, or of a file. Raises ValueError, with its name, where it is no JSON in UTF-8."""
    string = checked(text, name, 0, "word").decode()
    try:
        return json.loads(string)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply; an object of texts was expected") from None
    except ValueError as error:
        reason = getattr(error, "msg", str(error))
        raise ValueError(f"{name} is not JSON: {reason}; {_AS_IT_STANDS}") from None


def json_file(name: str, text: bytes) -> Table:
    """Return the table of a whole JSON file: a list of objects or strings, or an object of columns.

    Raises ValueError for JSON that is no table.
    """
    value = parsed(text, name)
    if is_columns(value):
        return Table(name, value, lambda key: iter(value[key]))
    if isinstance(value, list):
        return from_rows(name, (_row(item, f"{name}, item {n}") for n, item in enumerate(value)), "item {}".format)
    raise ValueError(f"{name} is JSON, but neither lines of objects, nor a list of them, nor an object of columns; "
                     f"{_AS_IT_STANDS}")


def is_columns(value: object) -> bool:
    """Return whether a value is an object of lists."""
    return isinstance(value, dict) and bool(value) and all(isinstance(column, list) for column in value.values())


def begins_with_object(line: bytes) -> bool:
    """Return whether a line is a JSON object with something in it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(value)


def _row(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"": value}
    raise ValueError(f"{name} is {shown(json.dumps(value))}; an object of texts was expected; {_AS_IT_STANDS}")
