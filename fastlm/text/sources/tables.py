"""Tables in memory, told by what they can do: of pandas, polars, pyarrow and datasets, and mappings of columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from fastlm.text.sources.columns import SAMPLE, Table, from_rows

_ROWS = 1024


def table_of(source: Any) -> Table | None:
    """Return the table that an object is, or None.

    Raises TypeError for a mapping that is no table of columns, and names its keys.
    """
    name = f"the {type(source).__name__}"
    if isinstance(source, Mapping):
        return _of_mapping(name, source)
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):   # a lazy frame of polars
        return table_of(source.collect())
    if hasattr(source, "column_names") and hasattr(source, "iter"):        # a data set of Hugging Face
        return _of_dataset(name, source)
    if hasattr(source, "to_batches") and hasattr(source, "schema"):        # a table of pyarrow
        return _of_arrow(name, source.schema.names, source.to_batches)
    if hasattr(source, "read_next_batch"):                                 # a stream of batches of pyarrow
        return _of_arrow(name, source.schema.names, lambda **_: source)
    if hasattr(source, "schema") and hasattr(source, "to_pydict"):         # one batch of pyarrow
        return _of_arrow(name, source.schema.names, lambda **_: [source])
    if hasattr(source, "columns") and hasattr(source, "head") and hasattr(source, "__getitem__"):
        return _of_frame(name, source)
    return None


def plain(source: Iterable[Any]) -> Iterable[Any]:
    """Return the items of a container; those of an array of pyarrow as Python's own."""
    if not hasattr(source, "to_pylist"):
        return source
    array: Any = source
    return (item for n in range(0, len(array), _ROWS) for item in array.slice(n, _ROWS).to_pylist())


def _of_mapping(name: str, source: Mapping[str, Any]) -> Table:
    columns = {key: value for key, value in source.items() if _is_column(value)}
    if len(columns) < len(source) or not source:
        keys = ", ".join(repr(str(key)) for key in islice(source, 20)) or "nothing"
        raise TypeError(f"the source is a {type(source).__name__} of {keys}; expected a path, an open file, a list of "
                        "documents, or columns of the same length")
    sample = {key: list(islice(plain(value), SAMPLE)) for key, value in columns.items()}
    return Table(name, sample, lambda key: iter(plain(columns[key])), kind=TypeError)


def _is_column(value: object) -> bool:
    return isinstance(value, Iterable) and hasattr(value, "__len__") and not (
        isinstance(value, str | bytes | Mapping) or hasattr(value, "columns") or hasattr(value, "column_names"))


def _of_frame(name: str, source: Any) -> Table:
    """Return the table of a data frame, of which a name that two columns have is no name of a column."""
    names = list(source.columns)
    columns = [key for key in names if isinstance(key, str) and names.count(key) == 1]
    sample = {key: list(islice(source[key], SAMPLE)) for key in columns}
    return Table(name, sample, lambda key: iter(source[key]), kind=TypeError)


def _of_arrow(name: str, names: Sequence[str], batches: Any) -> Table:
    """Return the table of batches of columns, read once."""
    parts = iter(batches(max_chunksize=_ROWS))
    first = next(parts, None)
    sample: dict[str, list[Any]] = {key: [] for key in names}
    if first is not None:
        sample = {key: first.column(n).slice(0, SAMPLE).to_pylist() for n, key in enumerate(names)}

    def values(key: str) -> Iterator[Any]:
        for part in chain([] if first is None else [first], parts):
            yield from plain(part.column(names.index(key)))
    return Table(name, sample, values, kind=TypeError)


def _of_dataset(name: str, source: Any) -> Table:
    """Return the table of a data set, of which batches of rows are read, and only the column that is wanted where its
    columns are known."""
    if source.column_names is None:
        return from_rows(name, iter(source), kind=TypeError)
    names = list(source.column_names)
    sample: dict[str, list[Any]] = {key: [] for key in names}
    for batch in source.iter(SAMPLE):
        sample = {key: list(batch[key]) for key in names}
        break

    def values(key: str) -> Iterator[Any]:
        for batch in source.select_columns([key]).iter(_ROWS):
            yield from batch[key]
    return Table(name, sample, values, kind=TypeError)
