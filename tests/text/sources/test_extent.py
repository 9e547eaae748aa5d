"""How much of a source is read."""

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fastlm.text.sources import documents, streams
from fastlm.text.sources.documents import read_documents, read_parts
from fastlm.text.sources.extent import Extent


class Watch:
    """Seconds that are left, of which every look takes one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        self.seconds -= 1
        return self.seconds


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are read 16 bytes at a time."""
    monkeypatch.setattr(streams, "PIECE", 16)


def extent_of(**options: Any) -> Extent:
    """Return an extent of four parts of a source, decided after the first 40 bytes; of files of 11 bytes or more."""
    return Extent(**options, sample=40, parts=4, small_file=10)


def lines(count: int) -> str:
    return "".join(f"line {n:03}\n" for n in range(count))   # nine bytes each


def test_all_is_read_without_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(lines(9))
    whole = extent_of()
    whole.measure([tmp_path])
    assert b"".join(part.text for part in read_parts(tmp_path, extent=whole)) == lines(9).encode()
    assert (whole.read, whole.total, whole.whole) == (81, 81, True)


def test_the_time_is_over(small: None) -> None:
    """Each part is asked for once; the first one is read in any case."""
    texts = [f"text {n}" for n in range(9)]
    for seconds, wanted in ((0.5, 1), (4.5, 4), (99.0, 9)):
        some = extent_of(left=Watch(seconds))
        assert [part.text.decode() for part in read_parts(texts, extent=some)] == texts[:wanted]
        assert (some.read, some.total, some.whole) == (6 * wanted, None, wanted == 9)


def test_parts_from_all_over_a_file(small: None, tmp_path: Path) -> None:
    """A hundred lines, 900 bytes, of which 300 may be read: the first 40 and then the beginnings of the quarters."""
    path = tmp_path / "a"
    path.write_text(lines(100))
    some = extent_of(most=300)
    some.measure([path])
    text = b"".join(part.text for part in read_parts(path, extent=some)).decode()
    found = [int(line[5:]) for line in text.splitlines()]
    assert found == sorted(found) and all(line in lines(100) for line in text.splitlines(keepends=True))
    assert 250 < some.read == len(text) < 350 and some.total == 900 and not some.whole
    assert [sum(quarter <= n < quarter + 25 for n in found) > 3 for quarter in (0, 25, 50, 75)] == [True] * 4


def test_whole_small_files_from_all_over_a_folder(small: None, tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"{n:02}").write_text(f"text {n:02}\n")
    some = extent_of(most=160)
    some.measure([tmp_path])
    found = [int(part.text[5:]) for part in read_parts(tmp_path, extent=some) if not part.ends]
    assert some.total == 480 and 15 <= len(found) <= 25 and found[-1] >= 45 and not some.whole


def test_a_compressed_file_is_read_from_its_beginning(small: None, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(lines(100).encode()))
    some = extent_of(most=100)
    some.measure([path])
    text = b"".join(part.text for part in read_parts(path, extent=some))
    assert lines(100).encode().startswith(text) and 100 <= len(text) <= 132
    assert some.total is None and not some.whole


def test_lines_and_paragraphs_and_tables(small: None, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "the {n:03}"}}\n' for n in range(600)))
    some = extent_of(most=5000)   # of 12,000 bytes, of which a hundred rows are read ahead
    some.measure([tmp_path])
    found = [part.text for part in read_parts(tmp_path / "a.jsonl", extent=some)]
    assert found[:2] == [b"the 000", b"the 001"] and found == sorted(found) and found[-1] >= b"the 350"
    assert not some.whole and some.total == 12000 and 5000 <= some.read < 5500
    parts = list(read_parts(["a\nb\n\nc\n"], "blank-line"))
    assert [(part.text, part.ends, part.lines) for part in parts] == [(b"a\nb\n", True, False), (b"c\n", True, False)]


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_parts_are_cut_before_whitespace(small: None, unit: str, tmp_path: Path) -> None:
    text = "one two   three\n\n\tfour  " * 5 + "é" * 7
    (tmp_path / "a").write_text(text)
    parts = list(read_parts(tmp_path / "a", unit=unit))
    assert b"".join(part.text for part in parts).decode() == text
    assert [part.ends for part in parts] == [False] * (len(parts) - 1) + [True] and len(parts) > 5
    for before, after in pairwise(parts):
        assert not before.text[-1:].isspace() and (after.text[:1].isspace() or not after.text)
    assert [name for name, _ in read_documents(tmp_path / "a", unit=unit)] == [str(tmp_path / "a")]


def test_text_without_whitespace_is_cut_between_characters(small: None, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("é" * 99)
    parts = [part.text.decode() for part in read_parts(tmp_path / "a", unit="char", memory=32 * 16 * 8)]
    assert "".join(parts) == "é" * 99 and len(parts) > 1
    with pytest.raises(ValueError) as caught:
        list(read_parts(tmp_path / "a", unit="word", memory=64 * 8))
    assert str(caught.value) == (f'{tmp_path / "a"}: the word at offset 0 has more than 64 bytes; shorter words were '
                                 'expected, or unit="char"')


def test_an_empty_file_is_an_empty_document(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert list(read_parts(tmp_path / "a")) == [documents.Part(str(tmp_path / "a"), b"", True)]
    assert list(read_parts(tmp_path / "a", "line")) == []


def test_different_words_take_of_the_time_that_is_left() -> None:
    """Ten seconds less a tenth of a second for each of 90 words."""
    some = extent_of(left=lambda: 10.0, most_tokens=100, word_seconds=0.1)
    assert some.takes(7)
    some.made(50, 90)
    assert some._left() == pytest.approx(1.0) and some.most == 14.0 and some.takes(7)
    some.made(50, 101)
    assert not some.takes(7) and not some.whole
