"""Texts in colours, as pages and as data; pages are read back by an HTML parser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import fastlm
from fastlm.cli import main
from fastlm.explain.card import curve
from fastlm.explain.colours import DARK, EDGES, LIGHT, in_terminal, painted, step_of
from fastlm.explain.explanation import quoted


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps the text outside of tips, and the tips."""

    VOID = frozenset({"meta", "br", "path", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.text, self.tips, self.steps = "", [""], list[str]()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = dict(attrs).get("class") or ""
        assert not {name for name, value in attrs if name in ("src", "href")}     # nothing from elsewhere
        if tag not in self.VOID or (tag == "circle"):
            self.open.append((tag, names))
        if names.startswith("t s"):
            self.steps.append(names)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1][0] != tag and self.open[-1][0] == "circle":
            self.open.pop()
        assert self.open.pop()[0] == tag
        if tag == "span":
            self.tips.append("")

    def handle_data(self, data: str) -> None:
        names = [name for _, name in self.open]
        if "tip" in names:
            self.tips[-1] += data
        elif any(name == "text" for name in names):
            self.text += data


@pytest.fixture(scope="module")
def lm() -> fastlm.LanguageModel:
    return fastlm.train(["the cat sat on the mat\nthe dog & <i> sat\n" * 40], "char", model="kneser-ney")


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("text", ["the cat <b>&amp; sat\nzebra", "m\u00e9 \u6f22", "\"'"])
def test_a_page_shows_the_text_and_nothing_is_read_as_html(unit: Any, text: str) -> None:
    lm = fastlm.train(["the cat sat on the mat\nthe dog sat\n" * 40], unit, model="kneser-ney")
    found = lm.explain(text, k=3)
    page = Reader(found.to_html())
    shown = page.text.replace("\u21b5\n", "\n").replace("\u21b5", "")
    assert shown.split() == text.split() and len(page.steps) == sum(1 for token in found.tokens if token.text)
    assert "default-src" not in found.to_html() and "<script" not in found.to_html()
    assert Reader(found._repr_html_()).text == page.text


def test_what_stands_behind_a_token(lm: fastlm.LanguageModel) -> None:
    found = lm.explain("the z", k=2)
    token = found.tokens[4]
    assert len(token.alternatives) == 2 and token.unknown
    assert [name for name, _ in token.alternatives] == [name for name, _ in lm.next_tokens("the ", 2)]
    assert [p for _, p in token.alternatives] == pytest.approx([p for _, p in lm.next_tokens("the ", 2)], rel=1e-4)
    tips = [tip for tip in Reader(found.to_html()).tips if tip]
    assert re.match(r"\d+\.\d\d bits, p = .+ %\nrank [\d,]+, entropy \d+\.\d bits, \d-gram", tips[0])
    assert "unknown, spelt for" in tips[4] and quoted("a b\n\t") == "a\u2423b\u21b5\u21e5"
    assert lm.explain("the", k=0).tokens[0].alternatives == ()


def test_colours_by_hand() -> None:
    assert [step_of(bits) for bits in (0, 0.99, 1, 3.9, 4, 15, 99)] == [0, 0, 1, 2, 3, 7, 7]
    assert painted("a", 0.5) == "a" and painted("a", 5.0) == "\x1b[48;5;179m\x1b[38;5;16ma\x1b[0m"
    assert painted("a", 20.0).startswith("\x1b[48;5;18m\x1b[38;5;231m")
    assert len(LIGHT) == len(DARK) == len(EDGES) + 1 == 8

    def lightness(colour: str) -> float:
        return sum(w * int(colour[n:n + 2], 16) for w, n in ((0.299, 1), (0.587, 3), (0.114, 5)))
    for colours, sign in ((LIGHT, -1), (DARK, 1)):     # each step is darker, or lighter, than the one before
        levels = [sign * lightness(colour) for colour in colours]
        assert levels == sorted(levels)


def test_letters_can_be_read_on_every_colour() -> None:
    """The contrast of WCAG 2 is at least 4.5, in light and in dark."""
    def luminance(colour: str) -> float:
        parts = [int(colour[n:n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    from fastlm.explain.page import style
    light, dark = style().split("@media")
    for part in (light, dark):
        grounds, letters = dict(re.findall(r"--s(\d):(#\w+)", part)), dict(re.findall(r"--i(\d):(#\w+)", part))
        assert len(grounds) == len(letters) == 8
        for n, ground in grounds.items():
            letter = letters[n] if len(letters[n]) == 7 else "#" + "".join(c * 2 for c in letters[n][1:])
            high, low = sorted((luminance(ground), luminance(letter)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (n, ground, letter)


def test_a_terminal_shows_colours(lm: fastlm.LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True
    found = lm.explain("the zoo")
    assert str(found).count("\n") == len(found.tokens) - 1 and "\x1b" not in str(found)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert in_terminal() and "\x1b[48;5;" in str(found)
    assert re.sub(r"\x1b\[[\d;]*m", "", str(found)).strip("\u21b5\n") == "the zoo"
    assert "\x1b" in str(lm.compare("the zoo", fastlm.train(["zoo " * 90], "char", model="kneser-ney")))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not in_terminal() and "\x1b" not in str(found)


def test_a_page_is_written(lm: fastlm.LanguageModel, tmp_path: Path) -> None:
    found = lm.explain("the cat")
    page = found.to_html(tmp_path / "page.html", "Cats & mats")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page and "<title>Cats &amp; mats</title>" in page
    with pytest.raises(OSError):
        found.to_html(tmp_path / "none" / "page.html")
    assert found.to_dict()["text"] == list("the cat") and "bits" in repr(found)
    with pytest.raises(ValueError, match="k = -1; at least 0 was expected"):
        lm.explain("the", k=-1)


def test_two_models_are_compared_word_by_word(lm: fastlm.LanguageModel) -> None:
    other = fastlm.train(["the zebra sat on the log .\n" * 40], model="kneser-ney")
    found = lm.compare("the zebra sat", other, ("a", "b"))
    first, second = (model.token_scores("the zebra sat").words() for model in (lm, other))
    assert [word.text for word in found.words] == ["the", "zebra", "sat"]
    assert [word.bits for word in found.words] == [(a.bits, b.bits) for a, b in zip(first, second, strict=True)]
    assert found.words[1].difference < 0 and found.bits[0] == pytest.approx(sum(word.bits for word in first))
    assert found.to_dict()["difference"] == [word.difference for word in found.words]
    assert str(found).splitlines()[1].endswith("bits  'zebra'")
    page = Reader(found.to_html())
    assert page.text == "the zebra sat" and "by b" in found.to_html() and Reader(found._repr_html_()).text == page.text


def test_the_card_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lm = fastlm.train(["the cat sat on the mat\n" * 60], "char", model="lstm", epochs=4, documents="line")
    page = lm.card_page(tmp_path / "card.html", "Cats <3")
    assert (tmp_path / "card.html").read_text(encoding="utf-8") == page and "<h1>Cats &lt;3</h1>" in page
    Reader(page)
    facts = lm.facts()
    assert facts["file_bytes"] == len(lm.to_bytes()) and facts["unit"] == "char" and facts["sha256"] == lm.digest()
    assert page.count("<pre>") == 5 and lm.card_page(title="Cats <3") == page
    lm.save(tmp_path / "m")
    assert main(["info", str(tmp_path / "m"), "--html", str(tmp_path / "other.html")]) == 0
    assert "<title>m</title>" in (tmp_path / "other.html").read_text(encoding="utf-8")


def test_a_curve_needs_two_evaluations() -> None:
    record = {"seconds": 1.0, "valid": 1.0}
    assert curve([]) == curve([record]) == curve([record, record | {"valid": None}]) == curve([record, record]) == ""
    flat = curve([record, record | {"seconds": 2.0}])
    assert flat.count("<circle") == 2 and "nan" not in flat


def test_the_command(lm: fastlm.LanguageModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lm.save(tmp_path / "m")
    assert main(["explain", str(tmp_path / "m"), "the cat"]) == 0
    assert capsys.readouterr().out == f"{lm.explain('the cat')}\n"
    assert main(["explain", str(tmp_path / "m"), "the cat", "--other", str(tmp_path / "m"), "--html",
                 str(tmp_path / "p.html")]) == 0
    assert "Where two models differ" in (tmp_path / "p.html").read_text(encoding="utf-8")
