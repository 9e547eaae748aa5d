"""Make the ten raw texts of the benchmark `units`: six languages and Arabic, two programming languages and logs.

All but the logs come from packages of Debian 12, which apt-get downloads; they are unpacked into the folder that
FASTLM_CORPORA names, where the texts stay. The logs are synthetic: drawn
with a fixed seed in the forms of a web server, of sshd and of a service that writes JSON, since a log of real programs
would be another one in every run. `man`, `col`, `dpkg-deb` and `tar` must be there.

Each text is cut by document: about a tenth of the documents is the test text. Documents that share more than half of
their fingerprints (hashes of stretches of 32 bytes, as in winnowing, Schleimer et al. 2003) stay on the same side. The
table has the SHA-256 of both sides, so that figures of two machines can be compared.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import Options, Table
from benchmarks.quality.logs import logs
from benchmarks.quality.packages import (
    Document,
    folder,
    fortunes,
    handbook,
    jargon,
    manual,
    of,
    packed_sources,
    pages,
    sources,
    translations,
)

TEST = 10                # one in so many documents is of the test text
MOST_BYTES = 10_000_000  # of both sides together
WINDOW, SPARSITY = 32, 16   # bytes of a stretch, and one in so many stretches is a fingerprint
BOILERPLATE = 20         # documents; a fingerprint of more of them does not show that two are alike


@dataclass(frozen=True)
class Text:
    """One of the texts: its ``name``, what it is of, and the files of its two sides."""

    name: str
    what: str
    train: Path
    test: Path


def run(options: Options) -> None:
    """Make the texts that are not there yet, and print the manifest."""
    table = Table("text", "of", "train, bytes", "test, bytes", "SHA-256 of train", "SHA-256 of test")
    for text in texts():
        if options.only in text.name:
            sides = [side.read_bytes() for side in (text.train, text.test)]
            table.add(text.name, text.what, *(f"{len(side):,}" for side in sides),
                      *(hashlib.sha256(side).hexdigest()[:16] for side in sides))
    table.print()


def texts() -> Iterator[Text]:
    """Yield the ten texts, made where they are not there yet. Raises Skipped where a package cannot be had."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    for name, (what, documents) in TEXTS.items():
        text = Text(name, what, home / f"{name}.train.txt", home / f"{name}.test.txt")
        if not (text.train.is_file() and text.test.is_file()):
            for path, side in zip((text.train, text.test), split(documents()), strict=True):
                path.write_bytes("".join(part if part.endswith("\n") else part + "\n" for part in side).encode())
        yield text


# Cutting by document -----------------------------------------------------------------------------------------------

def split(documents: Iterable[Document]) -> tuple[list[str], list[str]]:
    """Return the documents to train on and those to test by, in their order, near duplicates on one side."""
    names, parts, size = [], [], 0
    ranked = sorted(dict(documents).items(), key=lambda item: _hash(item[0]))   # dict: a name is there once
    for name, part in ranked:
        if part.strip() and size < MOST_BYTES:
            names.append(name)
            parts.append(part)
            size += len(part.encode())
    group = alike([part.encode() for part in parts])
    order = sorted(range(len(names)), key=names.__getitem__)
    tested = [_hash(names[group[index]]) % TEST == 0 for index in range(len(names))]
    return [parts[n] for n in order if not tested[n]], [parts[n] for n in order if tested[n]]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def alike(parts: list[bytes]) -> list[int]:
    """Return for every document the first of the group of documents that it is alike to.

    >>> numbers = b" ".join(b"%d" % number for number in range(300))
    >>> alike([numbers, b"another one", b"one more: " + numbers])
    [0, 1, 0]
    """
    first = list(range(len(parts)))

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index
    prints = [fingerprints(part) for part in parts]
    holders: dict[int, list[int]] = defaultdict(list)
    for index, found in enumerate(prints):
        for value in found:
            holders[value].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        if len(indices) <= BOILERPLATE:
            shared.update((a, b) for n, b in enumerate(indices) for a in indices[:n])
    for (a, b), count in shared.items():
        if 2 * count > min(len(prints[a]), len(prints[b])):
            low, high = sorted((root(a), root(b)))
            first[high] = low
    return [root(index) for index in range(len(parts))]


def fingerprints(part: bytes) -> set[int]:
    """Return the hashes of one in `SPARSITY` stretches of a document, and of the whole."""
    text = np.frombuffer(re.sub(rb"\s+", b" ", part), np.uint8).astype(np.uint64)
    total = np.zeros(max(0, len(text) - WINDOW + 1), np.uint64)
    for offset in range(WINDOW):
        total = total * np.uint64(0x9E3779B97F4A7C15) + text[offset: offset + len(total)]
    mixed = (total ^ (total >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return {*mixed[mixed >> np.uint64(60) < 16 // SPARSITY].tolist(), hash(part.strip())}


TEXTS: dict[str, tuple[str, Callable[[], Iterable[Document]]]] = {
    "english": ("sayings, a dictionary of slang, a handbook",
                lambda: of(fortunes("fortunes", "*"), jargon(), handbook("en-US"))),
    "german": ("sayings, a handbook", lambda: of(fortunes("fortunes-de", "**/*"), handbook("de-DE"))),
    "french": ("manual pages", lambda: manual("manpages-fr", "fr")),
    "russian": ("sayings", lambda: fortunes("fortunes-ru", "**/*")),
    "chinese": ("sayings and poems, a handbook", lambda: of(fortunes("fortunes-zh", "*"), handbook("zh-CN"))),
    "japanese": ("help pages of an office suite", lambda: pages("libreoffice-help-ja", "usr/share/**/text/**/*.html")),
    "arabic": ("messages of an office suite, a handbook",
               lambda: of(translations("libreoffice-l10n-ar", "usr/lib/**/*.mo"), handbook("ar-MA"))),
    "python": ("Python's library", lambda: sources("libpython3.11-stdlib", "usr/lib/python3.11/**/*.py")),
    "c": ("a C library", lambda: packed_sources("newlib-source", "usr/src/**/*.tar.*", ".c")),
    "logs": ("synthetic logs of a web server, sshd and a service", logs),
}
