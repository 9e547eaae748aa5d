"""Files in other encodings than UTF-8, as streams of UTF-8."""

import codecs
import io
from typing import Any, BinaryIO

from fastlm.text.sources.reading import Reading
from fastlm.text.sources.strings import text_bytes
from fastlm.text.tokens import RAW_UNITS

MARK = "fastlm.mark"   # the handler of errors that marks each by half a surrogate pair, which no encoding gives
_CHUNK = 1 << 16


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(MARK, _mark)


class Utf8Stream(io.RawIOBase):
    """A stream of UTF-8 made from a stream of another encoding, a little at a time.

    file: binary, with `read1`. Raises ValueError, naming the file and the offset, where bytes are not of the encoding
    and `errors` is "strict". A byte order mark is left out.
    """

    def __init__(self, file: Any, name: str, encoding: str, errors: str, unit: str) -> None:
        self._file, self._name, self._encoding = file, name, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._out_errors = "surrogatepass" if errors == MARK else "surrogateescape" if unit in RAW_UNITS else "strict"
        self._ready, self._bytes, self._begun, self._ended = b"", 0, False, False

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        while not self._ready and not self._ended:
            self._ready = self._decoded(self._file.read1(_CHUNK))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _decoded(self, chunk: bytes) -> bytes:
        self._ended = not chunk
        self._bytes += len(chunk)
        try:
            text = self._decoder.decode(chunk, not chunk)
            if text and not self._begun:
                self._begun, text = True, text.removeprefix("\ufeff")
            return text.encode("utf-8", self._out_errors)
        except UnicodeDecodeError as error:
            offset = self._bytes - len(error.object) + error.start
            place = f"byte 0x{error.object[error.start]:02X} at offset {offset}"
            raise ValueError(f'{self._name}: {place} is not {self._encoding}; errors="replace" reads U+FFFD in its '
                             'place, and errors="ignore" leaves it out') from None
        except UnicodeEncodeError as error:
            raise ValueError(f"{self._name}: U+{ord(error.object[error.start]):04X} came of the errors handler; only "
                             f'unit="byte" reads half a surrogate pair') from None
        except UnicodeError as error:   # of "utf-16" and "utf-32" without a byte order mark
            raise ValueError(f'{self._name} is not {self._encoding}: {error}; encoding="{self._encoding}-le" or '
                             f'"{self._encoding}-be" reads it without one') from None


def in_utf8(file: Any, name: str, reading: Reading, unit: str) -> BinaryIO:
    """Return a stream of a file's text in UTF-8, without a byte order mark; its bytes are still to be checked where the
    reading is plain UTF-8. Bytes for unit "byte" stay as they are, unless an encoding is named."""
    if unit == "byte" and reading.encoding is None:
        stream: BinaryIO = file
        return stream
    if not reading.is_utf8:
        return io.BufferedReader(Utf8Stream(file, name, reading.encoding or "utf-8", reading.errors, unit))
    if file.peek(3)[:3] == codecs.BOM_UTF8:
        file.read(3)
    return file


class _Encoded(io.RawIOBase):
    """A stream of the UTF-8 of a file that is open for reading text."""

    def __init__(self, file: Any, name: str, unit: str) -> None:
        self._file, self._name, self._unit = file, name, unit
        self._ready, self._begun = memoryview(b""), False

    def readable(self) -> bool:
        """Return true: this stream is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were, 0 at the end."""
        if not self._ready:
            try:
                text = self._file.read(_CHUNK)
            except UnicodeDecodeError as error:
                place = "" if self._begun else f" at offset {error.start}"
                raise ValueError(f"{self._name}: byte 0x{error.object[error.start]:02X}{place} is not "
                                 f"{error.encoding}") from None
            self._begun, self._ready = True, memoryview(text_bytes(text, self._name, self._unit))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def encoded_file(file: Any, name: str, unit: str) -> BinaryIO:
    """Return a stream of the UTF-8 of a file that is open for reading text. Raises ValueError for what its own encoding
    cannot read, and for NUL characters and lone surrogates."""
    return io.BufferedReader(_Encoded(file, name, unit))
