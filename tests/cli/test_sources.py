"""Every source of text on every verb of the command line."""

import gzip
import io
import json
import lzma
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastlm
from fastlm.cli import main
from fastlm.cli.records import of_row
from fastlm.cli.score import LineScorer
from fastlm.text.sources.lines import read_lines

LINES = ["the cat sat on the mat", "the dog sat", "a cat and the dog"] * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same lines in every form, and a model of each unit."""
    path = tmp_path_factory.mktemp("sources")
    text = "".join(f"{line}\n" for line in LINES)
    forms = {
        "t.txt": text.encode(),
        "t.gz": gzip.compress(text.encode()),
        "t.txt.xz": lzma.compress(text.encode()),
        "t.bom": b"\xef\xbb\xbf" + text.encode(),
        "t.jsonl": "".join(json.dumps({"id": n, "text": line}) + "\n" for n, line in enumerate(LINES)).encode(),
        "t.json": json.dumps([{"id": n, "text": line} for n, line in enumerate(LINES)]).encode(),
        "t.csv": ("id,text\n" + "".join(f'{n},"{line}"\n' for n, line in enumerate(LINES))).encode(),
        "t.tsv.gz": gzip.compress(("id\ttext\n" + "".join(f"{n}\t{line}\n" for n, line in enumerate(LINES))).encode()),
    }
    for name, data in forms.items():
        (path / name).write_bytes(data)
    with zipfile.ZipFile(path / "t.zip", "w") as archive:
        archive.writestr("a/t.txt", text)
    for encoding in ("utf-16", "cp1252"):
        (path / f"t.{encoding}").write_bytes(text.replace("cat", "Käse").encode(encoding))
    for unit in ("word", "char", "piece", "byte"):
        lm = fastlm.train(
            path / "t.txt", unit, model="kneser-ney", documents="line", min_count=1 if unit == "word" else None
        )
        lm.save(path / f"{unit}.fastlm")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> tuple[str, str]:
    assert main([str(argument) for argument in arguments]) == code
    return capsys.readouterr()


FORMS = ["t.gz", "t.txt.xz", "t.bom", "t.jsonl", "t.json", "t.csv", "t.tsv.gz", "t.zip"]


@pytest.mark.parametrize("unit", ["word", "char", "piece"])
@pytest.mark.parametrize("name", FORMS)
def test_score_and_eval_are_those_of_the_text(
    name: str, unit: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / f"{unit}.fastlm"
    expected, _ = run(capsys, "score", model, folder / "t.txt")
    assert run(capsys, "score", model, folder / name)[0] == expected and expected.count("\n") == len(LINES)
    if not name.startswith("t.j") and ".csv" not in name and ".tsv" not in name:
        assert run(capsys, "eval", model, folder / name)[0] == run(capsys, "eval", model, folder / "t.txt")[0]
    elif unit == "word":
        figures = [json.loads(run(capsys, "eval", model, folder / one, "--json")[0]) for one in (name, "t.txt")]
        assert figures[0]["perplexity"] == pytest.approx(figures[1]["perplexity"])


@pytest.mark.parametrize("name", ["t.txt", "t.gz", "t.jsonl", "t.csv", "t.tsv.gz", "t.zip"])
def test_standard_input(name: str, folder: Path) -> None:
    def of(*arguments: Any, **more: Any) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "fastlm", *map(str, arguments)], check=True, capture_output=True, **more
        ).stdout

    with (folder / name).open("rb") as file:
        assert of("score", folder / "word.fastlm", stdin=file) == of("score", folder / "word.fastlm", folder / "t.txt")
    piped = of("score", folder / "word.fastlm", "-", input=(folder / name).read_bytes())
    assert piped == of("score", folder / "word.fastlm", folder / "t.txt")
    of(
        "train",
        "-",
        "-o",
        folder / "piped",
        "--model",
        "kneser-ney",
        "--quiet",
        "--min-count",
        1,
        input=(folder / name).read_bytes(),
    )
    assert fastlm.load(folder / "piped").vocabulary.tokens[:1] == ["the"]
    both = of(
        "score", folder / "word.fastlm", folder / "t.txt", "-", folder / "t.gz", input=(folder / name).read_bytes()
    )
    assert both == 3 * piped


def test_a_program_that_waits_for_its_figure_gets_it(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "fastlm", "score", str(folder / "word.fastlm")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        for line in (b"the cat\n", b"\n", b"the dog sat\n"):
            process.stdin.write(line)
            assert process.stdout.readline().endswith(b"\n")
        process.stdin.close()
        assert process.stdout.read() == b""
        assert (
            b"1 of 3 lines have nan as their figure; the first of them: standard input, line 2" in process.stderr.read()
        )
        assert process.wait() == 0


def test_bad_lines_do_not_end_the_job(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"the cat\nbad \xff byte\nthe cat\nnul \0 here\n\nlast")
    for unit in ("word", "char", "piece"):
        out, err = run(capsys, "score", folder / f"{unit}.fastlm", path)
        figures = out.splitlines()
        assert [figure == "nan" for figure in figures] == [False, True, False, True, True, False]
        assert figures[0] == figures[2]
        assert err == (
            f"fastlm: 3 of 6 lines have nan as their figure; the first of them: {path}, line 2: byte 0xFF at "
            'offset 4 is not UTF-8; unit="byte" reads any bytes\n'
        )
        out, err = run(capsys, "score", folder / f"{unit}.fastlm", path, "--errors", "replace")
        assert out.count("nan") == 2 and err.startswith("fastlm: 2 of 6 lines")
    out, err = run(capsys, "score", folder / "byte.fastlm", path)
    assert out.count("nan") == 1 and "line 5 is empty; text was expected" in err
    closed = fastlm.LanguageModel(
        fastlm.Vocabulary(["the", "cat", "\n"]), fastlm.models.KneserNey(3, 1).fit(fastlm.Corpus.from_ids([[0, 1, 2]]))
    )
    closed.save(tmp_path / "closed")
    (tmp_path / "c.txt").write_text("the cat\nthe zebra\ncat\n")
    out, err = run(capsys, "score", tmp_path / "closed", tmp_path / "c.txt")
    assert [line == "nan" for line in out.splitlines()] == [False, True, False]
    assert err.endswith("c.txt, line 2 has a token that the model lacks\n")


def test_many_lines_are_scored_in_groups(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{line}\n" for line in LINES * 5) + "\n")
    expected = run(capsys, "score", folder / "word.fastlm", path)
    lm = fastlm.load(folder / "word.fastlm")
    written: list[str] = []
    scorer = LineScorer(lm, lambda record, score: f"{score.total_nats if score else math.nan:.6f}\n", written.append,
                        together=7)
    for row in read_lines(path, "word"):
        scorer.add(of_row(row))
    scorer.flush()
    assert "".join(written) == expected[0] and len(written) == -(-(5 * len(LINES) + 1) // 7) and scorer.faults
    assert [float(figure) for figure in expected[0].split()[:3]] == pytest.approx(
        [lm.score(line).total_nats for line in LINES[:3]], abs=2e-6
    )


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_encodings(encoding: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = folder / f"t.{encoding}", tmp_path / "m"
    _, err = run(capsys, "train", path, "-o", model, "--unit", "word", "--model", "kneser-ney", "--quiet", code=2)
    assert f'it looks like {encoding}, which encoding="{encoding}" (--encoding {encoding}) reads' in err
    run(
        capsys, "train", path, "-o", model, "--unit", "word", "--model", "kneser-ney", "--quiet", "--encoding", encoding
    )
    assert "Käse" in fastlm.load(model).vocabulary
    out, _ = run(capsys, "score", model, path, "--encoding", encoding)
    assert "nan" not in out and out.count("\n") == len(LINES)
    out, err = run(capsys, "eval", model, path, "--encoding", encoding, "--json")
    assert json.loads(out)["unknown"] == 0
    out, err = run(capsys, "score", model, path)
    assert "nan" in out and "--encoding" in err


def test_patterns_tables_and_notes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m"
    _, err = run(
        capsys, "train", folder / "t.jsonl", folder / "t.cs[v]", "-o", model, "--unit", "word", "--model", "kneser-ney"
    )
    assert f"{folder}/t.jsonl: the column 'text' of 'id', 'text' is read; text_key= (--text-key) names another\n" in err
    assert "the column 'text' of 'id', 'text' is read" in run(capsys, "info", model)[0]
    assert run(capsys, "eval", model, folder / "t.[jc]s*", "--text-key", "text")[1] == ""
    assert run(capsys, "score", model, f"{folder}/**/t.csv")[0].count("\n") == len(LINES)
    _, err = run(capsys, "train", f"{folder}/t.*v", "-o", folder / "t.csv", code=2)
    assert err == f"fastlm: {folder}/t.csv is to be read, and the model would replace it; another name was expected\n"
    _, err = run(capsys, "train", folder / "t.csv", "-o", model, "--text-key", "body", "--quiet", code=2)
    assert err == f"fastlm: {folder}/t.csv has no column 'body'; it has 'id', 'text'\n"
    _, err = run(capsys, "train", f"{folder}/*.none", "-o", model, code=2)
    assert err.endswith("*.none' matches no file\n")


def test_prompts_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (b"the cat\n", b"\xef\xbb\xbfthe cat\r\n", gzip.compress(b"the cat")):

        class Input:
            buffer = io.BytesIO(data)

        for verb in ("next", "generate"):
            more = ["--seed", "1"] if verb == "generate" else []
            Input.buffer.seek(0)
            monkeypatch.setattr(sys, "stdin", Input)
            assert (
                run(capsys, verb, folder / "word.fastlm", "-", *more)[0]
                == run(capsys, verb, folder / "word.fastlm", "the cat", *more)[0]
            )


def test_normalisation(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    composed, decomposed = tmp_path / "c.txt", tmp_path / "d.txt"
    composed.write_text("caf\u00e9 noir\n" * 20)
    decomposed.write_text("cafe\u0301 noir\n" * 20)
    for options, same in (((), True), (("--normalize", "none"), False), (("--normalize", "NFD"), True)):
        run(
            capsys,
            "train",
            composed,
            "-o",
            tmp_path / "m",
            "--unit",
            "char",
            "--model",
            "kneser-ney",
            "--quiet",
            *options,
        )
        for verb in ("eval", "score"):
            figures = [run(capsys, verb, tmp_path / "m", path)[0] for path in (composed, decomposed)]
            assert (figures[0] == figures[1]) is same
    assert os.path.exists(tmp_path / "m")
