"""N-gram models as ARPA text, the format that SRILM, KenLM and others share: base-10 logarithms, one n-gram a line.

``</s>`` is the token that ends a line, and ``<s>`` is the same token where a context begins: at the beginning of a
document, and with `KneserNey.boundary` of every line. Where contexts are continued across lines, ``</s>`` stands inside
n-grams like any other word, and the n-grams that begin with it are written a second time with ``<s>``, so that tools
which score line by line find them. ``<unk>`` is written as it is. In a token, whitespace, backslashes and characters
that cannot be printed are written as a backslash, the code point in hexadecimal and a semicolon: a space is ``\\20;``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from fastlm.files import atomic
from fastlm.language_model import LanguageModel
from fastlm.models import KneserNey
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.history import History

__all__ = ["load", "save"]

Array = np.ndarray
_BEGIN, _END = "<s>", "</s>"
_NEVER = "-99"                      # the usual entry for the logarithm of zero
_LN10 = float(np.log(10))


def save(lm: LanguageModel, path: str | os.PathLike[str]) -> None:
    """Write an n-gram language model as ARPA text. An older file stays until the new one is whole.

    Raises ValueError for a model that is not a `KneserNey`, for a vocabulary without an end-of-line token, and for
    contexts that end at another token; OSError where the file cannot be written.

    >>> arpa.save(fastlm.train("my.txt", model="kneser-ney", order=3), "my.arpa")    # doctest: +SKIP
    """
    model, line_end = lm.model, lm.vocabulary.end_of_line
    if not isinstance(model, KneserNey):
        raise ValueError(f"a {type(model).__name__} is no n-gram model; ARPA text holds a KneserNey")
    if line_end is None or model.boundary not in (None, line_end):
        raise ValueError(f"contexts end at token {model.boundary} and lines at {line_end}; ARPA text needs an end of "
                         "line, and contexts that end there or nowhere")

    def write(file: BinaryIO) -> None:
        levels = list(_levels(model, [_escape(token) for token in lm.vocabulary.tokens], line_end))
        counts = "".join(f"ngram {k}={len(lines)}\n" for k, lines in enumerate(levels, 1))
        file.write(f"\\data\\\n{counts}".encode())
        for k, lines in enumerate(levels, 1):
            file.write(f"\n\\{k}-grams:\n".encode())
            file.write("".join(lines).encode("utf-8", "surrogateescape"))
        file.write(b"\n\\end\\\n")
    atomic.replace(path, write)


def _levels(model: KneserNey, names: list[str], line_end: int) -> Iterator[list[str]]:
    """Yield the lines of each order, single words first."""
    child, word = model.tables["child"], model.tables["word"].tolist()
    logp = (model.tables["logp"].astype(np.float64) / _LN10).tolist()
    backoff = (model.tables["backoff"].astype(np.float64) / _LN10).tolist()
    names[line_end] = _END
    first, last = 0, model.vocab_size
    grams, begins = list(names), (line_end, line_end + 1)          # the nodes of this order that a line can begin with
    if model.boundary is not None:
        grams[line_end] = _BEGIN
    while True:
        inner = first < len(backoff)
        lines = [f"{logp[c]:.9g}\t{gram}\t{backoff[c]:.9g}\n" if inner else f"{logp[c]:.9g}\t{gram}\n"
                 for c, gram in zip(range(first, last), grams, strict=True)]
        at_begin = range(*begins)
        if first == 0:
            after = backoff[line_end] if inner else 0.0
            lines[line_end] = f"{logp[line_end]:.9g}\t{_END}\t{0 if model.boundary is not None else after:.9g}\n"
            lines.append(f"{_NEVER}\t{_BEGIN}\t{after:.9g}\n")
        elif model.boundary is None:
            lines += [lines[c - first].replace(f"\t{_END} ", f"\t{_BEGIN} ", 1) for c in at_begin]
        yield lines
        if not inner or int(child[first]) == int(child[last]):
            return
        grams = [f"{gram} {names[word[c]]}" for h, gram in zip(range(first, last), grams, strict=True)
                 for c in range(child[h], child[h + 1])]
        begins = int(child[begins[0]]), int(child[begins[1]])
        first, last = last, int(child[last]) if last < len(child) else len(word)


def _escape(token: str | None) -> str:
    token = token or ""
    if token in (_BEGIN, _END, ""):
        return f"\\{ord(token[0]) if token else 0:x};{token[1:]}"
    return "".join(c if c.isprintable() and not c.isspace() and c != "\\" else f"\\{ord(c):x};" for c in token)


def _unescape(name: str) -> str:
    if "\\" not in name:
        return name
    head, *rest = name.split("\\")
    parts = [part.partition(";") for part in rest]
    return head + "".join(chr(int(code, 16)) + text for code, _, text in parts)


def load(path: str | os.PathLike[str], unit: str = "word") -> LanguageModel:
    """Return the n-gram language model in an ARPA file. unit: "word", "char" or "byte", what its tokens are.

    For every n-gram the file has to hold its suffix and its context too, as tools that estimate n-grams write them, and
    probabilities are expected to sum to one. Raises OSError where the file cannot be read, and ValueError, in one
    sentence, where it is not sound.

    >>> lm = arpa.load("my.arpa")                                                    # doctest: +SKIP
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        try:
            return _language_model(list(_sections(file)), unit)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)} is no sound ARPA file: {error}") from None


