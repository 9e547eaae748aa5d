"""Every program in examples/ runs, is short, and says what it should."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import fastlm

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))
SAYS = {"filter_corpus": "worst", "keyboard": "keys saved", "log_anomalies": "line  301",
        "rescore": "of five hypotheses", "surprisal": "zebra"}


def run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    train = fastlm.train

    def sooner(*given: Any, budget: Any = None, **options: Any) -> Any:
        return train(*given, budget=2, **options)
    monkeypatch.setattr(fastlm, "train", sooner)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_it_runs_and_is_short(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 60
    assert SAYS[path.stem] in run(path, monkeypatch, capsys)


def test_there_are_five() -> None:
    assert {path.stem for path in PROGRAMS} == SAYS.keys()


def test_files_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good, other = tmp_path / "good.txt", tmp_path / "other.txt"
    good.write_text("the cat sat on the mat\n" * 300, encoding="utf-8")
    other.write_text("the cat sat\nxqzv kkw 99\n", encoding="utf-8")
    by_name = {path.stem: path for path in PROGRAMS}
    for name, worst in (("filter_corpus", "worst"), ("log_anomalies", "line    2")):
        assert worst in run(by_name[name], monkeypatch, capsys, str(good), str(other))
    fastlm.train(good, model="kneser-ney").save(tmp_path / "m")
    out = run(by_name["surprisal"], monkeypatch, capsys, str(tmp_path / "m"), str(other))
    assert len(out.splitlines()) == 1 + 3 + 3 and out.splitlines()[2].split("\t")[2] == "cat"
