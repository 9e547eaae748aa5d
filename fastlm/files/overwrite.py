"""What may be written over: a new name or an older file of the same kind, but never a text."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastlm.files.modelfile import FORMAT, MAX_HEADER

_NAMES = {"model": "no model file", "checkpoint": "no checkpoint"}
_CLAIMS = {"output": "the model", "checkpoint": "the checkpoint"}


def check_outputs(outputs: Mapping[str, Any], *sources: Any) -> None:
    """Raise ValueError, in one sentence, where a file that is to be written would replace something of value.

    outputs: {"output": path of a model, "checkpoint": path of a checkpoint}, None for none. sources: what is to be
    read, as `Corpus.read` takes it. No output may be the same file as a source or as another output, under whatever
    name, link or hard link, nor stand in a folder that is to be read; and a file that exists has to be of the kind that
    is written, or empty. To be called before anything is read.

    >>> check_outputs({"output": "poems.txt"}, ["poems.txt"])
    Traceback (most recent call last):
    ValueError: poems.txt is to be read, and the model would replace it; another name was expected
    """
    given = {role: os.fspath(path) for role, path in outputs.items() if path is not None}
    for role, path in given.items():
        for source in sources:
            for name in _files(source):
                if _same(path, name):
                    raise ValueError(f"{path} is to be read, and {_CLAIMS[role]} would replace it; another name was "
                                     "expected")
                if isinstance(name, str) and os.path.isdir(name) and os.path.exists(path) and _inside(path, name):
                    raise ValueError(f"{path} is in the folder {name}, which is to be read as text; {_CLAIMS[role]} "
                                     "outside of it was expected")
    if len(given) == 2 and _same(given["output"], given["checkpoint"]):
        raise ValueError(f"{given['output']} is to be both the model and the checkpoint; two names were expected")
    for role, path in given.items():
        check_kind(path, "model" if role == "output" else role)


def check_kind(path: str | os.PathLike[str], kind: str) -> None:
    """Raise ValueError where a file exists that is not of the kind, "model" or "checkpoint", and not empty."""
    name = os.fspath(path)
    if os.path.isfile(name) and os.path.getsize(name) and (found := kind_of(name)) != kind:
        told = _NAMES[kind] if found is None else f"a {found}, no {kind}"
        raise ValueError(f"{name} exists and is {told}; a new name was expected, or remove it first")


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Return what a file of ours says it holds, "model" or "checkpoint"; None for any other. Reads the header alone."""
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
    """Save elsewhere what could not be saved to a path, and return what was done, as the end of a sentence.

    save: writes to the path that it is given, or raises OSError. Tried are, under a name that is new there, the folder
    of `path`, the current folder and that for temporary files.
    """
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
    """The names of what a source reads, or descriptors of open files; nothing for documents."""
    if isinstance(source, str | os.PathLike):
        yield os.fspath(source)
    elif hasattr(source, "fileno"):
        try:
            yield source.fileno()
        except (OSError, ValueError):   # an object that only looks like a file
            return
    elif isinstance(source, list | tuple):
        for item in source:
            if isinstance(item, os.PathLike) or (isinstance(item, str) and _may_be_name(item)):
                yield os.fspath(item)


def _may_be_name(text: str) -> bool:
    return len(text) < 4096 and "\n" not in text and "\0" not in text


def _same(path: str, other: str | int) -> bool:
    """Whether a name and another one, or an open file, are one file, which need not exist yet."""
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except (OSError, ValueError):
        return isinstance(other, str) and os.path.realpath(path) == os.path.realpath(other)


def _inside(path: str, folder: str) -> bool:
    """Whether a name stands in a folder or below, where reading the folder would come across it."""
    parts = os.path.relpath(os.path.realpath(path), os.path.realpath(folder)).split(os.sep)
    return not any(part.startswith(".") for part in parts)


def without_outputs(names: Iterable[str], outputs: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return names to read, folders that hold an output file by file without it, and which files these are."""
    there = [os.fspath(path) for path in outputs if path is not None and os.path.isfile(path)]
    kept: list[str] = []
    left: list[str] = []
    for name in names:
        own = [path for path in there if os.path.isdir(name) and _inside(path, name)]
        for file in _walked(name) if own else [name]:
            (left if any(_same(path, file) for path in own) else kept).append(file)
    return kept, left


def _walked(folder: str) -> Iterator[str]:
    """The files of a folder in the order in which they are read."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(path, name) for name in sorted(names) if not name.startswith("."))
