"""Tables of comma- and tab-separated values."""

import csv
import io
import random
from pathlib import Path

import pytest

from tests.text.sources.helpers import named, refused, texts


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_values_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\r\n1,plain words\r\n2,"a ""quoted"", word"\r\n\r\n3,"two\nlines"\n4,\n')
    assert named(path) == [
        (f"{path}, line 2", "plain words"),
        (f"{path}, line 3", 'a "quoted", word'),
        (f"{path}, line 5", "two\nlines"),
        (f"{path}, line 7", ""),
    ]
    assert texts(path, text_key="id") == ["1", "2", "3", "4"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_mark_is_the_one_of_the_first_line(mark: str, tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.csv", f"n{mark}text{mark}x\n1{mark}the cat{mark}2\n")) == ["the cat"]


def test_tabs_keep_quotes_that_do_not_pair(tmp_path: Path) -> None:
    rows = 'n\ttext\n1\t"Yes," he said\n2\tan inch is 1"\n3\t"open only\n4\t"a ""b"" c"\n5\t"two\nlines"\n6\tend "\n'
    assert texts(write(tmp_path / "a.tsv", rows)) == [
        '"Yes," he said',
        'an inch is 1"',
        '"open only',
        'a "b" c',
        "two\nlines",
        'end "',
    ]


def test_any_table_that_python_writes(tmp_path: Path) -> None:
    """Against the csv module, with values of marks, quotes and ends of lines."""
    rng = random.Random(1)
    for dialect, ending in (("excel", ".csv"), ("excel-tab", ".tsv")):
        for _ in range(60):
            rows = [[str(n), "w " + "".join(rng.choices('ab ,;\t"\n', k=rng.randrange(9)))] for n in range(5)]
            out = io.StringIO(newline="")
            csv.writer(out, dialect).writerows([["n", "text"], *rows])
            assert texts(write(tmp_path / f"a{ending}", out.getvalue()), text_key="text") == [row[1] for row in rows]


def test_rows_that_are_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "n,text\n1,a b\n2,c, d\n3,e f\n")
    ignore = 'errors="ignore" (--errors ignore) leaves such rows out'
    refused(ValueError, f"{path}, line 3 has 3 values; 2 were expected, as in the first line; {ignore}", path)
    assert texts(path, errors="ignore") == ["a b", "e f"]
    path = write(tmp_path / "b.csv", 'n,text\n1,"a b\n2,c d\n')
    refused(ValueError, f"{path}, line 2: a quote is opened that no quote closes", path)


@pytest.mark.parametrize(("first", "what"), [("1,the cat", "'1'"), ("a,a", "a name twice"), (",", "nothing")])
def test_a_first_line_that_is_no_header_is_not_lost(first: str, what: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", first + "\n2,the dog\n")
    refused(
        ValueError,
        f"{path}: the first line has {what} among the names of the columns; a header was expected, and "
        'format="text" (--format text) reads the file as it stands',
        path,
    )
    assert texts(path, format="text") == [first + "\n2,the dog\n"]


def test_a_long_value_and_a_quote_that_never_closes_take_linear_time(tmp_path: Path) -> None:
    long = "word " * 400_000
    assert texts(write(tmp_path / "a.csv", f'n,text\n1,"{long}"\n')) == [long]
    lines = "".join(f"{n}\tthe cat {n}\n" for n in range(20_000))
    found = texts(write(tmp_path / "a.tsv", 'n\ttext\n0\t"open\n' + lines))
    assert len(found) == 20_001 and found[0] == '"open'
