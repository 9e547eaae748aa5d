"""Read the documents of Debian's packages as raw text: sayings, manual pages, HTML, translated messages, programs."""

from __future__ import annotations

import gettext
import gzip
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.harness import Skipped

FOLDER = "FASTLM_CORPORA"
Document = tuple[str, str]   # its name and its text


def folder() -> Path:
    """Return the folder that holds the packages and the texts. Raises Skipped where none is named."""
    if not os.environ.get(FOLDER):
        raise Skipped(f"{FOLDER}=folder names where the texts are, or are to be made")
    return Path(os.environ[FOLDER]).resolve()


def package(name: str) -> Path:
    """Return the folder of an unpacked Debian package, downloaded where it is not there yet."""
    home = folder() / "packages"
    target = home / name
    if not target.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-q", name], cwd=home, check=True, capture_output=True)
            (archive,) = home.glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, f"{target}.part"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skipped(f"the package {name} cannot be downloaded and unpacked: {error}") from error
        archive.unlink()
        Path(f"{target}.part").rename(target)
    return target


def files(name: str, pattern: str) -> list[Path]:
    """Return the files of a package that match a pattern, links left out, in the order of their paths."""
    home = package(name)
    return sorted(path for path in home.glob(pattern) if path.is_file() and not path.is_symlink())


def fortunes(name: str, pattern: str) -> Iterator[Document]:
    """Yield each saying of a package of `fortune`, without the codes that colour it."""
    for path in files(name, f"usr/share/games/fortunes/{pattern}"):
        if path.suffix:
            continue
        text = re.sub(r"\x1b\[[\d;]*m|.\x08", "", path.read_text(encoding="utf-8", errors="replace"))
        for number, saying in enumerate(text.split("\n%\n")):
            yield f"{name}/{path.name}/{number:06}", saying + "\n\n"


def jargon() -> Iterator[Document]:
    """Yield each entry of the Jargon File."""
    for path in files("dict-jargon", "usr/share/dictd/*.dict.dz"):
        entries = re.split(r"\n\n(?=\S)", gzip.decompress(path.read_bytes()).decode())
        yield from ((f"jargon/{number:06}", entry + "\n\n") for number, entry in enumerate(entries))


def manual(name: str, language: str) -> Iterator[Document]:
    """Yield the manual pages of a language as `man` shows them, 80 columns wide."""
    def page(path: Path) -> Document:
        environment = dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="")
        shown = subprocess.run(f"man -l '{path}' 2>/dev/null | col -bx", shell=True, env=environment,
                               capture_output=True, check=False).stdout
        return str(path.relative_to(folder())), shown.decode("utf-8", "replace")
    with ThreadPoolExecutor(2) as workers:
        yield from workers.map(page, files(name, f"usr/share/man/{language}/man*/*.gz"))


def pages(name: str, pattern: str) -> Iterator[Document]:
    """Yield HTML pages as text."""
    for path in files(name, pattern):
        reader = PlainText()
        reader.feed(path.read_text(encoding="utf-8", errors="replace"))
        yield str(path.relative_to(folder())), reader.text()


class PlainText(HTMLParser):
    """The words of an HTML page, a line for each block."""

    HIDDEN = frozenset({"head", "script", "style", "header", "aside", "nav", "footer", "button"})
    BLOCKS = frozenset({"p", "div", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "dt", "dd", "pre", "br", "table",
                        "ul", "ol"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden, self.verbatim = 0, 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in self.HIDDEN
        self.verbatim += tag == "pre"
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in self.HIDDEN
        self.verbatim -= tag == "pre"
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data if self.verbatim else re.sub(r"\s+", " ", data))

    def text(self) -> str:
        lines = (line.rstrip() for line in "".join(self.parts).splitlines())
        return "\n".join(line for line in lines if line) + "\n"


def translations(name: str, pattern: str) -> Iterator[Document]:
    """Yield each translated message of a package's gettext files, with its context left out."""
    for path in files(name, pattern):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog   # type: ignore[attr-defined]
        for number, (message, translated) in enumerate(catalogue.items()):
            if message:
                yield f"{name}/{path.name}/{number:06}", translated.strip() + "\n"


def sources(name: str, pattern: str) -> Iterator[Document]:
    """Yield source files as they are, those that are no UTF-8 left out."""
    for path in files(name, pattern):
        yield from _source(str(path.relative_to(folder())), path.read_bytes())


def packed_sources(name: str, pattern: str, suffix: str) -> Iterator[Document]:
    """Yield the source files of a tar archive in a package."""
    for path in files(name, pattern):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(suffix):
                    yield from _source(member.name, archive.extractfile(member).read())   # type: ignore[union-attr]


def _source(name: str, content: bytes) -> Iterator[Document]:
    try:
        yield name, content.decode("utf-8")
    except UnicodeDecodeError:
        return


def of(*sources: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents of several sources."""
    for source in sources:
        yield from source


def handbook(language: str) -> Iterator[Document]:
    """Yield the pages of the Debian Administrator's Handbook in a language."""
    return pages("debian-handbook", f"usr/share/doc/debian-handbook/html/{language}/*.html")
