"""Documents out of every kind of source: what is read, where documents end, what is refused."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastlm.text.scan import IdBuffer, char_scanner, pieces
from fastlm.text.sources.documents import read_documents
from fastlm.text.vocabulary import Vocabulary

TEXT = "the cat\n\n \t\nthe \u2028dog\r\nsat é\n\nend"


def texts(source: Any, documents: str = "file", unit: str = "word") -> list[str]:
    return [text.decode() for _, text in read_documents(source, documents, unit)]


def refused(kind: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_documents_by_hand() -> None:
    assert texts([TEXT, "x"]) == [TEXT, "x"]
    assert texts([TEXT], "line") == ["the cat\n", "\n", " \t\n", "the \u2028dog\r\n", "sat é\n", "\n", "end"]
    assert texts([TEXT], "blank-line") == ["the cat\n", "the \u2028dog\r\nsat é\n", "end"]
    assert texts(["\n\na\n\n"], "blank-line") == ["a\n"]
    assert texts(["", "\n"], "line") == ["\n"]


def test_every_source_holds_the_same_text(file: Path) -> None:
    for documents in ("file", "line", "blank-line"):
        expected = texts([TEXT], documents)
        with file.open("rb") as binary, file.open(newline="", encoding="utf-8") as text:
            sources = [str(file), file, [file], [str(file)], (str(file),), file.parent, binary, text]
            sources += [io.BytesIO(TEXT.encode()), io.StringIO(TEXT), iter([TEXT]), {TEXT}, (TEXT for _ in "1")]
            for source in sources:
                assert texts(source, documents) == expected, source
        with file.open("rb", buffering=0) as raw:
            assert texts(raw, documents) == expected
            assert not raw.closed


def test_names(file: Path) -> None:
    assert [name for name, _ in read_documents([TEXT, "x"])] == ["documents[0]", "documents[1]"]
    assert [name for name, _ in read_documents(file, "blank-line")] == [str(file)] * 3
    assert [name for name, _ in read_documents(io.StringIO("a"))] == ["the open file"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
def test_compressed_files_whatever_their_names(compress: Any, documents: str, tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_bytes(compress(TEXT.encode()))
    expected = texts([TEXT], documents)
    assert texts(path, documents) == expected
    assert texts(io.BytesIO(path.read_bytes()), documents) == expected
    with path.open("rb") as stream:
        assert texts(stream, documents) == expected
        assert not stream.closed


def test_several_compressed_parts_are_one_text(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a ") + gzip.compress(b"b"))
    assert texts(path) == ["a b"]


@pytest.mark.parametrize("text", ["BZh9 is how bzip2 begins", "", "a"])
def test_text_that_is_not_compressed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(text.encode())
    assert texts(path) == [text]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_files(compress: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    whole = compress(np.random.default_rng(1).bytes(10_000))
    path.write_bytes(whole[:5000])
    with pytest.raises(ValueError, match=f"^{path} cannot be uncompressed: Compressed file ended before the end-of-st"):
        texts(path)
    path.write_bytes(whole[:40] + bytes(99) + whole[139:])
    with pytest.raises(ValueError, match=f"^{path} cannot be uncompressed: "):
        list(read_documents(path, "line", "byte"))


def test_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c", "sub/.hidden", ".git/config", "Z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path) == ["Z", "a.txt", "b.txt", "sub/c"]
    assert texts([str(tmp_path / "sub"), str(tmp_path / "Z")]) == ["sub/c", "Z"]


def test_lists_of_strings_are_paths_or_documents(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert texts(["text.txt"]) == [TEXT]
    assert texts(iter(["text.txt"])) == [TEXT]
    assert texts(["word"]) == ["word"]
    assert texts([file, "text.txt"]) == [TEXT, TEXT]
    rest = "does not; expected all paths or all documents, which fastlm.text.texts(...) says"
    message = f"'text.txt' names a file and 'no such thing' {rest}"
    refused(ValueError, message, lambda: texts(["text.txt", "no such thing"]))
    message = f"'text.txt' names a file and 'x' {rest}"
    refused(ValueError, message, lambda: texts([Path("text.txt"), "x"]))
    message = "'typo.txt' does not exist, and looks like the name of a file"
    refused(FileNotFoundError, message, lambda: texts(["typo.txt", "data/x"]))
    assert texts(["typo.txt", "some words"]) == ["typo.txt", "some words"]


@pytest.mark.parametrize("text", ["a.txt", "/", "a/b", "./x", "b.gz", ".md", "é.bz2", "x" * 4090 + ".txt", "a.xz/b.c"])
def test_what_looks_like_the_name_of_a_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist, and looks like the name of a file$"):
        texts([f"no{text}"])


@pytest.mark.parametrize("text", ["", "a", "a.txt ", " a/b", "a\u2028/b", "a/\xa0b", "a.txt\n", "a.text", "txt",
                                  "a.gz.", "x" * 4093 + ".txt", '{"a":"b/c"}' * 400])
def test_what_looks_like_a_document(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert texts([text]) == [text]


def test_long_documents_without_whitespace_take_linear_time() -> None:
    """Of 3 MB each; a search that looks again from every place would take hours."""
    code = """
