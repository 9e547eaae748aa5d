"""Small compressed files that hold more than memory does: refused in one sentence, before they fill it."""

import gzip
import json
import os
import re
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastlm import Corpus, Vocabulary
from fastlm.text.sources.extent import Extent
from fastlm.text.sources.memory import half_of_memory
from fastlm.text.sources.reading import Reading
from tests.text.sources.helpers import refused, texts
from tests.text.sources.test_compressed import PACKERS, zipped

BOMBS = Path(__file__).with_name("bombs.py")


def errors_of(folder: Path) -> dict[tuple[str, str, str], str]:
    """Return the error, "" for none, of every (name, way, unit), once it is checked that memory stayed small."""
    run = subprocess.run([sys.executable, str(BOMBS), str(folder)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) >= 10 and [row for row in found if row["peak"] > 160e6] == []
    return {(row["text"].partition(".")[0], row["how"], row["unit"]): row["error"] for row in found}


def test_bombs_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Each of 24 MB in a few kilobytes, where 8 MiB are allowed; the peak is that of a process of its own."""
    texts = {"words.txt": b"a b\n", "lines.txt": b"\n\n\n\n", "run.txt": b"aaaa", "list.json": b"[{},"}
    for name, text in texts.items():
        data = gzip.compress(text * 6_000_000)
        (tmp_path / f"{name}.gz").write_bytes(data)
        assert len(data) < 200_000
    errors = errors_of(tmp_path)
    assert "holds more than 8,388,608 bytes of tokens" in errors["words", "read file", "word"]
    assert "holds more than 8,388,608 bytes of tokens" in errors["words", "unknown", "word"]
    assert "holds more than 8,388,608 bytes of tokens" in errors["lines", "read line", "char"]
    assert "has more than 1,048,576 bytes; shorter words were expected" in errors["run", "vocabulary file", "word"]
    assert "holds more than 8,388,608 bytes of text without" in errors["words", "vocabulary blank-line", "word"]
    assert errors["words", "vocabulary file", "word"] == "" == errors["words", "vocabulary file", "byte"]
    assert "holds more than 524,288 bytes of JSON" in errors["list", "vocabulary file", "word"]


@pytest.mark.parametrize("packer", ["bz2", "xz", "zst", "zip"])
def test_bombs_of_every_compression(packer: str, tmp_path: Path) -> None:
    text = b"a b\n" * 6_000_000
    (tmp_path / "words").write_bytes(zipped(("words", text)) if packer == "zip" else PACKERS[packer](text))
    errors = errors_of(tmp_path)
    assert "holds more than 8,388,608 bytes of tokens" in errors["words", "read file", "word"]
    assert errors["words", "vocabulary file", "word"] == ""


def test_the_message_says_what_there_is_too_much_of(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a b " * 5_000_000))
    refused(ValueError, f"{path} holds more than 4,194,304 bytes of text, the most that memory= allows; less, or "
            'documents="line", was expected', path, memory=1 << 22)
    with pytest.raises(ValueError) as caught:
        Corpus.read(path, Vocabulary(["a", "b"]), memory=1 << 22)
    assert str(caught.value) == (f"{path} holds more than 4,194,304 bytes of tokens, the most that memory= allows; a "
                                 "shorter text was expected")


def test_different_words_are_counted(tmp_path: Path) -> None:
    """Twenty thousand words take more than 300 bytes each, unless few are kept."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(" ".join(map(str, range(1_200_000))).encode()))
    begin = f"^{re.escape(str(path))} holds more than 6,000,000 bytes of "
    with pytest.raises(ValueError, match=begin + "different tokens"):
        Vocabulary.build(path, memory=6_000_000)
    with pytest.raises(ValueError, match=begin + "tokens"):
        Corpus.build(path, memory=6_000_000)
    assert len(Vocabulary.build(path, max_size=1000, memory=120_000_000)) == 1000


def test_what_is_read_of_a_part_ends_where_memory_does() -> None:
    """Eight hundred bytes, of two documents of 50 tokens each: more than half of what a third would need."""
    extent = Extent()
    _, corpus = Corpus.build(["a " * 50] * 9, "char", documents="file", memory=650, extent=extent)
    assert corpus.bytes == 200 and not extent.whole


@pytest.mark.parametrize("memory", [0, -1, 1.5, "1GB"])
def test_memory_is_a_number_of_bytes(memory: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Reading(memory=memory)
    assert str(caught.value) == f"memory = {memory!r}; expected a number of bytes from 1 on, or None"


def test_half_of_what_there_is() -> None:
    assert 0 < half_of_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    assert Reading().most_memory == half_of_memory() and Reading().longest_line == min(1 << 28, half_of_memory() // 8)
    limited = ("from fastlm.text.sources.memory import half_of_memory\n"
               "print(half_of_memory())")
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        run = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True,
                             preexec_fn=partial(resource.setrlimit, limit, (3 << 29, 3 << 29)))
        assert int(run.stdout) <= 3 << 28


def test_text_that_looks_like_json_is_read_as_text_where_it_is_long(tmp_path: Path) -> None:
    """Of a log in which records stand in brackets; less than a sixteenth of memory is read as JSON."""
    text = '[{"a": 1}] the cat\n' * 1000
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    assert texts(tmp_path / "a.gz", memory=1 << 16) == [text] == texts(tmp_path / "a.gz")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b'{"a' + b" " * 5000 + b"b\nc"))
    assert texts(tmp_path / "b.gz", memory=1 << 14) == ['{"a' + " " * 5000 + "b\nc"]


def test_a_sample_of_long_rows_is_short(tmp_path: Path) -> None:
    """Rows of 5 MB are found to be texts by the first four."""
    row = json.dumps({"id": 1, "text": "the cat " * 625_000}) + "\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((row * 9).encode(), 1))
    rows = iter(range(99))

    def count(size: int) -> int:
        next(rows)
        return size
    from fastlm.text.sources.columns import sample_of

    assert sample_of(iter([5 << 20] * 9), count) == [5 << 20] * 4 and next(rows) == 4
    assert [len(text) for text in texts(tmp_path / "a.jsonl.gz")] == [5_000_000] * 9
