"""Write unicode.inc, the letters and numbers of Unicode: python csrc/unicode.py >csrc/unicode.inc

By the tables of the package unicodedata2 where it is installed, whose version is that of Unicode, else by Python's own.
`tokenizers` 0.23 knows version 16.0.
"""

from collections.abc import Iterator
from typing import Any

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata  # type: ignore[no-redef]

EACH_LINE = 5


def ranges(kinds: str, tables: Any = unicodedata) -> Iterator[tuple[int, int]]:
    """Yield the first and the last code point of every run whose general categories begin with one of these letters."""
    first = None
    for code in range(0x110001):
        inside = code < 0x110000 and tables.category(chr(code))[0] in kinds
        if inside and first is None:
            first = code
        elif not inside and first is not None:
            yield first, code - 1
            first = None


def written() -> str:
    """Return the text of unicode.inc."""
    rows = sorted([(*run, 0) for run in ranges("L")] + [(*run, 1) for run in ranges("N")])
    items = [f"{{0x{first:X}, 0x{last:X}, {number}}}" for first, last, number in rows]
    lines = [", ".join(items[n:n + EACH_LINE]) for n in range(0, len(items), EACH_LINE)]
    version = unicodedata.unidata_version
    return (f"/* unicode.inc: runs of letters and numbers of Unicode {version}: first, last, whether numbers. "
            "Written\n * by unicode.py for gpt2.c; the function that reads it is in the table of pieces.h. */\n"
            "/* clang-format off */\n"
            "#ifndef FASTLM_UNICODE\n#define FASTLM_UNICODE\n#include <stdint.h>\n"
            "static const uint32_t unicode_runs[][3] = {\n    " + ",\n    ".join(lines) + "};\n"
            "#endif\n/* clang-format on */\n")


if __name__ == "__main__":
    print(written(), end="")
