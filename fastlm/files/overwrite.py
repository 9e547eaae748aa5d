"""Which files may be overwritten: an older file of the same kind, but never a text."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastlm.files.header import FORMAT, MAX_HEADER
from fastlm.text.sources.containers import Items
from fastlm.text.sources.paths import expanded

_NAMES = {"model": "no model file", "checkpoint": "no checkpoint"}
_WRITTEN = {"output": "the model", "checkpoint": "the checkpoint"}


def check_outputs(outputs: Mapping[str, Any], *sources: Any) -> None:
    """Raise ValueError, in one sentence, where a file that is to be written would replace a file of another kind.

    outputs: {"output": path of a model, "checkpoint": path of a checkpoint}, None for none. sources: what is to be
    read, as `Corpus.read` takes it. An output may not be the same file as a source or as the other output, under any
    name or link; it may not be an existing file in a folder that is to be read; and where the file exists, it has to be
    empty or of the kind that is written. Call this before anything is read.

    >>> check_outputs({"output": "poems.txt"}, ["poems.txt"])
    Traceback (most recent call last):
    ValueError: poems.txt is to be read, and the model would replace it; another name was expected
    """
    given = {role: os.fspath(path) for role, path in outputs.items() if path is not None}
    for role, path in given.items():
        for source in sources:
            for name in _files(source):
                if _same(path, name):
                    raise ValueError(f"{path} is to be read, and {_WRITTEN[role]} would replace it; another name was "
                                     "expected")
                if isinstance(name, str) and os.path.isdir(name) and os.path.exists(path) and _inside(path, name):
                    raise ValueError(f"{path} is in the folder {name}, which is to be read as text; {_WRITTEN[role]} "
                                     "outside of it was expected")
    if len(given) == 2 and _same(given["output"], given["checkpoint"]):
        raise ValueError(f"{given['output']} is to be both the model and the checkpoint; two names were expected")
    for role, path in given.items():
        check_kind(path, "model" if role == "output" else role)


def check_kind(path: str | os.PathLike[str], kind: str) -> None:
    """Raise ValueError where a file exists that is neither empty nor of the kind "model" or "checkpoint" given."""
    name = os.fspath(path)
    if os.path.isfile(name) and os.path.getsize(name) and (found := kind_of(name)) != kind:
        is_a = _NAMES[kind] if found is None else f"a {found}, no {kind}"
        raise ValueError(f"{name} exists and is {is_a}; a new name was expected, or remove it first")


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Return the kind that a file of fastlm records, "model" or "checkpoint"; None for another file.

    Only the header is read.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 8 <= length <= MAX_HEADER:
            return None
        header = file.read(length)
    try:
        metadata = json.loads(header)["__metadata__"]
        return str(metadata["kind"]) if metadata["format"] == FORMAT else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def rescue(save: Callable[[str], None], path: str | os.PathLike[str]) -> str:
    """Save a model under another name, after it could not be saved to `path`; return the end of a sentence about it.

    save: writes to the path that it is given, or raises OSError. The folder of `path`, the current folder and the
    folder for temporary files are tried in this order, with a name that is new there.
    """
    import tempfile  # here, since it costs `import fastlm` 4 ms

    name = f"{os.path.basename(path)}.rescued-{os.getpid()}"
    folders = list(dict.fromkeys([os.path.dirname(os.path.abspath(path)), os.getcwd(), tempfile.gettempdir()]))
    for folder in folders:
        other = os.path.join(folder, name)
        if os.path.lexists(other):
            continue
        with contextlib.suppress(OSError):
            save(other)
            return f"the model was saved to {other} instead"
    return f"nor could {name} be written to {', '.join(folders)}: the model is lost"


def _files(source: Any) -> Iterator[str | int]:
    """Yield the names of the files and folders that a source reads, and descriptors of open files."""
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        yield from [name] if os.path.exists(name) else expanded(name) or [name]
    elif hasattr(source, "fileno"):
        try:
            yield source.fileno()
        except (OSError, ValueError):   # an object that only looks like a file
            return
    elif isinstance(source, list | tuple):
        for item in source:
            if not isinstance(item, str) or _may_be_name(item):
                yield from _files(item)
    elif isinstance(source, Items):
        yield from _files(list(source.known))


def _may_be_name(text: str) -> bool:
    return len(text) < 4096 and "\n" not in text and "\0" not in text


def _same(path: str, other: str | int) -> bool:
    """Return whether a name and another name, or an open file, are the same file, which need not exist yet."""
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except (OSError, ValueError):
        return isinstance(other, str) and os.path.realpath(path) == os.path.realpath(other)


def _inside(path: str, folder: str) -> bool:
    """Return whether a file is in a folder or below it, in a place that is read when the folder is read."""
    parts = os.path.relpath(os.path.realpath(path), os.path.realpath(folder)).split(os.sep)
    return not any(part.startswith(".") for part in parts)


def without_outputs(names: Iterable[str], outputs: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return the names to read without the outputs, and the names of the outputs that were left out.

    A folder that holds an output is replaced by the names of its other files.
    """
    existing = [os.fspath(path) for path in outputs if path is not None and os.path.isfile(path)]
    kept: list[str] = []
    left_out: list[str] = []
    for name in names:
        inside = [path for path in existing if os.path.isdir(name) and _inside(path, name)]
        for file in _walk(name) if inside else [name]:
            (left_out if any(_same(path, file) for path in inside) else kept).append(file)
    return kept, left_out


def _walk(folder: str) -> Iterator[str]:
    """Yield the files of a folder in the order in which they are read."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(path, name) for name in sorted(names) if not name.startswith("."))
