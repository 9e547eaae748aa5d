"""JSON lines and JSON files."""

import json
from pathlib import Path

import pytest

from tests.text.sources.helpers import named, notes, refused, texts

STANDS = 'format="text" (--format text) reads the file as it stands'
IGNORE = 'errors="ignore" (--errors ignore) leaves such rows out'


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_lines_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": 1, "text": "the caf\\u00e9\\nend"}\n\n{"text": "", "id": 2}\n"last"')
    assert named(path, errors="ignore") == [(f"{path}, line 1", "the café\nend"), (f"{path}, line 3", "")]
    assert texts(write(tmp_path / "b.jsonl", '"one"\n"two words"\n')) == ["one", "two words"]
    assert texts(path, documents="line", errors="ignore") == ["the café\n", "end"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.txt", "a", "A.JSONL"])
def test_json_is_known_by_its_name_or_its_first_line(name: str, tmp_path: Path) -> None:
    assert texts(write(tmp_path / name, '{"text": "the cat", "n": 1}\n{"text": "the dog", "n": 2}\n')) == [
        "the cat",
        "the dog",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[{"text": "the cat", "n": 1}, {"text": "the dog"}]',
        '["the cat", "the dog"]',
        '{"n": [1, 2], "text": ["the cat", "the dog"]}',
        '[\n  {\n    "text": "the cat"\n  },\n  {"text": "the dog"}\n]\n',
    ],
)
def test_whole_files(text: str, tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.json", text)) == ["the cat", "the dog"]


def test_text_that_only_begins_like_json_is_text(tmp_path: Path) -> None:
    for text in ('{"a": 1\n}\n', '{"key": value}\nmore\n', '[{"a"} is a list\n', '{"', "{}\n", '{ "the cat" }\n'):
        assert texts(write(tmp_path / "a.txt", text)) == [text]


def test_what_is_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"name": "x", "version": 1}\nmore')
    lines = write(tmp_path / "a.jsonl", '{"text": "a b"}\nnot json\n[1]\n{"other": 1}\n{"text": null}\n{"text": 7}\n')
    kinds = [
        (1, f"{lines}, line 2 is not JSON: Expecting value; {STANDS}"),
        (2, f"{lines}, line 3 is '[1]'; an object of texts was expected; {STANDS}"),
        (3, f"{lines}, line 4 has no column 'text'; a text was expected"),
        (4, f"{lines}, line 5: the column 'text' is None; a text was expected"),
        (5, f"{lines}, line 6: the column 'text' is a int; a text was expected"),
    ]
    whole = lines.read_text().splitlines(keepends=True)
    for kept, message in kinds:
        lines.write_text("".join([whole[0], *["\n"] * (kept - 1), whole[kept]]))
        refused(ValueError, f"{message}; {IGNORE}", lines, text_key="text")
        assert texts(lines, text_key="text", errors="ignore") == ["a b"]
    path.write_text('{"name": "x"')
    refused(ValueError, f"{path} is not JSON: Expecting ',' delimiter; {STANDS}", path)
    path.write_text('{\n"name": "x"}')
    refused(
        ValueError,
        f"{path} is JSON, but neither lines of objects, nor a list of them, nor an object of columns; {STANDS}",
        path,
    )
    path.write_text("[" * 100_000)
    refused(ValueError, f"{path} is nested too deeply; an object of texts was expected", path)


def test_surrogates_and_nul_in_escapes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "a \ud800 b"}) + "\n")
    refused(ValueError, f"{path}, line 1: U+D800 at position 2 is half a surrogate pair; {IGNORE}", path)
    assert texts(path, errors="replace") == ["a \ufffd b"] and texts(path, errors="ignore") == ["a  b"]
    write(path, json.dumps({"text": "a \0 b"}) + "\n")
    refused(ValueError, f'{path}, line 1: NUL at position 2; only unit="byte" and "piece" read those; {IGNORE}', path)


def test_what_was_guessed_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", '{"id": "x1", "text": "the cat"}\n')
    assert notes(path) == [
        f"{path} is read as JSON lines, as it begins; {STANDS}".replace("the file", "it"),
        f"{path}: the column 'text' of 'id', 'text' is read; text_key= (--text-key) names another",
    ]
    assert notes(path, text_key="text", format="jsonl") == []
    (tmp_path / "d").mkdir()
    for name in "xyz":
        write(tmp_path / "d" / f"{name}.jsonl", '{"id": "x1", "text": "the cat"}\n')
        write(tmp_path / "d" / f"{name}.csv", "")
    assert [note.partition(":")[0] for note in notes(tmp_path / "d")] == [f"{tmp_path}/d/x.jsonl"]
    rows = write(tmp_path / "b.jsonl", '{"text": "a b"}\n{"text": null}\n' * 2)
    assert notes(rows, errors="ignore") == [f"{rows}: 2 of 4 rows have no text and are left out"]
    assert notes(write(tmp_path / "c.txt", "the cat"), text_key="text") == [
        f"{tmp_path}/c.txt is read as plain text, which has no columns"
    ]
