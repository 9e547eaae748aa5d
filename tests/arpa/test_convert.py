"""ARPA files where a model file is expected, and one turned into the other."""

import gzip

import pytest

import fastlm
from fastlm import arpa
from fastlm.cli import main
from fastlm.models import KneserNey

TEXT = "the cat sat\nthe dog sat on\n\nthe cat\n" * 3


@pytest.fixture
def lm(tmp_path, monkeypatch) -> fastlm.LanguageModel:
    monkeypatch.chdir(tmp_path)
    lm = fastlm.train([TEXT], "word", model=lambda size: KneserNey(size, 3), min_count=1)
    arpa.save(lm, "m.arpa")
    lm.save("m.fastlm")
    return lm


def test_what_an_arpa_file_is(lm, tmp_path) -> None:
    (tmp_path / "long").write_bytes(b"#\n" * 400_000 + (tmp_path / "m.arpa").read_bytes())
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "m.arpa").read_bytes()))
    (tmp_path / "cut.gz").write_bytes(gzip.compress((tmp_path / "m.arpa").read_bytes())[:-9])
    (tmp_path / "text").write_text("the cat sat on \\data\\\n")
    (tmp_path / "empty").write_bytes(b"")
    assert [arpa.is_arpa(name) for name in ("m.arpa", tmp_path / "m.arpa", "long", "packed")] == [True] * 4
    others = ["m.fastlm", "text", "empty", "absent", "cut.gz", tmp_path, b"data", None]
    assert [arpa.is_arpa(name) for name in others] == [False] * len(others)


def test_load_reads_arpa_files(lm) -> None:
    assert fastlm.load("m.arpa").score("the cat").nats == pytest.approx(lm.score("the cat").nats, abs=1e-6)


@pytest.mark.parametrize("verb", [["eval", "MODEL", "text"], ["score", "--closed", "MODEL", "text"],
                                  ["next", "MODEL", "the"], ["generate", "MODEL", "the", "--seed", "1"]])
def test_every_verb_reads_them(verb: list[str], lm, tmp_path, capsys) -> None:
    (tmp_path / "text").write_text("the cat\n")
    said = []
    for name in ("m.fastlm", "m.arpa"):
        assert main([name if word == "MODEL" else word for word in verb]) == 0
        said.append(capsys.readouterr().out)
    assert said[0].split()[0] == said[1].split()[0]


def test_there_and_back(lm, tmp_path, capsys) -> None:
    assert main(["convert", "m.fastlm", "-o", "new.arpa.gz"]) == 0
    assert gzip.decompress((tmp_path / "new.arpa.gz").read_bytes()) == (tmp_path / "m.arpa").read_bytes()
    assert main(["convert", "new.arpa.gz", "-o", "new.fastlm"]) == 0
    assert "read from ARPA text of order 3" in capsys.readouterr().err
    again = fastlm.load("new.fastlm")
    assert again.vocabulary.tokens == lm.vocabulary.tokens
    assert again.score("the cat sat").nats == pytest.approx(lm.score("the cat sat").nats, abs=1e-6)
    for output in ("m2.LM", "m2.lm.xz", "m2.arpa.bz2"):
        assert main(["convert", "new.fastlm", "-o", output]) == 0 and arpa.is_arpa(output)
    assert main(["convert", "m.arpa", "-o", "m2.LM"]) == 0            # an older file of the kind is replaced


@pytest.mark.parametrize("output, sentence", [
    ("m.fastlm", "m.fastlm is to be read, and the model would replace it; another name was expected"),
    ("text", "text exists and is no model file; a new name was expected, or remove it first"),
    ("text.arpa", "text.arpa exists and is no ARPA file; a new name was expected, or remove it first"),
    ("absent/m.arpa", "absent"),
])
def test_what_convert_refuses(output: str, sentence: str, lm, tmp_path, capsys) -> None:
    for name in ("text", "text.arpa"):
        (tmp_path / name).write_text("the cat\n")
    before = (tmp_path / "m.fastlm").read_bytes()
    assert main(["convert", "m.fastlm", "-o", output]) == 2
    assert sentence in capsys.readouterr().err
    assert (tmp_path / "m.fastlm").read_bytes() == before and (tmp_path / "text.arpa").read_text() == "the cat\n"


def test_an_arpa_file_is_not_replaced_by_itself(lm, tmp_path, capsys) -> None:
    before = (tmp_path / "m.arpa").read_bytes()
    assert main(["convert", "m.arpa", "-o", "m.arpa"]) == 2
    assert "m.arpa is to be read, and would be replaced" in capsys.readouterr().err
    assert (tmp_path / "m.arpa").read_bytes() == before
