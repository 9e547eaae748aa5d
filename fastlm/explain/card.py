"""A model's card as a page: what it was trained on, what it weighs, how it does, and a few lines that it writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastlm.explain.page import escaped, page, table

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 240, 58, 34   # of the picture and its margins, in pixels


def card_page(title: str, facts: Mapping[str, Any], records: Sequence[Mapping[str, Any]], ended: str,
              lines: Sequence[str]) -> str:
    """Return the page of a model.

    facts: {name: value}, in their order; records: of its `History`; ended: why the training ended; lines: that it
    wrote.
    """
    rows = [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in facts.items()]
    body = f"<h1>{escaped(title)}</h1>{_facts(rows)}"
    if picture := curve(records):
        body += f"<h2>Held-out perplexity while it was trained</h2>{picture}"
    if ended:
        body += f'<p class="note">{escaped(ended)}</p>'
    if records:
        body += "<h2>Evaluations</h2>" + table(map(_row, records), ("seconds", "step", "tokens", "loss", "held-out",
                                                                  "perplexity"))
    if lines:
        body += "<h2>Lines that it writes</h2>" + "".join(f"<pre>{escaped(line)}</pre>" for line in lines)
    return page(title, body)


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>"
                               for name, value in rows) + "</table>"


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    valid = record["valid"]
    held_out = ("-", "-") if valid is None else (f"{valid:.4f}", f"{math.exp(min(valid, 700.0)):,.2f}")
    return (f"{record['seconds']:.1f}", f"{record['step']:,}", f"{record['tokens']:,}", f"{record['loss']:.4f}",
            *held_out)


def curve(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the held-out perplexity against the seconds as SVG, nothing where there are not two evaluations."""
    points = [(record["seconds"], math.exp(min(record["valid"], 700.0))) for record in records
              if record["valid"] is not None and math.isfinite(record["valid"])]
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return ""
    (first, last), values = (points[0][0], points[-1][0]), [value for _, value in points]
    low, high = min(values), max(values)
    low, high = (low, high) if high > low else (low - 1, high + 1)

    def x(seconds: float) -> float:
        return _LEFT + (seconds - first) / (last - first) * (_WIDTH - _LEFT - 14)

    def y(value: float) -> float:
        return 12 + (high - value) / (high - low) * (_HEIGHT - _BOTTOM - 12)
    path = "M" + " L".join(f"{x(seconds):.1f} {y(value):.1f}" for seconds, value in points)
    marks = "".join(f'<circle cx="{x(seconds):.1f}" cy="{y(value):.1f}" r="3" fill="currentColor">'
                    f"<title>{value:,.2f} after {seconds:.1f} s</title></circle>" for seconds, value in points)
    labels = "".join(f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
                     for value in (low, high))
    labels += "".join(f'<text x="{x(seconds):.1f}" y="{_HEIGHT - 12}" text-anchor="{anchor}">{seconds:.0f} s</text>'
                      for seconds, anchor in ((first, "start"), (last, "end")))
    axes = f"M{_LEFT} 8 V{_HEIGHT - _BOTTOM} H{_WIDTH - 10}"
    return (f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="held-out perplexity '
            f'against seconds" font-size="13" font-family="system-ui,sans-serif" fill="currentColor"><path d="{axes}" '
            f'fill="none" stroke="var(--line)"/><path d="{path}" fill="none" stroke="currentColor" stroke-width="2"/>'
            f"{marks}{labels}</svg>")
