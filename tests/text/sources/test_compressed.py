"""Compressed files and archives: read whatever their names are, within limits of memory, and never unpacked."""

import bz2
import gzip
import io
import lzma
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fastlm.text.sources import compressed
from tests.text.sources.helpers import named, refused, texts

TEXT = "the cat\nsat é\n\nend"


def zstd(data: bytes) -> bytes:
    package = pytest.importorskip("zstandard", reason="zstandard reads .zst before Python 3.14")
    return bytes(package.ZstdCompressor(write_checksum=True).compress(data))


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_every_compression_on_every_kind_of_source(packer: str, tmp_path: Path) -> None:
    data = PACKERS[packer](TEXT.encode())
    for name in ("a.txt", f"a.{packer}", "a"):
        (tmp_path / name).write_bytes(data)
        for documents in ("file", "line", "blank-line"):
            expected = texts([TEXT], documents=documents)
            assert texts(tmp_path / name, documents=documents) == expected
            assert texts(io.BytesIO(data), documents=documents) == expected
    for ending, table in (
        ("csv", "id,text\n1,the cat\n"),
        ("tsv", "id\ttext\n1\tthe cat\n"),
        ("jsonl", '{"text": "the cat"}'),
    ):
        (tmp_path / f"t.{ending}.{packer}").write_bytes(PACKERS[packer](table.encode()))
        assert texts(tmp_path / f"t.{ending}.{packer}") == ["the cat"]


@pytest.mark.parametrize("packer", PACKERS)
def test_damage_is_named(packer: str, tmp_path: Path) -> None:
    data = PACKERS[packer](os.urandom(1000).hex().encode() * 20)
    path = tmp_path / "a"
    for documents in ("file", "line"):
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=f"^{path} cannot be uncompressed: "):
            texts(path, documents=documents)
        path.write_bytes(data[:200] + bytes(50) + data[250:])
        with pytest.raises(ValueError, match=f"^{path} cannot be uncompressed: "):
            texts(path, documents=documents, unit="byte")


def test_several_frames_are_one_text() -> None:
    for pack in (gzip.compress, bz2.compress, lzma.compress, zstd):
        assert texts(io.BytesIO(pack(b"the ") + pack(b"") + pack(b"cat"))) == ["the cat"]
    skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    assert texts(io.BytesIO(skipped + zstd(b"the cat"))) == ["the cat"]


def test_reading_zstd_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd rest")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    refused(
        ValueError, f'{tmp_path}/a.zst: reading .zst needs zstandard: pip install "fastlm[zstd]"', tmp_path / "a.zst"
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
        (b"Rar!\x1a\x07\0", "a rar archive"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x04\x22\x4d\x18\0", "compressed by lz4"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an office program"),
    ],
)
def test_other_kinds_of_files_are_named(head: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(head)
    refused(
        ValueError,
        f"{tmp_path}/a is {kind}; text was expected, or .gz, .bz2, .xz, .zst, .zip, .jsonl, .csv, .tsv, "
        ".parquet or .arrow",
        tmp_path / "a",
    )


def test_a_tar_archive_is_named(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(__file__)
    refused(
        ValueError, f"{tmp_path}/a.tar.gz is a tar archive; its files were expected, unpacked", tmp_path / "a.tar.gz"
    )


def test_members_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = [
        ("b.txt", b"the b"),
        ("sub/a.csv", b"id,text\n1,the cat\n"),
        ("../up.txt", b"no"),
        ("/root.txt", b"the root"),
        ("C:\\x.txt", b"the x"),
        ("__MACOSX/b.txt", b"no"),
        (".hidden", b"no"),
        ("sub/.h", b"no"),
        ("d/", b""),
        ("c.txt.gz", gzip.compress(b"the c")),
        ("\x1b[2J.txt", b"the escape"),
    ]
    Path("a.zip").write_bytes(zipped(*odd))
    found = named("a.zip")
    assert [text for _, text in found] == ["the escape", "the root", "the x", "the b", "the c", "the cat"]
    assert found[0][0] == r"a.zip, member '\x1b[2J.txt'" and found[-1][0] == "a.zip, member 'sub/a.csv', line 2"
    assert sorted(os.listdir()) == ["a.zip"] and not (tmp_path.parent / "up.txt").exists()
    with open("a.zip", "rb") as file:
        assert [text for _, text in named(file)] == [text for _, text in found]
    piped = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from fastlm.text import read_documents\nprint(len(list(read_documents(sys.stdin.buffer))))",
        ],
        input=Path("a.zip").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert piped.stdout == b"6\n"


def test_archives_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    cases = [
        (zipped(), "the archive {} holds no files"),
        (zipped((".x", b"a")), "the archive {} holds no files"),
        (
            zipped(("[Content_Types].xml", b"<a>"), ("word/document.xml", b"<b>")),
            "{} is a document or program in a zip archive: it holds [Content_Types].xml; text was expected, so save it "
            "as plain text",
        ),
        (
            zipped(("b.zip", zipped(("a", b"a")))),
            "{}, member 'b.zip' is an archive in an archive; a file of text was expected",
        ),
        (zipped(("a", b"a b"))[:40], "{} cannot be uncompressed: File is not a zip file"),
    ]
    for data, message in cases:
        path.write_bytes(data)
        refused(ValueError, message.format(path), path)
    data = bytearray(zipped(("a", b"the cat " * 99)))
    data[45] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{path}, member 'a' cannot be uncompressed: "):
        texts(path)
    data = bytearray(zipped(("a", b"the cat")))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{path}, member 'a' cannot be read: .*encrypted"):
        texts(path)


BOMB = """
import io, resource, sys
from fastlm.text.sources.documents import read_documents
from fastlm.text.sources.lines import read_lines
memory = 1 << 27
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for _ in read_documents({path!r}, "line", memory=memory): pass
    print("read")
except ValueError as error:
    print(error)
print([row.fault for row in read_lines({path!r}, "word", memory=memory)])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 90_000)
"""


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_bomb_does_not_fill_the_memory_where_lines_are_read(packer: str, tmp_path: Path) -> None:
    """Of 120 MB without an end of line, in less than a megabyte, by a limit of 16 MiB a line."""
    path = tmp_path / "bomb"
    data = b"a" * 120_000_000
    path.write_bytes(
        zipped(("a", data))
        if packer == "zip"
        else lzma.compress(data, preset=0)
        if packer == "xz"
        else PACKERS[packer](data)
    )
    del data
    run = subprocess.run(
        [sys.executable, "-c", BOMB.format(path=str(path))], capture_output=True, text=True, check=True
    )
    error, fault, small = run.stdout.splitlines()
    assert "has more than 16,777,216 bytes; shorter lines were expected" in error
    assert "line 1 has more than 16,777,216 bytes; a shorter one was expected" in fault and small == "True"


def test_a_reader_leaves_the_file_open() -> None:
    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return b""

    raw: Any = Raw()
    compressed.buffered(raw).read()
    assert not raw.closed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