from fastlm.text.sources.documents import read_documents
for text in ('{"a":"b"},' * 300_000, "data:text/plain;base64," + "Zm9v/" * 600_000 + " ", ".tx" * 1_000_000):
    assert [bytes for _, bytes in read_documents([text, "b"])] == [text.encode(), b"b"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_paths_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(FileNotFoundError, "'typo.txt' does not exist", lambda: texts("typo.txt"))
    refused(FileNotFoundError, "'typo.txt' does not exist", lambda: texts(Path("typo.txt")))
    refused(FileNotFoundError, "'typo.txt' does not exist", lambda: texts([Path("typo.txt")]))
    message = f"{'a b' * 19 + '...'!r} does not exist; a document itself goes into a list, [text]"
    refused(FileNotFoundError, message, lambda: texts("a b" * 100))
    (tmp_path / "none").mkdir()
    refused(ValueError, "the folder 'none' holds no files", lambda: texts("none"))


@pytest.mark.parametrize("source", [b"text", 7, None, 0.5, np.int64(7), bytearray(b"a"), memoryview(b"a")])
def test_sources_that_are_none(source: Any) -> None:
    kind = type(source).__name__
    message = f"the source is a {kind}; expected a path, an open file or a list of documents"
    refused(TypeError, message, lambda: texts(source))


def test_documents_that_are_none() -> None:
    refused(TypeError, 'documents[1] is a int; expected str for unit="word"', lambda: texts(["a", 7]))
    refused(TypeError, 'documents[0] is a bytes; expected str for unit="char"', lambda: texts([b"a"], unit="char"))
    assert texts([b"a", "b"], unit="byte") == ["a", "b"]


@pytest.mark.parametrize("documents", ["file", "line"])
def test_bytes_that_are_not_utf8(documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastlm.text.sources.streams.PIECE", 5)
    path = tmp_path / "latin"
    path.write_bytes(b"ab\ncaf\xe9 \n")
    hint = 'it looks like cp1252, which encoding="cp1252" (--encoding cp1252) reads'
    message = f'{path}: byte 0xE9 at offset 6 is not UTF-8; {hint}; unit="byte" reads any bytes'
    refused(ValueError, message, lambda: texts(path, documents))
    assert [text for _, text in read_documents(path, "file", "byte")] == [b"ab\ncaf\xe9 \n"]
    with path.open(encoding="ascii") as text:
        refused(ValueError, f"{path}: byte 0xE9 at offset 6 is not ascii", lambda: texts(text, documents))


@pytest.mark.parametrize("bad", [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff\xfe"])
def test_every_way_not_to_be_utf8(bad: bytes) -> None:
    with pytest.raises(ValueError, match=f"byte 0x{bad[0]:02X} at offset 2 is not UTF-8"):
        texts(io.BytesIO(b"a " + bad))


@pytest.mark.parametrize("documents", ["file", "line"])
def test_nul_characters(documents: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastlm.text.sources.streams.PIECE", 2)
    message = 'the open file: NUL at offset 6; only unit="byte" reads those'
    for unit in ("word", "char"):
        refused(ValueError, message, lambda unit=unit: texts(io.BytesIO("é\nab\n\0c".encode()), documents, unit))
    refused(ValueError, 'documents[1]: NUL at position 1; only unit="byte" and "piece" read those',
            lambda: texts(["a", "é\0"]))
    assert texts(["a\0"], documents, "byte") == ["a\0"]


def test_lone_surrogates() -> None:
    message = "documents[1]: U+DC80 at position 2 is half a surrogate pair"
    refused(ValueError, message, lambda: texts(["a", "éb\udc80"]))
    refused(ValueError, message.replace("DC80", "DBFF"), lambda: texts(["a", "éb\udbff"], "file", "byte"))
    assert [text for _, text in read_documents(["b\udc80"], "file", "byte")] == [b"b\x80"]


def test_offsets_beyond_one_piece() -> None:
    """A text of 1.1 million bytes, which is checked a mebibyte at a time, cut at any place within a character."""
    for before in ("", "a", "aa", "aaa"):
        whole = before + "aé€𝒜" * 110_000
        assert texts(io.BytesIO(whole.encode())) == [whole]
        vocabulary = Vocabulary.build([whole], "char")
        assert vocabulary.decode(vocabulary.encode(whole)) == whole
        with pytest.raises(ValueError, match=f"byte 0x9D at offset {1_100_001 + len(before)} is not UTF-8"):
            texts(io.BytesIO(whole.encode() + b"a" + "𝒜".encode()[1:]))


@pytest.mark.parametrize("size", [4, 5, 6, 7, 9, 11])
def test_pieces_end_between_characters(size: int) -> None:
    text = ("aé€𝒜" * 50).encode()
    found = [str(piece, "utf-8") for _, piece in pieces(text, size)]
    assert "".join(found).encode() == text and max(len(piece.encode()) for piece in found) <= size
    buffer = IdBuffer()
    char_scanner(at_once=size)(text, buffer)
    assert buffer.ids.tolist() == [ord(character) for character in text.decode()]
