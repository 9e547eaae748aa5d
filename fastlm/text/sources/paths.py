"""Paths: files, folders and patterns; and which strings are paths."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastlm.text.sources.strings import shown

_ENDINGS = (".txt", ".gz", ".bz2", ".xz", ".zst", ".zip", ".md", ".jsonl", ".ndjson", ".json", ".csv", ".tsv",
            ".parquet", ".arrow", ".feather")
_PATTERN = re.compile(r"[*?\]][^/]*\.\w+$|[*?\]].*/[^/*?\[]+\.\w+$")
_LONGEST_NAME = 4096  # characters; PATH_MAX of Linux, and more than other systems allow


def is_name(text: str) -> bool:
    """Return whether a string names a file or folder that exists, or is a pattern of such names with an ending, such as
    "a/*.txt": the beginning of a comment, "/**", would match every file there is."""
    if len(text) > _LONGEST_NAME or "\n" in text or "\0" in text:
        return False
    return os.path.exists(text) or bool(_PATTERN.search(text) and _like_a_file_name(text) and expanded(text))


def are_names(items: Sequence[Any]) -> bool:
    """Return whether the strings of a list are paths: all of them must name files, or none.

    Raises FileNotFoundError where none does and all look like names, and ValueError where some do.
    """
    strings = [item for item in items if isinstance(item, str)]
    missing = [item for item in strings if not is_name(item)]
    others = [item for item in items if isinstance(item, os.PathLike)]
    if not missing:
        return True
    if len(missing) == len(strings) and not others:
        if all(map(_like_a_file_name, missing)):
            raise FileNotFoundError(f"{shown(missing[0])} does not exist, and looks like the name of a file")
        return False
    named = str(others[0]) if others else next(item for item in strings if is_name(item))
    raise ValueError(
        f"{shown(named)} names a file and {shown(missing[0])} does not; expected all paths or all documents, which "
        "fastlm.text.texts(...) says"
    )


def expanded(pattern: str | os.PathLike[str]) -> list[str]:
    """Return the names that a pattern with `*`, `?`, `[...]` or `**` matches, in their order; none where it is no
    pattern.

    Hidden names are left out, as a shell does, and so are files of folders that match, too, since these are read.
    """
    name = os.fspath(pattern)
    if not glob.has_magic(name):
        return []
    found = sorted(glob.glob(name, recursive=True))
    folders = {path.rstrip(os.sep) for path in found if os.path.isdir(path)}
    return [path for path in found if not any(above in folders for above in _above(path))]


def files(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the names of the files of a path: the file itself; the files of a folder in the order of their names,
    hidden ones left out; or what a pattern matches. Raises FileNotFoundError where there is nothing, ValueError for a
    folder without files."""
    name = os.fspath(path)
    if not os.path.exists(name):
        matches = expanded(name)
        if not matches:
            hint = "; a document itself goes into a list, [text]" if re.search(r"\s", name) else ""
            what = "matches no file" if glob.has_magic(name) and not hint else "does not exist"
            raise FileNotFoundError(f"{shown(name)} {what}{hint}")
        for match in matches:
            yield from files(match)
    elif os.path.isdir(name):
        yield from _files_of_folder(name)
    else:
        yield name


def all_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield the names of the files of several paths."""
    for path in paths:
        yield from files(path)


def _files_of_folder(name: str) -> Iterator[str]:
    found = False
    for folder, folders, names in os.walk(name):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for one in sorted(names):
            full = os.path.join(folder, one)
            if not one.startswith(".") and os.path.isfile(full):
                found = True
                yield full
    if not found:
        raise ValueError(f"the folder {shown(name)} holds no files")


def _like_a_file_name(text: str) -> bool:
    """Return whether a text is short enough for a path, without whitespace, and has a slash or the ending of a file."""
    return len(text) <= _LONGEST_NAME and ("/" in text or text.endswith(_ENDINGS)) and not re.search(r"\s", text)


def _above(path: str) -> Iterator[str]:
    """Yield the folders above a path."""
    while (above := os.path.dirname(path.rstrip(os.sep))) and above != path:
        yield above
        path = above
