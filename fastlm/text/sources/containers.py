"""What a source is: a path, an open file, a table, or a container of paths, texts, rows, lists of tokens or of ids."""

import os
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from fastlm.text.sources.columns import Table, from_rows
from fastlm.text.sources.paths import are_names
from fastlm.text.sources.strings import a_kind, is_file
from fastlm.text.sources.tables import plain, table_of
from fastlm.text.sources.token_lists import IdLists, TokenLists, is_list, of_lists

_HEAD = 64     # items of an iterator by which it is told whether its strings are paths
_WHOLE = (list, tuple, set, frozenset, KeysView, ValuesView)   # of which all items are looked at


@dataclass(frozen=True)
class Items:
    """Paths, open files and texts, one after another; ``paths``: whether its strings are paths; ``known``: the first of
    them, or all."""

    items: Iterable[Any]
    paths: bool
    known: Sequence[Any] = ()


Source = Items | Table | TokenLists | IdLists


def texts(strings: Iterable[Any]) -> Items:
    """Return a source of strings that are texts, whatever files have such names.

        >>> texts(["README.md"]).paths
        False
    """
    return Items(strings, False)


def recognised(source: Any) -> Source:
    """Return what a source is; what this function has returned is returned as it is.

    Strings in a list, set, array or view are paths where all of them name files, and texts where none does; those of a
    generator or another iterator, by its first 64 items. Raises TypeError for what is no source, and what `are_names`
    raises.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str | os.PathLike) or is_file(source):
        return Items([source], True, [source])
    if isinstance(source, bytes | bytearray | memoryview):
        raise _no_source(source)
    table = table_of(source)
    if table is not None:
        return table
    if getattr(source, "ndim", 0) and hasattr(source, "__array__") and not hasattr(source, "to_numpy"):
        source = np.asarray(source)
        if source.dtype.kind in "UO":
            source = source.tolist()
        elif source.dtype.kind in "iu":
            return IdLists(iter(source if source.ndim > 1 else [source]))
    if not isinstance(source, Iterable):
        raise _no_source(source)
    return _container(source)


def _container(source: Iterable[Any]) -> Source:
    source = plain(source)
    if isinstance(source, _WHOLE):
        head = list(source)
        items: Iterator[Any] = iter(head)
    else:
        rest = iter(source)
        head = list(islice(rest, _HEAD))
        items = chain(head, rest)
    if head and all(map(is_list, head)):
        return of_lists(head, items)
    if head and isinstance(head[0], Mapping):
        return from_rows("the rows", _mappings(items), kind=TypeError)
    return Items(items, any(isinstance(item, str) for item in head) and are_names(head), head)


def _mappings(items: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
    for n, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise TypeError(f"row {n} is {a_kind(item)}; a mapping of columns was expected, as the first row is")
        yield item


def _no_source(source: object) -> TypeError:
    return TypeError(f"the source is a {type(source).__name__}; expected a path, an open file or a list of documents")
