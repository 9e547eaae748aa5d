"""Pages of HTML that need nothing else: no script, no font, no network."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from itertools import pairwise
from typing import BinaryIO

from fastlm.explain.colours import DARK, EDGES, LIGHT
from fastlm.files import atomic

_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1a1c20;--soft:#5a606b;--line:#c9ced6;--tip:#1a1c20;
--tip-ink:#fff;LIGHT}
@media (prefers-color-scheme:dark){:root{--ground:#16181d;--ink:#e8eaee;--soft:#a3aab5;--line:#3c424d;--tip:#e8eaee;
--tip-ink:#16181d;DARK}}
.flm{background:var(--ground);color:var(--ink);font:16px/1.9 system-ui,sans-serif;max-width:52rem;margin:0 auto;
padding:1.5rem}
.flm h1{font-size:1.35rem;line-height:1.3;margin:0 0 .4rem}.flm h2{font-size:1.05rem;margin:1.6rem 0 .3rem}
.flm p.note{color:var(--soft);font-size:.9rem;line-height:1.5;margin:.2rem 0 1rem}
.flm .text{white-space:pre-wrap;overflow-wrap:anywhere}
.flm .t{position:relative;border-radius:3px;padding:.12em 0;cursor:default}
.flm .t:hover,.flm .t:focus{outline:2px solid var(--ink);outline-offset:0}
.flm .tip{display:none;position:absolute;left:0;top:100%;z-index:2;background:var(--tip);color:var(--tip-ink);
font:13px/1.45 system-ui,sans-serif;white-space:pre;padding:.45rem .65rem;border-radius:5px;min-width:11rem}
.flm .t:hover .tip,.flm .t:focus .tip{display:block}
.flm table{border-collapse:collapse;font-size:.92rem;line-height:1.5}.flm td,.flm th{padding:.15rem .9rem .15rem 0;
text-align:left;vertical-align:top}.flm td.n,.flm th.n{text-align:right;font-variant-numeric:tabular-nums}
.flm th{color:var(--soft);font-weight:normal}.flm pre{white-space:pre-wrap;border-left:3px solid var(--line);
padding-left:.8rem;margin:.5rem 0;font:15px/1.5 system-ui,sans-serif}
.flm svg{max-width:100%;height:auto}
STEPS
"""


def style() -> str:
    """Return the style sheet of all pages."""
    def variables(colours: Iterable[str], letters: str) -> str:
        return "".join(f"--s{n}:{colour};" for n, colour in enumerate(colours)) + letters
    steps = "".join(f".flm .s{n}{{background:var(--s{n});color:var(--i{n})}}" for n in range(len(LIGHT)))
    dark_letters = "".join(f"--i{n}:{'#e8eaee' if n < 4 else '#111'};" for n in range(len(DARK)))
    light_letters = "".join(f"--i{n}:{'#1a1c20' if n < 5 else '#fff'};" for n in range(len(LIGHT)))
    return _STYLE.replace("LIGHT", variables(LIGHT, light_letters)).replace(
        "DARK", variables(DARK, dark_letters)).replace("STEPS", steps)


def fragment(body: str) -> str:
    """Return a part of a page with its style, for notebooks."""
    return f'<style>{style()}</style><div class="flm">{body}</div>'


def page(title: str, body: str) -> str:
    """Return a whole page. title: plain text; body: HTML."""
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width,initial-scale=1"><title>{escaped(title)}</title><style>{style()}'
            "html,body{margin:0;background:var(--ground)}</style></head>\n"
            f'<body><main class="flm">{body}</main></body></html>\n')


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write a page to a file, which replaces an older one; OSError where it cannot be written."""
    atomic.replace(path, lambda file: _write(file, text))


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode("utf-8"))


def escaped(text: str) -> str:
    """Return plain text as HTML; bytes that were not UTF-8 become U+FFFD."""
    return html.escape(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def legend() -> str:
    """Return the line that says what the colours mean."""
    edges = [0, *(int(edge) for edge in EDGES)]
    labels = [*(f"{low}–{high}" for low, high in pairwise(edges)), f"{edges[-1]}+"]
    steps = " ".join(f'<span class="s{n}" style="padding:.1em .45em;border-radius:3px">{label}</span>'
                     for n, label in enumerate(labels))
    return f'<p class="note">Surprisal in bits: {steps}</p>'


def table(rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = ()) -> str:
    """Return a table of plain texts, of which those after the first column are numbers."""
    def cells(row: tuple[str, ...], tag: str) -> str:
        return "".join(f'<{tag}{" class=n" if n else ""}>{escaped(cell)}</{tag}>' for n, cell in enumerate(row))
    head = f"<tr>{cells(header, 'th')}</tr>" if header else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"
