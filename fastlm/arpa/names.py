"""How tokens are spelt in ARPA text, and the line before it in which fastlm says what other tools need not know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastlm.text.tokens import NEWLINE, UNKNOWN
from fastlm.text.vocabulary import Vocabulary

BEGIN, END, UNKNOWN_IN_CAPITALS = "<s>", "</s>", "<UNK>"
_PARTING = re.compile(r"[ \t\r\n\0]")             # what parts fields and lines, and NUL, at which C programs stop
_ESCAPE = re.compile(r"\\([0-9a-f]{1,6});")
_LINE = re.compile(rb"^# fastlm: (.*?)\r?$", re.MULTILINE)
_UNIT, _ESCAPES, _RUNS_ON, _CLOSED, _ENDED = "unit=", "escapes", "contexts run on", "no <unk>", "documents end in <end>"


@dataclass(frozen=True)
class Options:
    """What the line "# fastlm: ..." of a file says; the values here are those of a file without such a line.

    unit: that of the tokens; escapes: whether a backslash, a code point in hexadecimal and a semicolon stand for a
    character; runs_on: whether contexts reach across lines; closed: whether the vocabulary has no <unk>; ended: whether
    <end> is no word but the token that ends a document.
    """

    unit: str = "word"
    escapes: bool = False
    runs_on: bool = False
    closed: bool = False
    ended: bool = False

    def line(self) -> str:
        """Return the line, empty where a file needs none. It begins with #, as KenLM wants what is not ARPA text."""
        said = [f"{_UNIT}{self.unit}"] if self.unit != "word" else []
        said += [text for text, holds in ((_ESCAPES, self.escapes), (_RUNS_ON, self.runs_on), (_CLOSED, self.closed),
                                          (_ENDED, self.ended)) if holds]
        return f"# fastlm: {', '.join(said)}\n" if said else ""


def options_of(before: bytes) -> Options:
    """Return what the bytes before the data of a file say."""
    found = _LINE.search(before)
    if found is None:
        return Options()
    said = found[1].decode("ascii", "replace").split(", ")
    unit = next((text.removeprefix(_UNIT) for text in said if text.startswith(_UNIT)), "word")
    return Options(unit, _ESCAPES in said, _RUNS_ON in said, _CLOSED in said, _ENDED in said)


def spelt(vocabulary: Vocabulary) -> tuple[list[str], bool]:
    """Return the spelling of every token, and whether there are escapes in them. Gaps are spelt as NUL is."""
    tokens = [token or "\0" for token in vocabulary.tokens]
    tokens[vocabulary.boundary] = "-"             # the end of a line has a name of its own
    if not any(token in (BEGIN, END) or _PARTING.search(token) for token in tokens):
        names, escapes = tokens, False
    else:
        names, escapes = [_escaped(token) for token in tokens], True
    names[vocabulary.boundary] = END
    return names, escapes


def _escaped(token: str) -> str:
    if token in (BEGIN, END):
        return f"\\{ord(token[0]):x};{token[1:]}"
    return re.sub(r"[ \t\r\n\0\\]", lambda found: f"\\{ord(found[0]):x};", token)


def tokens_of(names: Sequence[str], unit: str, escapes: bool) -> list[str]:
    """Return the tokens of names, "\\n" for </s>. <UNK> is read as <unk> where there is no <unk>.

    Without `escapes` words are taken as they are. A longer name of a character or a byte can only be an escape.
    Raises ValueError for a backslash that begins none, where escapes are meant.
    """
    def token(name: str) -> str:
        if "\\" not in name or (unit == "word" and not escapes) or (unit != "word" and len(name) == 1):
            return name
        plain = _ESCAPE.sub("", name)
        if "\\" in plain or any(int(code, 16) > 0x10FFFF for code in _ESCAPE.findall(name)):
            raise ValueError(f"the word {name[:60]!r} has a backslash that begins no escape such as \\20;")
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
    tokens = [token(name) for name in names]
    at = names.index(END)
    tokens[at] = NEWLINE
    if UNKNOWN not in tokens and UNKNOWN_IN_CAPITALS in tokens:
        tokens[tokens.index(UNKNOWN_IN_CAPITALS)] = UNKNOWN
    return tokens
