"""fastlm eval --pairs: minimal pairs in BLiMP's format."""

import json
from pathlib import Path

import pytest

import fastlm
from fastlm.cli import main

PAIRS = [{"sentence_good": "the cats sleep", "sentence_bad": "the cats sleeps", "UID": "agreement", "pair_id": "0"},
         {"sentence_good": "the cat sleeps", "sentence_bad": "the cat sleep", "UID": "agreement"},
         {"sentence_good": "the cats sleeps", "sentence_bad": "the cats sleep", "UID": "wrong"},
         {"sentence_good": "the cat", "sentence_bad": "the cat", "UID": "wrong"}]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    fastlm.train(["the cats sleep\nthe cat sleeps\n" * 40], model="kneser-ney", documents="line").save(tmp_path / "m")
    return tmp_path / "m"


def test_accuracy_by_group_with_ties(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    assert main(["eval", str(model), str(tmp_path / "p.jsonl"), "--pairs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "agreement": {"pairs": 2, "right": 2, "ties": 0, "accuracy": 1.0},
        "wrong": {"pairs": 2, "right": 0, "ties": 1, "accuracy": 0.25},
        "all": {"pairs": 4, "right": 2, "ties": 1, "accuracy": 0.625}}
    assert main(["eval", str(model), str(tmp_path / "p.jsonl"), "--pairs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all        accuracy 0.6250  of 4 pairs, 1 of them ties"


def test_lines_that_are_no_pairs(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, message in (('{"sentence_good": "a"}', "line 1 has not both 'sentence_good' and 'sentence_bad'"),
                          ("no", "line 1 is not JSON"), ("", "is empty")):
        (tmp_path / "p.jsonl").write_text(line + "\n")
        assert main(["eval", str(model), str(tmp_path / "p.jsonl"), "--pairs"]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "p.jsonl").write_text("")
    assert main(["eval", str(model), str(tmp_path / "p.jsonl"), "--pairs"]) == 2
