"""ARPA text into a language model: blocks of lines through the kernels of csrc/arpa.h, in bounded memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from fastlm import _core
from fastlm.arpa.names import BEGIN, END, options_of, tokens_of
from fastlm.language_model import LanguageModel
from fastlm.models import KneserNey
from fastlm.models.initial import in_file
from fastlm.models.ngram.packed import pack_trie
from fastlm.models.ngram.trie import RepeatedNGram, TrieBuilder
from fastlm.text.sources.memory import half_of_memory
from fastlm.text.tokens import END as DOCUMENT_END
from fastlm.text.tokens import UNKNOWN
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.history import History

Array = np.ndarray
UNSEEN_LOG10 = -100.0    # of an unknown word where a file has no <unk>: what KenLM substitutes
_BLOCK = 1 << 20         # bytes read at once
_LONGEST_LINE = 1 << 24  # bytes; 127 words of 100,000 letters are fewer
_ROWS = 1 << 14          # n-grams parsed at once
_MEMORY = 36             # bytes of memory that an n-gram takes while it is read: 35 of 2.6 million of order 5
_MOST_NODES = 2**31 - 1  # node numbers are int32
_MOST_WORDS = 127        # of an n-gram
_BEGINS, _BEGIN_INSIDE, _END_INSIDE = 1, 2, 4    # kinds of n-grams, as _core.ArpaWords.read_grams tells them
_BOM = b"\xef\xbb\xbf"
DATA = re.compile(rb"^[ \t]*\\data\\[ \t\r]*\n", re.MULTILINE)
_COUNT = re.compile(rb"\s*ngram\s+(\d{1,3})\s*=\s*(\d{1,18})\s*")
_HEADING = re.compile(rb"\s*\\(\d{1,3})-grams?:?\s*")
_CLOSING = re.compile(rb"\s*\\end\\\s*")
_FAULTS = {
    "number": "{field} is no finite number",
    "fields": "{field} stands among the {k}-grams",
    "unseen": "{field} is in an n-gram and no 1-gram",
    "twice": "the 1-gram {field} is there a second time",
    "nul": "the word {field} has a NUL in it",
}


class RunsOn(Exception):
    """Says that n-grams go on past the end of a line: the file may be one whose contexts are continued across lines."""


class NoCopies(Exception):
    """Says that an n-gram begins with <s> and none begins with </s> in its place: contexts end where lines end."""


@dataclass
class Notes:
    """What was met in a file that is sound, and yet not what estimated models hold."""

    positive: int = 0           # log-probabilities above 0
    left_out: int = 0           # n-grams with <s> or </s> inside
    added: int = 0              # contexts and suffixes that others need
    no_unknown: bool = False
    off: bool = False           # whether there are probabilities that do not sum to one

    def __str__(self) -> str:
        said = [f"{count:,} {text}" for count, text in (
            (self.positive, "log-probabilities above 0 were read as 0"),
            (self.left_out, f"n-grams with {BEGIN} or {END} inside were left out"),
            (self.added, "n-grams that others need were added as backing off gives them")) if count]
        if self.no_unknown:
            said.append(f"there is no {UNKNOWN}, so an unknown word has log10 p = {UNSEEN_LOG10:g}")
        if self.off:
            said.append("there are probabilities that do not sum to one, and they are used as they are")
        return "".join(f"; {text}" for text in said)


class Text:
    """The lines of a stream of bytes, a block at a time.

    block: whole lines, each ended by a newline. place, uint64 (2,): where in it the next line begins, and its number.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._rest = stream, b""
        self.block, self.place = b"", np.array([0, 1], np.uint64)

    @property
    def line(self) -> int:
        """The number of the next line."""
        return int(self.place[1])

    def more(self) -> bool:
        """Go on to the next block, all of this one being read; return whether there is one."""
        parts, size, ended = [self._rest], len(self._rest), False
        while True:
            part = self._stream.read(_BLOCK)
            parts.append(part)
            size += len(part)
            ended = not part
            if ended or b"\n" in part:
                break
            if size > _LONGEST_LINE:
                raise ValueError(f"line {self.line} is longer than {_LONGEST_LINE:,} bytes")
        whole = b"".join(parts)
        if ended and whole and not whole.endswith(b"\n"):
            whole += b"\n"
        cut = whole.rfind(b"\n") + 1
        self.block, self._rest = whole[:cut], whole[cut:]
        self.place[0] = 0
        return bool(self.block)

    def skip_to_data(self) -> bytes:
        r"""Go on to the line after \data\, and return the beginning of what was before it. Raises ValueError where
        there is no such line."""
        before = b""
        while self.more():
            if not before:
                self.block = self.block.removeprefix(_BOM)
            found = DATA.search(self.block)
            before = before or self.block[:found.start() if found else None] or b"\n"
            self._advance(found.end() if found else len(self.block))
            if found:
                return before
        raise ValueError(r"it has no \data\ section with the numbers of its n-grams")

    def next_line(self) -> bytes | None:
        """Return the next line, and stay before it; None at the end of the text."""
        if int(self.place[0]) == len(self.block) and not self.more():
            return None
        at = int(self.place[0])
        return self.block[at: self.block.index(b"\n", at)]

    def take_line(self) -> None:
        """Go on behind the next line."""
        self._advance(self.block.index(b"\n", int(self.place[0])) + 1)

    def _advance(self, to: int) -> None:
        self.place[1] += np.uint64(self.block.count(b"\n", int(self.place[0]), to))
        self.place[0] = to


