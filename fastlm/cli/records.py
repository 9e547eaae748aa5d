"""What stands on one line that is scored: a text, or an object of JSON with a text in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fastlm.text.sources.columns import Row
from fastlm.text.sources.json_lines import parsed
from fastlm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Record:
    """One line: its ``name``, its ``text`` as UTF-8, None where there is none, and then what is the ``fault``.

    ``written``: the line as it stands, without its end; ``fields``: of an object of JSON.
    """

    name: str
    text: bytes | None
    fault: str = ""
    written: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def of_row(row: Row) -> Record:
    """Return a line of text, or a row of a table."""
    written = (row.text or b"").rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    return Record(row.name, row.text, row.fault, written.replace("\n", "\\n"))


def of_json(line: Row, key: str | None, vocabulary: Vocabulary) -> tuple[Record, str | None]:
    """Return a line that is an object of JSON, and the key of its text.

    key: None where it is not known yet: that of the only string of the object, or "text". Raises ValueError where there
    are several others.
    """
    if line.text is None:
        return Record(line.name, None, line.fault, fields={"fault": line.fault}), key
    try:
        value = parsed(line.text, line.name)
        if not isinstance(value, dict):
            raise ValueError(f"{line.name} is {json.dumps(value)[:40]}; an object was expected")
    except ValueError as error:
        return Record(line.name, None, str(error), fields={"fault": str(error)}), key
    key = _key_of(value, line.name) if key is None else key
    text = value.get(key)
    if not isinstance(text, str) or not text.strip():
        return Record(line.name, None, f"{line.name} has no text under {key!r}", fields=value), key
    try:
        return Record(line.name, vocabulary.as_read(text), fields=value), key
    except ValueError as error:
        return Record(line.name, None, f"{line.name}: {error}", fields=value), key


def _key_of(value: dict[str, Any], name: str) -> str:
    strings = [key for key, item in value.items() if isinstance(item, str)]
    if "text" in strings:
        return "text"
    if len(strings) != 1:
        raise ValueError(f"{name} has the strings {', '.join(map(repr, strings)) or 'none'}; --text-key was expected, "
                         "which names the one to score")
    return strings[0]