def _sections(file: Iterator[str]) -> Iterator[list[list[str]]]:
    """Yield the n-grams of each order, as lists of the fields of their lines."""
    counts: list[int] = []
    for line in file:
        if line.startswith("ngram "):
            counts.append(int(line.partition("=")[2]))
        elif line.startswith("\\1-grams:"):
            break
    if not counts:
        raise ValueError("it has no \\data\\ section with the numbers of its n-grams")
    for k, count in enumerate(counts, 1):
        grams = []
        for line in file:
            fields = line.split()
            if fields and fields[0].startswith("\\"):
                break
            if fields:
                if not k < len(fields) <= k + 2:
                    raise ValueError(f"{line.strip()!r} stands among the {k}-grams")
                grams.append(fields)
        if len(grams) != count:
            raise ValueError(f"it has {len(grams)} {k}-grams, and says {count}")
        yield grams


def _language_model(sections: list[list[list[str]]], unit: str) -> LanguageModel:
    names = [fields[1] for fields in sections[0] if fields[1] != _BEGIN]
    if _END not in names:
        raise ValueError(f"it has no {_END}")
    vocabulary = Vocabulary(["\n" if name == _END else _unescape(name) for name in names], unit)
    size, line_end, order = len(names), names.index(_END), len(sections)
    ids = {name: i for i, name in enumerate(names)} | {_BEGIN: size}
    try:
        words = [np.array([[ids[name] for name in fields[1: k + 1]] for fields in grams], np.int64).reshape(-1, k)
                 for k, grams in enumerate(sections, 1)]
    except KeyError as missing:
        raise ValueError(f"{missing} is in an n-gram and no 1-gram") from None
    values = [np.array([[float(fields[0]), float(fields[k + 1]) if len(fields) > k + 1 else 0] for fields in grams])
              .reshape(-1, 2) for k, grams in enumerate(sections, 1)]
    runs_on = any((grams[:, :-1] == line_end).any() for grams in words[1:])
    words, values = _without_begin(words, values, line_end, size, runs_on)
    model = KneserNey(size, order, None if runs_on else line_end)
    model.restore(_tables(words, values, size))
    return LanguageModel(vocabulary, model, History(ended=f"read from ARPA text of order {order}"))


def _without_begin(words: list[Array], values: list[Array], line_end: int, size: int,
                   runs_on: bool) -> tuple[list[Array], list[Array]]:
    """Return words and values with the end of a line in place of <s>.

    Where contexts are continued across lines (`runs_on`), the n-grams with <s> are dropped, since the file holds each
    of them with </s> too.
    """
    begin = words[0][:, 0] == size
    if begin.any() and not runs_on:
        values[0][words[0][:, 0] == line_end, 1] = values[0][begin, 1]
    words[0], values[0] = words[0][~begin], values[0][~begin]
    for k, grams in enumerate(words[1:], 1):
        if (grams[:, 1:] == size).any():
            raise ValueError(f"{_BEGIN} stands inside an n-gram of {k + 1} words")
        first = grams[:, 0] == size
        grams[first, 0] = line_end
        if runs_on:
            both = np.concatenate([grams[first], grams[~first]])
            if len(np.unique(both, axis=0)) != (~first).sum():
                raise ValueError(f"n-grams of {k + 1} words begin with {_BEGIN} and not with {_END}, which others hold")
            words[k], values[k] = grams[~first], values[k][~first]
    return words, values


def _tables(words: Sequence[Array], values: Sequence[Array], size: int) -> dict[str, Array]:
    """Return the tables of KneserNey, from the n-grams of each order and their (log10 p, log10 backoff).

    words[k - 1] (n, k) and values[k - 1] (n, 2): the n-grams of order k, sorted in any way.
    """
    keys: list[Array] = [np.arange(size)]                # of every order: number of the context times size, plus word
    starts = np.cumsum([0, *map(len, words)])

    def find(grams: Array, what: str) -> Array:
        """Return the numbers of the n-grams (n, k). Raises ValueError where one is not there."""
        nodes = grams[:, 0]
        for k in range(1, grams.shape[1]):
            wanted = nodes * size + grams[:, k]
            at = np.searchsorted(keys[k], wanted)
            found = keys[k][np.minimum(at, len(keys[k]) - 1)] == wanted if len(keys[k]) else np.zeros(len(at), bool)
            if not found.all():
                raise ValueError(f"an n-gram of {grams.shape[1] + 1} words is there without its {what}")
            nodes = starts[k] + at
        return nodes
    out: dict[str, list[Array]] = {name: [] for name in ("word", "link", "logp", "backoff", "parent")}
    for k, (grams, pair) in enumerate(zip(words, values, strict=True), 1):
        parent = find(grams[:, :-1], "context") if k > 1 else np.zeros(len(grams), np.int64)
        key = parent * size + grams[:, -1]
        order = np.argsort(key, kind="stable")
        if k > 1:
            if (np.diff(key[order]) == 0).any():
                raise ValueError(f"an n-gram of {k} words is there twice")
            keys.append(key[order])
            out["parent"].append(parent[order])
        out["link"].append(find(grams[order, 1:], "suffix") if k > 1 else np.full(size, -1))
        out["word"].append(grams[order, -1])
        out["logp"].append(np.minimum(pair[order, 0] * _LN10, 0))
        if k < len(words):
            out["backoff"].append(pair[order, 1] * _LN10)
    flat = {name: np.concatenate([*parts, np.zeros(0)]) for name, parts in out.items()}
    contexts = len(flat["backoff"])
    after = np.bincount(flat.pop("parent").astype(np.int64), minlength=contexts)
    child = size + np.concatenate([[0], np.cumsum(after)])[:contexts + 1]
    for name in ("logp", "backoff"):
        if not np.isfinite(flat[name]).all():
            raise ValueError(f"a {'probability' if name == 'logp' else name} is not a finite number")
    kinds = {"word": np.int32, "link": np.int32, "logp": np.float32, "backoff": np.float32}
    return {"child": child.astype(np.int32), **{name: flat[name].astype(kind) for name, kind in kinds.items()}}
