"""Which column is the text."""

from pathlib import Path
from typing import Any

import pytest

from tests.text.sources.helpers import refused, texts

ONE = "so text_key= (--text-key) was expected to name one"


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ["the cat"]},
        {"id": [1], "text": ["the cat"]},
        {"id": ["a1"], "url": ["http://a/b"], "text": ["the cat"]},
        {"date": ["2026-11-27 10:00:00"], "price": ["1.50"], "body": ["the cat"]},
        {"label": [None], "tokens": [["a"]], "anything": ["the cat"]},
        {"label": ["pos"] * 3, "text": ["the cat", "word", "the dog"]},
        {"id": ["x"], "text": ["これは日本語の文章です"]},
    ],
)
def test_the_only_column_of_text_is_found(columns: dict[str, Any]) -> None:
    key = list(columns)[-1]
    assert texts(columns) == columns[key] == texts(columns, text_key=key)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"title": ["a b c"], "text": ["the cat"]}, "several of its columns hold text, 'title', 'text'"),
        ({"a": ["x"], "b": ["y"]}, "several of its columns hold strings, and none text"),
        ({"a": [1], "b": [2.5]}, "none of its columns holds text"),
        ({"a": ["1"], "b": ["2026-01-01"]}, "none of its columns holds text"),
    ],
)
def test_tables_without_the_one_column_name_all(columns: dict[str, Any], found: str) -> None:
    first, second = columns
    refused(TypeError, f"the dict has the columns {first!r}, {second!r}; {found}, {ONE}", columns)
    refused(TypeError, f"the dict has no column 'c'; it has {first!r}, {second!r}", columns, text_key="c")


def test_many_columns_are_not_all_named() -> None:
    columns = {f"c{n}": ["a b"] for n in range(30)}
    names = ", ".join(repr(f"c{n}") for n in range(20)) + " and 10 more"
    refused(TypeError, f"the dict has the columns {names}; several of its columns hold text, {names}, {ONE}", columns)


def test_one_column_of_single_words_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nAnna\nBert\n")
    assert texts(tmp_path / "a.csv") == ["Anna", "Bert"]
