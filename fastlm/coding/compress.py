"""Files compressed by a language model with an arithmetic coder, and back, to the last byte."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastlm import _core
from fastlm.coding.spacing import SPACES
from fastlm.coding.text_coder import TO_LINE, TO_WORD, TextCoder
from fastlm.language_model import LanguageModel
from fastlm.text.scan import PIECE, IdBuffer
from fastlm.text.tokens import TOKENIZER

_MAGIC = b"fastlmz1"
# magic, digest of the model, instruction set, flags, bytes of the text, those after the last token, CRC-32 of the text,
# bytes of the coded text; then the CRC-32 of all these. Little-endian.
_HEADER, _CHECK = struct.Struct("<8s32s8sBQQIQ"), struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECK.size
_LINES, _ADAPTS = 1, 2     # flags
_FED = 1 << 16             # bytes of the coded text that are read at once, and of the text that are written
_LOOKS_AHEAD = 8           # bytes that the decoder reads before it needs them


def compress(lm: LanguageModel, text: bytes | str, documents: str | None = None, adapt: bool = False) -> bytes:
    """Return a text compressed by a language model, so that `decompress` gives exactly these bytes again.

    It takes the bits of `Score.bits_per_byte`, and `HEADER_BYTES` bytes more. One token takes about the time of one
    ``state.step``. Any bytes will do for words, pieces and bytes, UTF-8 for characters.

    text: bytes, or a string, which is taken as UTF-8; documents: "file", the whole text is one document, or "line",
    each line is; None for what the model was trained on, where that is lines, or else "file". adapt: whether the model
    learns from the text as it goes. Raises ValueError for a text that the unit of the model cannot hold. Text is not
    normalised, as reading does it.

    >>> decompress(lm, compress(lm, b"any text"))              # doctest: +SKIP
    b'any text'
    """
    out = io.BytesIO()
    compress_file(lm, io.BytesIO(text.encode() if isinstance(text, str) else text), out, documents, adapt)
    return out.getvalue()


def decompress(lm: LanguageModel, data: bytes) -> bytes:
    """Return the bytes that `compress` was given. Raises ValueError for another model, and for damaged data."""
    out = io.BytesIO()
    decompress_file(lm, io.BytesIO(data), out)
    return out.getvalue()


def compress_file(lm: LanguageModel, file: BinaryIO, output: BinaryIO, documents: str | None = None,
                  adapt: bool = False, at_once: int = PIECE) -> None:
    """Compress a binary file, as `compress` does, in constant memory.

    file: read from where it stands to its end; output: a file that can seek, in which the header is written last;
    at_once: bytes of the text that are read at a time.
    """
    if documents not in (None, "file", "line"):
        raise ValueError(f"documents = {documents!r}; 'file' or 'line' was expected, or None")
    if lm.vocabulary.unit == TOKENIZER:
        raise ValueError("the model reads texts by a tokenizer that may change them; one of words, characters, bytes "
                         "or pieces was expected")
    lines = (lm.documents if documents is None else documents) == "line"
    lm = lm.adapting() if adapt else lm
    encoder, begin = _core.RangeEncoder(), output.tell()
    output.write(bytes(HEADER_BYTES))
    coded = crc = total = 0

    def code(p: Any, symbol: int | None) -> int:
        assert symbol is not None
        encoder.encode(p, symbol)
        return symbol
    writer = _Writer(lm, TextCoder(lm, code, lines, writes=True))
    for chunk in _chunks(file, lm.vocabulary.unit, lines, at_once):
        writer.add(chunk, total)
        crc, total = zlib.crc32(chunk, crc), total + len(chunk)
        coded += output.write(encoder.take())
    tail = writer.end(total)
    coded += output.write(encoder.finish())
    flags = _LINES * lines + _ADAPTS * adapt
    header = _HEADER.pack(_MAGIC, _identity(lm), _core.isa().encode(), flags, total, tail, crc, coded)
    output.seek(begin)
    output.write(header + _CHECK.pack(zlib.crc32(header)))
    output.seek(0, io.SEEK_END)


def decompress_file(lm: LanguageModel, file: BinaryIO, output: BinaryIO, at_once: int = _FED) -> None:
    """Write to `output` the bytes that were compressed, in constant memory; raise ValueError as `decompress` does.

    at_once: bytes of the file that are read at a time, 64 or more. What was written before an error is not all, or not
    right.
    """
    flags, total, tail, crc, coded, isa, digest = _read_header(file)
    lm = lm.adapting() if flags & _ADAPTS else lm
    if digest != _identity(lm):
        raise ValueError(f"it was compressed by the model {digest.hex()[:12]} and this one is "
                         f"{_identity(lm).hex()[:12]}; the same one was expected")
    source = _Coded(file, coded, at_once)
    found = written = 0
    try:
        coder = TextCoder(lm, source.code, bool(flags & _LINES), writes=False)
        for part in _joined(_read(lm, coder, total, tail), at_once):
            found, written = zlib.crc32(part, found), written + output.write(part)
        if found != crc:
            raise ValueError("its check sum is wrong")
    except ValueError as error:
        hint = "" if isa == _core.isa() else f", or was compressed where FASTLM_ISA={isa} and not {_core.isa()}"
        raise ValueError(f"the compressed text is damaged{hint}: {error}") from None


def _identity(lm: LanguageModel) -> bytes:
    """Return a digest of everything that decides the probabilities."""
    spelling = lm.spelling.digest if lm.vocabulary.unknown is not None else ""
    return hashlib.sha256(f"{lm.digest()} {spelling}".encode()).digest()


def _read_header(file: BinaryIO) -> tuple[int, int, int, int, int, str, bytes]:
    header = file.read(HEADER_BYTES)
    if not header.startswith(_MAGIC):
        raise ValueError(f"it begins with {header[:8]!r}; a text that fastlm compressed begins with {_MAGIC!r}")
    if len(header) < HEADER_BYTES or header[_HEADER.size:] != _CHECK.pack(zlib.crc32(header[:_HEADER.size])):
        raise ValueError("the compressed text is damaged: its header is not whole")
    _, digest, isa, flags, total, tail, crc, coded = _HEADER.unpack(header[:_HEADER.size])
    return flags, total, tail, crc, coded, isa.rstrip(b"\0").decode(), digest


class _Coded:
    """Reads symbols from the coded text, of `size` bytes, in a file, of which it reads some at once."""

    def __init__(self, file: BinaryIO, size: int, at_once: int) -> None:
        self._file, self._left, self._at_once = file, size, at_once
        self._decoder = _core.RangeDecoder(self._next())

    def _next(self) -> bytes:
        wanted = min(self._at_once, self._left)
        found = self._file.read(wanted)
        if len(found) < wanted:
            raise ValueError(f"the compressed text is damaged: {self._left - len(found)} of its bytes are missing")
        self._left -= wanted
        return found

    def code(self, p: Any, symbol: int | None) -> int:
        """Return the next symbol, as `text_coder.Code`."""
        if self._decoder.left < 64:
            if self._left:
                self._decoder.feed(self._next())
            elif self._decoder.left < -_LOOKS_AHEAD:
                raise ValueError("it goes on after its end")
        return self._decoder.decode(p)


class _Writer:
    """Codes a text that comes in parts, each of whole tokens, and of whole lines where these are documents."""

    def __init__(self, lm: LanguageModel, coder: TextCoder) -> None:
        self._coder, self._scan, self._buffer = coder, lm.vocabulary.scan, IdBuffer()
        self._tokens = re.compile(rb"[^ \t\n\v\f\r]+" if coder.newline is None else rb"\n|[^ \t\n\v\f\r]+")
        self._rest = b""        # of words: white space after the last one; of other units: a line without its end
        self._inside = False    # whether there is text in the document

    def add(self, chunk: bytes, offset: int) -> None:
        """Write a part of the text, which begins at an offset."""
        coder = self._coder
        if coder.unit == "word":
            self._words(chunk, self._ids(chunk, offset))
        elif not coder.lines:
            self._characters(chunk, self._ids(chunk, offset))
            self._inside = True
        else:
            for line in io.BytesIO(chunk):
                if not line.endswith(b"\n"):
                    self._rest = line   # the last of the text; `end` adds the end of the line
                    return
                self._characters(line, self._ids(line, offset))
                coder.end()
                offset += len(line)

    def _ids(self, text: bytes, offset: int) -> list[int]:
        try:
            self._buffer.size = 0
            self._scan(text, self._buffer)
        except UnicodeDecodeError:
            start = _first_not_utf8(text)
            raise ValueError(f"byte 0x{text[start]:02X} at offset {offset + start} is not UTF-8, which a model of "
                             "characters needs; models of words, pieces and bytes take any bytes") from None
        return self._buffer.ids.tolist()

    def _words(self, chunk: bytes, ids: list[int]) -> None:
        at = 0
        for match, id in zip(self._tokens.finditer(chunk), ids, strict=True):
            self._word(id, self._rest + chunk[at: match.start()], match.group())
            self._rest, at = b"", match.end()
        self._rest += chunk[at:]
        self._inside |= bool(self._rest)

    def _word(self, id: int, gap: bytes, token: bytes) -> None:
        coder = self._coder
        line = token == b"\n"
        id = coder.token(self._known(id, token))
        coder.gap(TO_LINE if line else TO_WORD, gap, len(gap))
        if id == coder.unknown:
            coder.spelling(token, len(token))
        coder.passed(token)
        self._inside = True
        if coder.lines and line:
            coder.end(b"")
            self._inside = False

    def _known(self, id: int, token: bytes) -> int:
        if id >= 0:
            return id
        if self._coder.unknown is None:
            raise ValueError(f"the token {token.decode(errors='replace')!r} is not in the vocabulary, nor is <unk>")
        return self._coder.unknown

    def _characters(self, text: bytes, ids: list[int]) -> None:
        coder = self._coder
        characters = text.decode() if coder.unit == "char" else ""
        for n, id in enumerate(ids):
            if id >= 0 and id != coder.unknown:
                coder.token(id)
            else:
                token = characters[n].encode()
                coder.token(self._known(id, token))
                coder.spelling(token, len(token))

    def end(self, offset: int) -> int:
        """Write the end of the text; return how many bytes of white space stand after its last token."""
        coder = self._coder
        if coder.unit != "word":
            if self._rest:                  # with the end of the last line, which the text lacks
                line = self._rest + b"\n"
                self._characters(line, self._ids(line, offset - len(self._rest)))
            if self._rest or self._inside:
                coder.end()
            return 0
        if not self._inside:
            return 0
        if coder.newline is not None and not coder.ends_line:
            coder.token(coder.newline)
            coder.gap(TO_LINE, self._rest, len(self._rest))
            coder.passed(b"\n")
            self._rest = b""
        coder.end(self._rest)
        return len(self._rest)


def _first_not_utf8(chunk: bytes) -> int:
    try:
        chunk.decode()
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("the part is UTF-8")


def _read(lm: LanguageModel, coder: TextCoder, total: int, tail: int) -> Iterator[bytes]:
    """Yield the parts of a text of `total` bytes, of which `tail` come after the last token."""
    tokens = [(token or "").encode("utf-8", "surrogateescape") for token in lm.vocabulary.tokens]
    if lm.vocabulary.end_of_document is not None:
        tokens[lm.vocabulary.end_of_document] = b""
    words, left = coder.unit == "word", total
    while left > tail:
        id = coder.token(None)
        if words:
            gap = coder.gap(TO_LINE if id == coder.newline else TO_WORD, None, left)
            yield gap
            left -= len(gap)
            if not left:                    # before the end of the last line, which the text lacks
                return
        token = coder.spelling(None, left) if id == coder.unknown else tokens[id]
        if coder.lines and len(token) == left + 1 and token.endswith(b"\n"):
            token = token[:-1]              # the end of the last line again, in a longer piece
        if not 0 < len(token) <= left:
            raise ValueError("it goes on after its end")
        yield token
        left -= len(token)
        if words:
            coder.passed(token)
        if coder.lines and token.endswith(b"\n"):
            coder.end()
    if tail:
        yield coder.end(None, left)


def _joined(parts: Iterator[bytes], least: int) -> Iterator[bytes]:
    """Yield longer parts of the same bytes, of `least` bytes each but for the last one."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= least:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _chunks(file: BinaryIO, unit: str, lines: bool, at_once: int) -> Iterator[bytes]:
    """Yield a text in parts of about `at_once` bytes, none of which ends within a token, within white space, or, where
    lines are documents, within a line."""
    held = b""
    while more := file.read(at_once):
        held += more
        if cut := held.rfind(b"\n") + 1 if lines else _whole_tokens(held, unit):
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def _whole_tokens(text: bytes, unit: str) -> int:
    """Return the length of the longest beginning of a text after which certainly a token ends."""
    if unit == "byte":
        return len(text)
    if unit != "char":
        last = max(text.rfind(space) for space in SPACES)
        found = len(text[:last + 1].rstrip(SPACES)) or text.rfind(b"\n") + 1
        if found or unit == "word":
            return found
    start = len(text) - 1
    while start > max(0, len(text) - 4) and text[start] & 0xC0 == 0x80:
        start -= 1
    return len(text) if text[-1] < 0x80 else start
