"""Parquet, Arrow and Feather files."""

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.text.sources.helpers import named, refused, texts

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow reads parquet and arrow files")
feather, parquet = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")

TABLE = pyarrow.table({"id": list(range(3000)), "text": [f"the cat {n}" for n in range(3000)]})
TEXTS = TABLE["text"].to_pylist()


def write(kind: str, table: Any, path: Path) -> Path:
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=700)
    elif kind == "feather":
        feather.write_feather(table, str(path))
    else:
        maker = pyarrow.ipc.new_file if kind == "arrow file" else pyarrow.ipc.new_stream
        with pyarrow.OSFile(str(path), "wb") as file, maker(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=900)
    return path


KINDS = ["parquet", "feather", "arrow file", "arrow stream"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a"])
def test_tables_are_read_whatever_their_names(kind: str, name: str, tmp_path: Path) -> None:
    path = write(kind, TABLE, tmp_path / name)
    if kind == "parquet" or name != "a.parquet":
        assert texts(path) == TEXTS and named(path)[2999][0] == f"{path}, row 2999"
        assert texts(io.BytesIO(path.read_bytes())) == TEXTS
        (tmp_path / "b.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert texts(tmp_path / "b.gz") == TEXTS
        with path.open("rb") as file:
            assert texts(file) == TEXTS and not file.closed


@pytest.mark.parametrize("kind", KINDS)
def test_columns_and_rows(kind: str, tmp_path: Path) -> None:
    dictionary = pyarrow.array(["a b", "c d", "a b"]).dictionary_encode()
    path = write(kind, pyarrow.table({"n": [1, 2, 3], "text": dictionary}), tmp_path / "a.arrow")
    assert texts(path) == ["a b", "c d", "a b"]
    path = write(kind, pyarrow.table({"title": ["a b"], "text": ["c d"], "n": [1]}), tmp_path / "a.arrow")
    assert texts(path, text_key="text") == ["c d"]
    refused(
        ValueError,
        f"{path} has the columns 'title', 'text', 'n'; several of its columns hold text, 'title', 'text', "
        "so text_key= (--text-key) was expected to name one",
        path,
    )
    refused(ValueError, f"{path} has no column 'x'; it has 'title', 'text', 'n'", path, text_key="x")
    refused(
        ValueError,
        f"{path}, row 0: the column 'n' is a int; a text was expected; "
        'errors="ignore" (--errors ignore) leaves such rows out',
        path,
        text_key="n",
    )
    path = write(kind, pyarrow.table({"text": ["c d", None]}), tmp_path / "a.arrow")
    refused(
        ValueError,
        f"{path}, row 1: the column 'text' is None; a text was expected; "
        'errors="ignore" (--errors ignore) leaves such rows out',
        path,
    )
    assert texts(path, errors="ignore") == ["c d"]
    path = write(kind, pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "a.arrow")
    assert texts(path) == []


def test_damage_and_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("parquet", TABLE, tmp_path / "a.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    with pytest.raises(ValueError, match=f"^{path} cannot be read as parquet: "):
        texts(path)
    path = write("arrow stream", TABLE, tmp_path / "a.arrow")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=f"^{path} is damaged: "):
        texts(path)
    path = write("arrow stream", pyarrow.table({"text": ["x", "y z"]}), tmp_path / "a.arrow")
    data = path.read_bytes()
    at = data.index(b"\0\0\0\0\1\0\0\0\4\0\0\0")   # the offsets of the strings
    path.write_bytes(data[:at] + b"\0\0\0\0\1\0\0\0\4\0\1\0" + data[at + 12:])
    with pytest.raises(ValueError, match=f"^{path} is damaged: "):
        texts(path)
    path.write_bytes(b"ARROW1\0\0 and nothing more")
    with pytest.raises(ValueError, match=f"^{path} cannot be read as arrow: "):
        texts(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(ValueError, f'{path}: reading .arrow needs pyarrow: pip install "fastlm[parquet]"', path)
