"""The lines of a source one by one, bad ones too."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from fastlm.text.sources.lines import read_lines


def found(source: Any, unit: str = "word", **options: Any) -> list[bytes | str]:
    """Return the text of each line, or why it has none, without the name of the source."""
    return [
        row.fault.removeprefix("the open file, ") if row.text is None else row.text
        for row in read_lines(source, unit, **options)
    ]


def test_lines_by_hand() -> None:
    data = b"\xef\xbb\xbfthe cat\r\n\r\n   \nthe\tcat\n\nbad \xe9 byte\nnul \0 here\nthe \xe2\x80\xa8 end"
    byte = (
        'line 6: byte 0xE9 at offset 4 is not UTF-8; it looks like cp1252, which encoding="cp1252" (--encoding cp1252) '
        'reads; unit="byte" reads any bytes'
    )
    expected: list[bytes | str] = [
        b"the cat\r\n",
        "line 2 is empty; text was expected",
        b"   \n",
        b"the\tcat\n",
        "line 5 is empty; text was expected",
        byte,
        'line 7: NUL at offset 4; only unit="byte" reads those',
        "the \u2028 end".encode(),
    ]
    for unit in ("word", "char", "piece"):
        assert found(io.BytesIO(data), unit) == found(io.BytesIO(gzip.compress(data)), unit) == expected
    assert found(io.BytesIO(data), "byte")[5:7] == [b"bad \xe9 byte\n", b"nul \0 here\n"]
    assert found(io.BytesIO(data), errors="replace")[5] == "bad \ufffd byte\n".encode()
    assert found(io.BytesIO(b"")) == []


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "shift_jis", "gb18030", "utf-8"])
def test_bad_lines_of_named_encodings(encoding: str) -> None:
    bad = {"cp1252": b"\x81", "shift_jis": b"\x85\x39", "gb18030": b"\xff", "utf-8": b"\xff"}.get(encoding, b"\x00\xdc")
    end = "\n".encode(encoding.replace("utf-16", "utf-16-le").replace("-le-le", "-le"))
    data = (
        "the cat\n".encode(encoding)
        + bad
        + end
        + "the end".encode(encoding.replace("utf-16", "utf-16-le").replace("-le-le", "-le"))
    )
    first, second, third = found(io.BytesIO(data), encoding=encoding)
    assert (first, third) == (b"the cat\n", b"the end") and " is not " in str(second)


def test_rows_are_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "the cat"}\nnot json\n{"text": null}\n{"text": "two\\nlines"}\n')
    (tmp_path / "b.csv").write_text("n,text\n1,the dog\n2\n")
    (tmp_path / "c.txt").write_text("the end\n")
    rows = list(read_lines([tmp_path / name for name in ("a.jsonl", "b.csv", "c.txt")], "word"))
    assert [row.text for row in rows] == [b"the cat", None, None, b"two\nlines", b"the dog", None, b"the end\n"]
    assert [row.name.rpartition(", ")[2] for row in rows] == [
        "line 1",
        "line 2",
        "line 3",
        "line 4",
        "line 2",
        "line 3",
        "line 1",
    ]
    assert all(row.fault.startswith(row.name) for row in rows if row.text is None)


def test_long_lines() -> None:
    assert found(io.BytesIO(b"abcd\nabcde\n12345678901234567\nab"), memory=40) == [
        b"abcd\n",
        "line 2 has more than 5 bytes; a shorter one was expected",
        "line 3 has more than 5 bytes; a shorter one was expected",
        b"ab",
    ]


def test_forms_and_sources() -> None:
    assert found(io.BytesIO("e\u0301\n".encode()), "char") == ["\u00e9\n".encode()]
    assert found(io.BytesIO("e\u0301\n".encode()), "char", normalize=None) == ["e\u0301\n".encode()]
    with pytest.raises(TypeError, match="^the source is a dict; a path, an open file or a list of these was expected$"):
        found({"text": ["a b"]})
    with pytest.raises(TypeError, match="^an item of the source is a str; a path or an open file was expected$"):
        found(["a b"])


def test_a_line_comes_before_the_next_is_there() -> None:
    """As where a program writes a line and waits for its figure."""

    class Slow(io.RawIOBase):
        parts = (b"one\n", b"two\n", b"")
        asked = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            part = self.parts[self.asked]
            self.asked += 1
            buffer[: len(part)] = part
            return len(part)

    raw = Slow()
    rows = read_lines(io.BufferedReader(raw), "word")
    assert next(rows).text == b"one\n" and raw.asked == 1
    assert next(rows).text == b"two\n" and raw.asked == 2
