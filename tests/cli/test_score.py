"""fastlm score as a filter: figures by name, JSON lines, tokens, shards; N lines in, N lines out."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

import fastlm
from fastlm.cli import main

LINES = ["the cat sat", "a zebra sat on\tit", "", "the mat", "sat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    fastlm.train(["the cat sat on the mat\n" * 30], documents="line", model="kneser-ney").save(folder / "m")
    (folder / "t.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return (out, err) if code == 0 else ("", err)


def test_figures_by_name_are_those_of_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lm = fastlm.load(folder / "m")
    out, err = run(capsys, "score", folder / "m", folder / "t.txt", "--field", "perplexity,unknown,bits_per_byte")
    rows = [line.split("\t") for line in out.splitlines()]
    assert len(rows) == len(LINES) and rows[2] == ["nan", "nan", "nan"] and "1 of 5 lines have nan" in err
    for row, line in zip(rows, LINES, strict=True):
        if line:
            score = lm.score(line + "\n")
            assert [float(row[0]), int(row[1]), float(row[2])] == pytest.approx(
                [score.perplexity, score.unknown, score.bits_per_byte], abs=1e-6)


def test_the_line_stands_after_its_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "score", folder / "m", folder / "t.txt", "--tsv", "--field", "tokens")
    assert out.splitlines() == ["4\tthe cat sat", "6\ta zebra sat on\tit", "nan\t", "3\tthe mat", "2\tsat"]


def test_json_lines_come_back_with_their_figures(folder: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    lm = fastlm.load(folder / "m")
    objects = [{"id": 1, "text": "the cat sat", "lang": "\u00e9"}, {"id": 2}, {"id": 4, "text": "sat on\nthe mat"},
               {"text": " "}, {"text": 5}]
    first, second, *rest = map(json.dumps, objects)
    lines = [first, "no json", second, "", "[3]", *rest]
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n\xff\n"))
    out, err = run(capsys, "score", folder / "m", tmp_path / "t.jsonl.gz", "--jsonl", "--text-key", "text", "--field",
                   "perplexity,tokens")
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == len(lines) + 1 and "7 of 9 lines" in err
    perplexity = lm.score("the cat sat").perplexity
    assert found[0] == {"id": 1, "text": "the cat sat", "lang": "\u00e9", "perplexity": perplexity, "tokens": 4}
    assert found[2] == {"id": 2, "perplexity": None, "tokens": None} and found[5]["tokens"] == 6
    assert "is not JSON" in found[1]["fault"] and found[1]["perplexity"] is None and "[3]" in found[4]["fault"]


def test_the_text_key_is_guessed_or_asked_for(folder: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"n": 1, "body": "the cat"}\n{"n": 2, "body": "mat", "other": "x"}\n')
    out, _ = run(capsys, "score", folder / "m", path, "--jsonl")
    assert [json.loads(line)["body"] for line in out.splitlines()] == ["the cat", "mat"]
    path.write_text('{"a": "the cat", "b": "x"}\n')
    assert run(capsys, "score", folder / "m", path, "--jsonl")[1].endswith(
        "line 1 has the strings 'a', 'b'; --text-key was expected, which names the one to score\n")


def test_tokens_of_every_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lm = fastlm.load(folder / "m")
    out, _ = run(capsys, "score", folder / "m", folder / "t.txt", "--per-token")
    rows = out.splitlines()
    assert len(rows) == len(LINES) and rows[2] == "nan"
    assert [float(x) for x in rows[0].split("\t")] == pytest.approx(lm.score("the cat sat").per_token, abs=1e-5)
    out, _ = run(capsys, "score", folder / "m", folder / "t.txt", "--per-token", "--tsv")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:2] + row[3:] for row in rows[:4]] == [["1", "1", "the"], ["1", "2", "cat"], ["1", "3", "sat"],
                                                       ["1", "4", "\\n"]]
    assert {row[0] for row in rows} == {"1", "2", "3", "4", "5"}


def test_shards_are_every_nth_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run(capsys, "score", folder / "m", folder / "t.txt")[0].splitlines()
    parts = [run(capsys, "score", folder / "m", folder / "t.txt", "--shard", f"{n}/3")[0].splitlines()
             for n in (1, 2, 3)]
    assert [parts[n % 3][n // 3] for n in range(5)] == whole and [len(part) for part in parts] == [2, 2, 1]


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "-1/2"])
def test_what_is_no_shard(shard: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["score", str(folder / "m"), f"--shard={shard}"])
    assert f"'{shard}' is no shard; I/N with I from 1 to N was expected, such as 3/16" in capsys.readouterr().err


def test_unknown_figures_are_refused_before_anything_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "score", folder / "m", folder / "t.txt", "--field", "nats,ppl")
    assert out == "" and "--field ppl: one of nats, tokens, unknown" in err


def test_eval_gives_every_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "eval", folder / "m", folder / "t.txt", "--json")[0])
    score = fastlm.load(folder / "m").evaluate(folder / "t.txt")
    assert found == score.to_dict() and math.isfinite(found["perplexity_known"])
