"""Parquet and Arrow files, read by pyarrow a batch of rows at a time."""

from collections.abc import Iterator
from typing import Any

from fastlm.text.sources.archive import seekable
from fastlm.text.sources.columns import SAMPLE, Table

PARQUET = b"PAR1"
ARROW = b"ARROW1\0\0"
STREAM = b"\xff\xff\xff\xff"
_ROWS = 1024
_LONGEST_REASON = 200   # characters


def parquet(name: str, file: Any, most: int) -> Table:
    """Return the table of a parquet file. most: see `seekable`.

    Raises ValueError where it is none, and where pyarrow is not installed.
    """
    pyarrow = _pyarrow(name, ".parquet")
    from pyarrow.parquet import ParquetFile

    try:
        opened = ParquetFile(_native(pyarrow, file, name, most))
        schema = opened.schema_arrow
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise ValueError(f"{name} cannot be read as parquet: {_reason(error)}") from None
    def batches(columns: list[str]) -> Iterator[Any]:
        for part in opened.iter_batches(_ROWS, columns=columns):
            part.validate(full=True)
            yield part
    return _table(name, pyarrow, schema, batches)


def arrow(name: str, file: Any, most: int) -> Table:
    """Return the table of an Arrow file, a Feather file of version 2, or an Arrow stream, as `datasets` keeps them.

    most: see `seekable`.
    """
    pyarrow = _pyarrow(name, ".arrow")
    is_file = file.peek(len(ARROW))[: len(ARROW)] == ARROW
    native = _native(pyarrow, file, name, most)
    begin = 0

    def opened() -> Any:
        native.seek(begin)
        return pyarrow.ipc.open_file(native) if is_file else pyarrow.ipc.open_stream(native)

    def batches(columns: list[str]) -> Iterator[Any]:
        reader = opened()
        parts = (reader.get_batch(n) for n in range(reader.num_record_batches)) if is_file else reader
        for part in parts:
            selected = part.select(columns)
            selected.validate(full=True)   # offsets in a hostile file may point outside its data
            yield from (selected.slice(n, _ROWS) for n in range(0, selected.num_rows, _ROWS))
    try:
        schema = opened().schema
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise ValueError(f"{name} cannot be read as arrow: {_reason(error)}") from None
    return _table(name, pyarrow, schema, batches)


def _table(name: str, pyarrow: Any, schema: Any, batches: Any) -> Table:
    """Return a table whose sample has values of the columns of strings, and nothing of the others."""
    def damaged(error: Exception) -> ValueError:
        return ValueError(f"{name} is damaged: {_reason(error)}")

    try:
        strings = [field.name for field in schema if _is_text(pyarrow.types, field.type)]
        sample: dict[str, list[Any]] = {field.name: [0] for field in schema}
        first = next(iter(batches(strings)), None) if strings else None
        sample |= {key: [] if first is None else first.column(key).slice(0, SAMPLE).to_pylist() for key in strings}
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise damaged(error) from None

    def values(key: str) -> Iterator[Any]:
        try:
            for batch in batches([key]):
                yield from batch.column(0).to_pylist()
        except (pyarrow.ArrowException, OSError, UnicodeError) as error:
            raise damaged(error) from None
    return Table(name, sample, values)


def _reason(error: Exception) -> str:
    """Return the message of an error of pyarrow, which may be long and of several lines, as a part of a sentence."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."


def _is_text(types: Any, kind: Any) -> bool:
    inner = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner))


def _native(pyarrow: Any, file: Any, name: str, most: int) -> Any:
    return pyarrow.PythonFile(seekable(file, name, most), "r")


def _pyarrow(name: str, kind: str) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise ValueError(f'{name}: reading {kind} needs pyarrow: pip install "fastlm[parquet]"') from None
    return pyarrow
