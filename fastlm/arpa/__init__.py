"""N-gram models as ARPA text, the format that SRILM, KenLM and others share: base-10 logarithms, one n-gram a line.

``</s>`` is the token that ends a line, and ``<s>`` is the same token where a context begins: at the beginning of a
document, and with `KneserNey.boundary` of every line. Where contexts are continued across lines, ``</s>`` stands inside
n-grams like any other word, and the n-grams that begin with it are written a second time with ``<s>``, so that tools
which score line by line find them.

Words of other tools are read as they are: they may hold backslashes and any character but a space, a tab, a carriage
return, a newline and NUL. ``<UNK>`` is ``<unk>``. A token that holds one of those characters, or that is ``<s>`` or
``</s>`` itself, is written with escapes, a backslash, the code point in hexadecimal and a semicolon: a space is
``\\20;``. The line ``# fastlm: escapes`` before the data says so, and without it a backslash is a backslash. That line
also names the unit, if it is not the word, and says whether contexts run on across lines; other tools skip it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from fastlm.arpa.read import DATA, NoCopies, Reader, RunsOn, Text
from fastlm.arpa.write import write
from fastlm.files import atomic, modelfile
from fastlm.files.compressing import compressing
from fastlm.files.overwrite import check_outputs
from fastlm.language_model import LanguageModel
from fastlm.models import KneserNey
from fastlm.text.sources.archive import seekable
from fastlm.text.sources.compressed import buffered, naming_damage, uncompressed

__all__ = ["convert", "is_arpa", "load", "save"]

_HEAD = 1 << 20      # bytes of a file in which its data begin, for it to be told by them
_ENDINGS = (".arpa", ".lm")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def save(lm: LanguageModel, target: str | os.PathLike[str] | BinaryIO) -> None:
    """Write an n-gram language model as ARPA text. An older file stays until the new one is whole.

    target: a path, which is compressed where it ends in .gz, .bz2, .xz or .zst, or a file object that takes bytes.
    Raises ValueError for a model that is not a `KneserNey`, for a vocabulary of pieces or without an end-of-line token,
    and for contexts that end at another token; OSError where the file cannot be written.

    >>> arpa.save(fastlm.train("my.txt", model="kneser-ney", order=3), "my.arpa")    # doctest: +SKIP
    """
    model, line_end = lm.model, lm.vocabulary.end_of_line
    if not isinstance(model, KneserNey):
        raise ValueError(f"a {type(model).__name__} is no n-gram model; ARPA text holds a KneserNey")
    if lm.vocabulary.unit == "piece":
        raise ValueError("ARPA text has no place for the merges of pieces; a vocabulary of words, characters or bytes "
                         "was expected")
    if line_end is None or model.boundary not in (None, line_end):
        raise ValueError(f"contexts end at token {model.boundary} and lines at {line_end}; ARPA text needs an end of "
                         "line, and contexts that end there or nowhere")

    if not isinstance(target, str | os.PathLike):
        write(target, lm.vocabulary, model)
        return

    def fill(file: BinaryIO) -> None:
        with compressing(file, target) as stream:
            write(stream, lm.vocabulary, model)
    atomic.replace(target, fill)


def load(source: Any, unit: str | None = None, encoding: str = "utf-8") -> LanguageModel:
    """Return the n-gram language model in an ARPA file of any tool, plain or compressed (.gz, .bz2, .xz, .zst).

    Scores are those of the file. Where it has no ``<unk>``, an unknown word has log10 p = -100, as in KenLM. Contexts
    and suffixes that pruning has removed are added with the probability that backing off gives. A log-probability above
    0 is read as 0. Probabilities need not sum to one: ``next_tokens`` and the like then give the file's figures as they
    are. ``history.ended`` of the model says which of these the file called for.

    source: the path of the file, its bytes, or a file object that gives them. unit: "word", "char" or "byte", what its
    tokens are; None for what the file says, or else words. encoding: that of its words. Raises OSError where the file
    cannot be read, ValueError, in one sentence with the number of the line, where it is not sound, and TypeError for
    another kind of source.

    >>> lm = arpa.load("my.arpa")                                                    # doctest: +SKIP
    """
    with _opened(source) as (name, file), naming_damage(name):
        start = file.tell()
        for ends in ("lines", "run on", "cut"):
            file.seek(start)
            stream, _ = uncompressed(buffered(file), name)
            try:
                return Reader(Text(stream), unit, encoding, ends).read()
            except (RunsOn, NoCopies):
                continue
            except ValueError as error:
                raise ValueError(f"{name} is no sound ARPA file: {error}") from None
    raise AssertionError("n-grams that go on are left out in the end")


@contextmanager
def _opened(source: Any) -> Iterator[tuple[str, Any]]:
    """Give the name of a source, for messages, and a stream of its bytes that can seek."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            yield os.fspath(source), seekable(file, os.fspath(source))
    elif isinstance(source, bytes | bytearray | memoryview):
        yield f"the {type(source).__name__} object", io.BytesIO(source)
    elif not callable(getattr(source, "read", None)) or isinstance(source.read(0), str):
        raise TypeError(f"a {type(source).__name__} was given; the name of an ARPA file, bytes or a file object that "
                        "is open for reading bytes was expected")
    else:
        name = f"the file object {getattr(source, 'name', type(source).__name__)!r}"
        yield name, seekable(source, name)


def is_arpa(source: Any) -> bool:
    r"""Return whether a source, as `load` takes it, is ARPA text, plain or compressed: a line of its first MiB is
    \data\.

    A model file is told from its first nine bytes. OSError where a file cannot be read; False for pipes, of which
    nothing can be read twice, and for what is no source. A file object stays where it stands.
    """
    if modelfile.begins_like_one(source):
        return False
    try:
        with _opened(source) as (name, file), naming_damage(name):
            start = file.tell()
            try:
                stream, _ = uncompressed(buffered(file), name)
                return DATA.search(stream.read(_HEAD).removeprefix(b"\xef\xbb\xbf")) is not None
            finally:
                file.seek(start)
    except (TypeError, ValueError):
        return False


def convert(source: str | os.PathLike[str], output: str | os.PathLike[str], read: Callable[[Any], LanguageModel]
            ) -> LanguageModel:
    """Write the model of one file as another: ARPA text where `output` ends in .arpa or .lm, perhaps with .gz, .bz2,
    .xz or .zst after it, and else a model file.

    read: loads a file of either kind. Returns the model. Raises what `save` and `load` raise, and ValueError for an
    output that exists and is neither empty nor of the kind that is written.
    """
    name = os.fspath(output)
    stem, ending = os.path.splitext(name)
    to_arpa = (stem if ending.lower() in _COMPRESSED else name).lower().endswith(_ENDINGS)
    if to_arpa and os.path.exists(name):
        if os.path.samefile(source, name):
            raise ValueError(f"{name} is to be read, and would be replaced; another name was expected")
        if os.path.getsize(name) and not is_arpa(name):
            raise ValueError(f"{name} exists and is no ARPA file; a new name was expected, or remove it first")
    elif not to_arpa:
        check_outputs({"output": name}, source)
    atomic.check_writable(name)
    lm = read(source)
    if to_arpa:
        save(lm, name)
    else:
        lm.save(name)
    return lm
