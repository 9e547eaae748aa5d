"""The command line as a person and as a program meets it."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastlm
from fastlm.cli import main
from fastlm.training.progress import ProgressLine, describe

TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    (path / "text.txt").write_text(TEXT)
    assert main(["train", str(path / "text.txt"), "-o", str(path / "m.fastlm"), "--epochs", "5", "--quiet",
                 "--seed", "3"]) == 0
    return path


def test_train_prints_progress_on_stderr_and_nothing_on_stdout(folder, capsys):
    assert main(["train", str(folder / "text.txt"), "-o", str(folder / "n.fastlm"), "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"100%  [\d,]+ tokens/s  loss \d+\.\d+  held-out perplexity (-|\d+\.\d+)  0 s left\n", err)
    assert "saved to" in err and "\r" not in err


def test_quiet_is_silent(folder, capfd):
    assert main(["train", str(folder / "text.txt"), "-o", str(folder / "q.fastlm"), "--epochs", "1", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_an_ngram_model_from_training_to_generation(folder, capsys):
    path = str(folder / "k.fastlm")
    assert main(["train", str(folder / "text.txt"), "-o", path, "--model", "kneser-ney", "--order", "4"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and re.match(r"counted \d+ n-grams of up to 4 tokens in 0\.\d\d s\n<LanguageModel of ", err)
    assert main(["eval", path, str(folder / "text.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"] < 2
    assert main(["next", path, "the cat sat", "-k", "1"]) == 0
    assert capsys.readouterr().out.endswith("\ton\n")
    assert main(["generate", path, "the cat", "--max-tokens", "5", "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith("the cat sat on")
    assert main(["score", path, str(folder / "text.txt")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 24
    assert main(["info", path]) == 0
    assert "KneserNey(vocab_size=9, order=4, boundary=None)" in capsys.readouterr().out


def test_eval_json_has_the_promised_keys_and_agrees_with_python(folder, capsys):
    assert main(["eval", str(folder / "m.fastlm"), str(folder / "text.txt"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    score = fastlm.load(folder / "m.fastlm").evaluate(folder / "text.txt")
    assert set(figures) == {"perplexity", "nats_per_token", "bits_per_byte", "tokens", "unknown"}
    assert figures["tokens"] == 24 * 7 and figures["unknown"] == 0
    assert figures["perplexity"] == pytest.approx(np.exp(figures["nats_per_token"]))
    assert figures["nats_per_token"] == score.nats_per_token
    assert figures["bits_per_byte"] == pytest.approx(score.nats / np.log(2) / len(TEXT))


def test_eval_counts_unknown_words(folder, capsys, tmp_path):
    (tmp_path / "other.txt").write_text("the zebra sat\n")
    assert main(["eval", str(folder / "m.fastlm"), str(tmp_path / "other.txt")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"tokens +4\n", out) and re.search(r"unknown +1\n", out)


def test_next_shows_the_likeliest_first(folder, capsys):
    assert main(["next", str(folder / "m.fastlm"), "the cat sat", "-k", "3"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0][1] == "on" and float(rows[0][0]) > 0.3
    assert len(rows) == 3 and float(rows[0][0]) >= float(rows[1][0]) >= float(rows[2][0])


def test_generate_repeats_with_a_seed_and_begins_with_the_prompt(folder, capsys):
    outs = []
    for seed in ("1", "1", "2"):
        assert main(["generate", str(folder / "m.fastlm"), "the", "--seed", seed, "--max-tokens", "30",
                     "--temperature", "9"]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] != outs[2] and outs[0].startswith("the ")


def test_score_gives_a_figure_a_line(folder, capsys, monkeypatch):
    class Input:
        buffer = io.BytesIO(b"the cat sat\n\nthe dog")
    monkeypatch.setattr(sys, "stdin", Input)
    assert main(["score", str(folder / "m.fastlm")]) == 0
    out, err = capsys.readouterr()
    lm = fastlm.load(folder / "m.fastlm")
    first, second, third = out.splitlines()
    assert float(first) == pytest.approx(lm.score("the cat sat").nats, abs=1e-5)
    assert second == "nan" and err == "fastlm: line 2 is empty; text was expected, so its figure is nan\n"
    assert float(third) == pytest.approx(lm.score("the dog\n").nats, abs=1e-5)


def test_info_shows_the_history_and_the_plan(folder, capsys):
    assert main(["info", str(folder / "m.fastlm")]) == 0
    out = capsys.readouterr().out
    assert "LSTM(vocab_size=9" in out and "30 steps, weights of step 30 kept" in out and "seed 3" in out
    assert re.search(r"step +seconds +tokens +loss +held-out +perplexity +rate", out)


def test_a_recorded_plan_gives_the_same_bytes(folder):
    assert main(["train", str(folder / "text.txt"), "-o", str(folder / "b.fastlm"), "--budget", "1",
                 "--model", "lstm", "--quiet"]) == 0
    assert main(["train", str(folder / "text.txt"), "-o", str(folder / "r.fastlm"), "--plan", str(folder / "b.fastlm"),
                 "--threads", "1", "--quiet"]) == 0
    assert fastlm.load(folder / "b.fastlm").digest() == fastlm.load(folder / "r.fastlm").digest()


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["train", "{folder}/none.txt", "-o", "{folder}/x"], "none.txt"),
    (["train", "{folder}/text.txt", "-o", "{folder}/no/x"], "{folder}/no is not a folder"),
    (["train", "{folder}/text.txt", "-o", "{folder}/x", "--budget", "soon"], "budget = 'soon'"),
    (["train", "{folder}/text.txt", "-o", "{folder}/x", "--epochs", "0"], "epochs = 0.0"),
    (["train", "{folder}/text.txt", "-o", "{folder}/x", "--threads", "0"], "threads = 0; at least 1"),
    (["train", "{folder}/empty.txt", "-o", "{folder}/x"], "the corpus is empty"),
    (["train", "{folder}/latin.txt", "-o", "{folder}/x"], "latin.txt: byte 0xE9 at offset 3 is not UTF-8"),
    (["train", "{folder}/nul.txt", "-o", "{folder}/x"], "nul.txt: NUL at offset 1"),
    (["eval", "{folder}/text.txt", "{folder}/text.txt"], "text.txt is not a model file"),
    (["info", "{folder}/cut.fastlm"], "cut.fastlm is cut short"),
    (["next", "{folder}/m.fastlm", "the", "-k", "0"], "k = 0; at least 1 was expected"),
    (["generate", "{folder}/m.fastlm", "--temperature", "-1"], "temperature = -1.0"),
])
def test_bad_input_is_one_sentence_and_writes_nothing(folder, capsys, arguments, sentence):
    (folder / "empty.txt").write_text("")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "nul.txt").write_bytes(b"a\0b")
    (folder / "cut.fastlm").write_bytes((folder / "m.fastlm").read_bytes()[:-5])
    assert main([part.format(folder=folder) for part in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fastlm: ") and err.count("\n") == 1
    assert sentence.format(folder=folder) in err
    assert not (folder / "x").exists()


def test_ctrl_c_saves_the_best_model_so_far(folder):
    command = [sys.executable, "-m", "fastlm", "train", str(folder / "text.txt"), "-o", str(folder / "i.fastlm"),
               "--budget", "300", "--model", "lstm"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert "tokens/s" in process.stderr.readline()   # it is training
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted after step" in err
    assert fastlm.load(folder / "i.fastlm").next_tokens("the cat sat", k=1)[0][0] == "on"


def test_the_progress_line_is_rewritten_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True
    figures = {"progress": 0.25, "tokens_per_second": 1000.0, "loss": 2.0, "valid": 1.0, "seconds_left": 30.0,
               "seconds": 10.0}
    stream = Terminal()
    line = ProgressLine(stream)
    line(figures)
    line(figures)
    line.close()
    text = " 25%  1,000 tokens/s  loss 2.000  held-out perplexity 2.72  30 s left"
    assert describe(figures) == text
    assert stream.getvalue() == f"\r{text}\r{text}\n"