def shown(field: bytes) -> str:
    """Return bytes of a file as a message shows them."""
    text = field.strip().decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


class Reader:
    """Reads one ARPA file into a language model.

    unit: that of the tokens, None for what the file says, or else words. encoding: that of the words. ends: "lines"
    where contexts end at the ends of lines, so that n-grams that go on past it raise RunsOn; "run on" where contexts
    are continued, and n-grams with <s> are copies of others; "cut" to leave out n-grams that go on. memory: bytes that
    the n-grams may take; None for half of what there is.
    """

    def __init__(self, text: Text, unit: str | None, encoding: str, ends: str, memory: int | None = None) -> None:
        self._text, self._encoding, self._notes = text, encoding, Notes()
        self._options = options_of(text.skip_to_data())
        self._unit = unit or self._options.unit
        self._ends = "run on" if ends == "lines" and self._options.runs_on else ends
        self._counts = self._read_counts(half_of_memory() if memory is None else memory)
        self._words = _core.ArpaWords(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        self._line_end = self._unknown = -1

    def read(self) -> LanguageModel:
        """Return the language model. Raises ValueError, in one sentence, RunsOn and NoCopies."""
        logp, backoff = self._read_words()
        vocabulary = self._vocabulary()
        self._line_end, self._unknown = vocabulary.boundary, -1 if vocabulary.unknown is None else vocabulary.unknown
        if vocabulary.unknown is None and self._unit != "byte" and not self._options.closed:
            self._unknown = self._words.add(UNKNOWN.encode())
            vocabulary = Vocabulary([*vocabulary.tokens, UNKNOWN], self._unit,
                                    end_of_document=vocabulary.end_of_document)
            logp = np.append(logp, np.float32(UNSEEN_LOG10 * np.log(10)))
            backoff = np.append(backoff, np.float32(0))
            self._notes.no_unknown = True
        self._builder = TrieBuilder(logp, backoff, self._counts[1:])
        for k in range(2, len(self._counts) + 1):
            self._read_grams(k)
        self._read_end()
        return LanguageModel(vocabulary, self._model(vocabulary), History(
            ended=f"read from ARPA text of order {len(self._counts)}{self._notes}"))

    def _read_counts(self, memory: int) -> list[int]:
        """Return how many n-grams of 1, 2, ... words the file says it has, which `memory` bytes must hold."""
        counts: list[int] = []
        while (line := self._text.next_line()) is not None and not line.lstrip().startswith(b"\\"):
            if found := _COUNT.fullmatch(line):
                if int(found[1]) != len(counts) + 1:
                    raise ValueError(f"line {self._text.line}: {shown(line)} where the number of {len(counts) + 1}"
                                     "-grams was expected")
                counts.append(int(found[2]))
            elif line.strip() and not line.startswith(b"#"):
                raise ValueError(f"line {self._text.line}: {shown(line)} stands among the numbers of n-grams")
            self._text.take_line()
        while counts and not counts[-1]:
            counts.pop()
        if not counts:
            raise ValueError(r"it has no \data\ section with the numbers of its n-grams")
        if len(counts) > _MOST_WORDS or sum(counts) > _MOST_NODES:
            raise ValueError(f"it says that it has {sum(counts):,} n-grams of up to {len(counts)} words; at most "
                             f"{_MOST_NODES:,} of up to {_MOST_WORDS} can be read")
        if sum(counts) * _MEMORY > memory:
            raise ValueError(f"it says that it has {sum(counts):,} n-grams, which take {_MEMORY} bytes of memory each "
                             f"while they are read; {memory // _MEMORY:,} fit into half of this machine's memory")
        return counts

    def _open_section(self, k: int) -> None:
        line = self._text.next_line()
        while line is not None and not line.strip():
            self._text.take_line()
            line = self._text.next_line()
        found = _HEADING.fullmatch(line or b"")
        if found is None or int(found[1]) != k:
            what = "the file ends" if line is None else f"{shown(line)} stands"
            raise ValueError(f"line {self._text.line}: {what} where \\{k}-grams: was expected")
        self._text.take_line()

    def _close_section(self, k: int, tally: Array) -> None:
        if int(tally[0]) != self._counts[k - 1]:
            raise ValueError(f"line {self._text.line}: it has {int(tally[0]):,} {k}-grams, and says "
                             f"{self._counts[k - 1]:,}")
        self._notes.positive += int(tally[1])

    def _goes_on(self, status: str, field: bytes, k: int, tally: Array) -> bool:
        """Return whether the section goes on after a call of a kernel. Raises ValueError for what is wrong."""
        if status in _FAULTS:
            raise ValueError(f"line {self._text.line}: {_FAULTS[status].format(field=shown(field), k=k)}")
        if int(tally[0]) > self._counts[k - 1]:
            raise ValueError(f"line {self._text.line}: it has more than the {self._counts[k - 1]:,} {k}-grams that it "
                             "says it has")
        return status == "full" or (status == "done" and self._text.more())

    def _read_words(self) -> tuple[Array, Array]:
        """Return the logarithms of probability and backoff (V,) float32 of single words, in the order of their ids."""
        self._open_section(1)
        room, logp, backoff = _ROWS, np.empty(_ROWS, np.float32), np.empty(_ROWS, np.float32)
        begin, begin_backoff, tally = np.zeros(1, np.uint64), np.zeros(1, np.float32), np.zeros(2, np.uint64)
        while True:
            status, field = self._words.read_words(logp, backoff, begin, begin_backoff, tally, self._text.block,
                                                   self._text.place)
            if not self._goes_on(status, field, 1, tally):
                break
            if status == "full":
                room *= 2
                logp, backoff = np.resize(logp, room), np.resize(backoff, room)
        self._close_section(1, tally)
        end = self._words.add(END.encode())
        if end == int(tally[0]) - int(begin[0] > 0):
            raise ValueError(f"it has no {END}")
        if self._ends != "run on":          # contexts that end there are those that begin with <s>
            backoff[end] = begin_backoff[0]
        return logp[:len(self._words)].copy(), backoff[:len(self._words)].copy()

    def _vocabulary(self) -> Vocabulary:
        blob, offsets = self._words.arrays()
        text, ends = blob.tobytes(), offsets.tolist()
        errors = "surrogateescape" if self._unit == "byte" else "strict"
        try:
            names = [text[a:b].decode(self._encoding, errors) for a, b in pairwise(ends)]
        except UnicodeDecodeError as error:
            raise ValueError(f"the word {error.object[:60]!r} is not {self._encoding}; encoding= says what the words "
                             "of a file are in") from None
        tokens = tokens_of(names, self._unit, self._options.escapes)
        ended = names.index(DOCUMENT_END) if self._options.ended and DOCUMENT_END in names else None
        return Vocabulary(tokens, self._unit, end_of_document=ended)

    def _read_grams(self, k: int) -> None:
        self._open_section(k)
        ids, logp, backoff = np.empty((_ROWS, k), np.int32), np.empty(_ROWS, np.float32), np.empty(_ROWS, np.float32)
        line, kind, tally = np.empty(_ROWS, np.int32), np.empty(_ROWS, np.uint8), np.zeros(2, np.uint64)
        copies: list[Array] = []
        while True:
            status, field, n = self._words.read_grams(ids, logp, backoff, line, kind, tally, self._text.block,
                                                      self._text.place, self._line_end, self._unknown)
            more = self._goes_on(status, field, k, tally)
            self._take(ids[:n], logp[:n], backoff[:n], line[:n], kind[:n], copies)
            if not more:
                break
        self._close_section(k, tally)
        try:
            self._builder.close_level()
        except RepeatedNGram as error:
            raise ValueError(f"line {error.line}: a {k}-gram is there a second time") from None
        if copies and not self._builder.has(np.concatenate(copies)).all():
            raise NoCopies

    def _take(self, ids: Array, logp: Array, backoff: Array, line: Array, kind: Array, copies: list[Array]) -> None:
        """Hand n-grams on to the tables, but for those with <s> or </s> inside, and copies, which are put aside."""
        if self._ends == "run on":
            copies.append(ids[kind == _BEGINS])
            keep = kind & (_BEGINS | _BEGIN_INSIDE) == 0
            self._notes.left_out += int((kind & _BEGIN_INSIDE > 0).sum())
        else:
            if self._ends == "lines" and (kind & _END_INSIDE).any():
                raise RunsOn
            keep = kind & (_BEGIN_INSIDE | _END_INSIDE) == 0
            self._notes.left_out += int((~keep).sum())
            backoff[ids[:, -1] == self._line_end] = 0     # nothing is read after the end of a line but what begins one
        if not keep.all():
            ids, logp, backoff, line = ids[keep], logp[keep], backoff[keep], line[keep]
        self._builder.extend(ids, logp, backoff, line)

    def _read_end(self) -> None:
        """Read on to the end of the data, past sections of no n-grams."""
        while (line := self._text.next_line()) is not None and not _CLOSING.fullmatch(line):
            found = _HEADING.fullmatch(line)
            if line.strip() and not (found and int(found[1]) > len(self._counts)):
                raise ValueError(f"line {self._text.line}: {shown(line)} stands where \\end\\ was expected")
            self._text.take_line()

    def _model(self, vocabulary: Vocabulary) -> KneserNey:
        plain, ends = self._builder.tables(), self._builder.ends
        self._notes.added = self._builder.added
        del self._builder                     # so that packing can drop each table that it has used up
        size, order = len(vocabulary), len(self._counts)
        try:
            self._check(plain, size)
        except ValueError as error:
            if "sum to one" not in str(error):
                raise
            self._notes.off = True
            self._check(plain, size)
        boundary = None if self._ends == "run on" else vocabulary.end_of_line
        model = KneserNey(size, order, boundary, normalized=not self._notes.off)
        with in_file(True):
            model.restore(pack_trie(plain, size, ends, exact=True))
        return model

    def _check(self, plain: dict[str, Array], size: int) -> None:
        _core.check_trie(plain["word"], plain["link"], plain["child"], plain["logp"], plain["backoff"], size,
                         len(self._counts), not self._notes.off)
