"""The command line as a person and as a program meets it."""

import io
import json
import os
import re
import signal
import sys
import time

import numpy as np
import pytest

import fastlm
from fastlm.cli import main, parser
from fastlm.files.overwrite import rescue
from fastlm.training.history import Ended
from fastlm.training.progress import ProgressLine, describe
from tests.processes import finished, running

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
    said = r"unit word: \d+ words are an example\ncounted \d+ n-grams of up to 4 tokens in 0\.\d\d s\n"
    assert out == "" and re.match(said + "<LanguageModel of ", err)
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
    assert figures == score.to_dict() and {"perplexity", "nats_per_token", "bits_per_byte", "perplexity_per_word",
                                           "tokens", "unknown", "words", "bytes", "total_nats"} < set(figures)
    assert figures["tokens"] == 24 * 7 and figures["unknown"] == 0
    assert figures["perplexity"] == pytest.approx(np.exp(figures["nats_per_token"]))
    assert figures["nats_per_token"] == score.nats_per_token
    assert figures["bits_per_byte"] == pytest.approx(score.total_nats / np.log(2) / len(TEXT))
    assert figures["words"] == 24 * 7 and figures["bytes"] == len(TEXT)


def test_eval_counts_unknown_words(folder, capsys, tmp_path):
    (tmp_path / "other.txt").write_text("the zebra sat\n")
    assert main(["eval", str(folder / "m.fastlm"), str(tmp_path / "other.txt")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"tokens +4\n", out) and re.search(r"unknown +1\n", out)
    assert re.search(r"^perplexity, closed vocabulary +\d", out) and re.search(r"perplexity per word +\d", out)


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
    assert float(first) == pytest.approx(lm.score("the cat sat\n").total_nats, abs=1e-5)
    assert second == "nan"
    assert err == ("fastlm: 1 of 3 lines have nan as their figure; the first of them: the open file, line 2 is empty; "
                   "text was expected\n")
    assert float(third) == pytest.approx(lm.score("the dog\n").total_nats, abs=1e-5)


def test_score_closed_leaves_the_spelling_out(folder, capsys, tmp_path):
    (tmp_path / "odd.txt").write_text("the zzqqzz sat\n")
    figures = []
    for closed in ([], ["--closed"]):
        assert main(["score", str(folder / "m.fastlm"), str(tmp_path / "odd.txt"), *closed]) == 0
        figures.append(float(capsys.readouterr().out))
    score = fastlm.load(folder / "m.fastlm").score("the zzqqzz sat\n")
    assert figures == pytest.approx([score.total_nats, score.nats], abs=1e-5)


def test_compress_and_decompress_give_the_file_back(folder, capsys, tmp_path):
    text = b"the cat  sat on the zzz\n\xff" * 9
    (tmp_path / "b.bin").write_bytes(text)
    names = {name: str(tmp_path / name) for name in ("b.bin", "z", "back")}
    model = str(folder / "m.fastlm")
    for adapt in ([], ["--adapt"], ["--documents", "line"]):
        assert main(["compress", model, names["b.bin"], "-o", names["z"], *adapt]) == 0
        assert main(["decompress", model, names["z"], "-o", names["back"]]) == 0
        assert (tmp_path / "back").read_bytes() == text and (tmp_path / "z").stat().st_size < len(text)
        assert main(["compress", model, names["b.bin"], "-o", names["z"]]) == 2
        assert capsys.readouterr().err == f"fastlm: {names['z']} exists already; a new name was expected\n"
        (tmp_path / "z").unlink()
        (tmp_path / "back").unlink()
    assert main(["decompress", model, names["b.bin"], "-o", names["back"]]) == 2
    assert "a text that fastlm compressed begins with" in capsys.readouterr().err and not (tmp_path / "back").exists()


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
    (["train", "{folder}/text.txt", "-o", "{folder}/x", "--unit", "word", "--threads", "0"], "threads = 0; at least 1"),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_best_model_so_far(folder, number):
    path = folder / f"i{number}.fastlm"
    command = [sys.executable, "-m", "fastlm", "train", str(folder / "text.txt"), "-o", str(path), "--unit", "word",
               "--budget", "300", "--model", "lstm"]
    with running(command) as process:
        assert "tokens/s" in process.stderr.readline()   # it is training
        time.sleep(0.5)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "interrupted after step" in err and "saved to" in err
    lm = fastlm.load(path)
    assert lm.next_tokens("the cat sat", k=1)[0][0] == "on" and lm.history.reason is Ended.INTERRUPTED
    assert [name for name in os.listdir(folder) if name.startswith(".")] == []


SLOW = """
import fastlm, importlib, os, signal, sys
from fastlm import cli
from fastlm.files import modelfile
def press_in(module, name, before):
    whole = getattr(module, name)
    def pressed(*arguments, **options):
        if before:
            os.kill(os.getpid(), signal.SIGTERM)
        result = whole(*arguments, **options)
        if not before:
            os.kill(os.getpid(), signal.SIGTERM)
        return result
    setattr(module, name, pressed)
press_in({module}, {name!r}, {before})
sys.argv[0] = "fastlm"
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("module", "name", "before", "saved"), [
    ("fastlm.Corpus", "build", True, False),             # while the text is read
    ("fastlm.models.KneserNey", "fit", True, False),     # while n-grams are counted: there is no model yet
    ("importlib.import_module('fastlm.auto.train')", "evaluate_counts", True, True),   # they have been
    ("modelfile", "save", True, True),                   # while the model is saved
    ("modelfile", "save", False, True),                  # it has been
])
def test_a_signal_before_and_after_the_training(folder, tmp_path, module, name, before, saved):
    code = SLOW.format(module=module, name=name, before=before)
    done = finished([sys.executable, "-c", code, "train", str(folder / "text.txt"), "-o", str(tmp_path / "m"),
                     "--model", "kneser-ney", "--quiet"])
    assert done.returncode == 128 + signal.SIGTERM and done.stdout == ""
    assert done.stderr == ("" if saved else "fastlm: interrupted before there was anything to keep\n")
    assert os.listdir(tmp_path) == (["m"] if saved else [])
    if saved:
        assert fastlm.load(tmp_path / "m").next_tokens("the cat sat", k=1)[0][0] == "on"


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2> >(head -c 10 >/dev/null)", "2>/dev/null"])
def test_a_lost_standard_error_loses_no_model(folder, tmp_path, stream):
    text, path = folder / "text.txt", tmp_path / "m.fastlm"
    command = f'"{sys.executable}" -m fastlm train "{text}" -o "{path}" --model lstm --epochs 40 {stream}'
    done = finished(["bash", "-c", f"{command}; exit $?"])
    assert (done.returncode, done.stdout) == (0, "")
    assert fastlm.load(path).history.reason is Ended.FINISHED


def test_a_lost_standard_error_does_not_hide_that_nothing_was_saved(folder, tmp_path):
    command = f'"{sys.executable}" -m fastlm train "{tmp_path}/none.txt" -o "{tmp_path}/m" 2>/dev/full'
    assert finished(["bash", "-c", f"{command}; exit $?"]).returncode == 2


def test_a_model_that_cannot_be_saved_is_saved_elsewhere(folder, tmp_path, capsys, monkeypatch):
    """The folder goes while the model is trained."""
    gone, here = tmp_path / "gone", tmp_path / "here"
    gone.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    train = fastlm.train

    def train_and_lose(*arguments, **options):
        lm = train(*arguments, **options)
        gone.rmdir()
        return lm
    monkeypatch.setattr(fastlm, "train", train_and_lose)
    path = gone / "m.fastlm"
    assert main(["train", str(folder / "text.txt"), "-o", str(path), "--model", "kneser-ney", "--quiet"]) == 2
    rescued = here / f"m.fastlm.rescued-{os.getpid()}"
    assert capsys.readouterr().err == (f"fastlm: {path} cannot be written: {gone} is not a folder; the model was saved "
                                       f"to {rescued} instead\n")
    assert fastlm.load(rescued).next_tokens("the cat sat", k=1)[0][0] == "on"


def test_what_cannot_be_saved_anywhere_is_said_to_be_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def save(path):
        raise OSError("no")
    name = f"m.rescued-{os.getpid()}"
    (tmp_path / "other").mkdir()
    sentence = rescue(save, tmp_path / "other" / "m")
    assert sentence.startswith(f"nor could {name} be written to {tmp_path / 'other'}, {tmp_path}")
    assert sentence.endswith(": the model is lost")
    taken = tmp_path / name
    taken.write_text("mine")
    assert str(taken) not in rescue(lambda path: None, tmp_path / "m") and taken.read_text() == "mine"


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


@pytest.mark.parametrize("error", [BrokenPipeError, OSError, ValueError])
def test_a_progress_line_whose_stream_fails_goes_silent(error):
    class Failing(io.StringIO):
        written = 0

        def write(self, text):
            self.written += 1
            raise error

        def isatty(self):
            raise error
    stream = Failing()
    line = ProgressLine(stream)
    for _ in range(3):
        line.say("a sentence")
        line({"progress": 1.0, "tokens_per_second": 1.0, "loss": 2.0, "valid": None, "seconds_left": 0.0,
              "seconds": 10.0})
        line.close()
    assert stream.written == 1
    ProgressLine(None).say("to nobody")


def verbs():
    """The parser of every sub-command by its name."""
    return next(action.choices for action in parser()._actions if action.dest == "verb")


@pytest.mark.parametrize("verb", verbs())
def test_the_help_says_what_every_argument_and_exit_code_means(verb, capsys):
    for action in verbs()[verb]._actions:
        assert action.help, action.dest
        if action.default not in (None, False, "", "-", "==SUPPRESS=="):
            assert f"default: {action.default}" in action.help
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and "exit codes: 0: success. 2: the input cannot be used" in page
    for promise in ("130, 143 or 129", "A second Ctrl-C", "-o and --checkpoint refuse", "NAME.rescued-",
                    "wall-clock time of the whole command"):
        assert (promise in page) is (verb == "train")


# what may be replaced ------------------------------------------------------------------------------------------------

@pytest.fixture
def poems(tmp_path, monkeypatch):
    """A folder with two texts, a link and a hard link to one of them, a model and a checkpoint; all are as before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text(TEXT * 2)
    (tmp_path / "soft").symlink_to("a.txt")
    os.link(tmp_path / "a.txt", tmp_path / "hard")
    (tmp_path / "empty").write_text("")
    lm = fastlm.train("a.txt", model="kneser-ney")
    lm.save("old.fastlm")
    fastlm.train("a.txt", model="decayed-bag", epochs=0.1, checkpoint="run")
    yield tmp_path
    assert (tmp_path / "a.txt").read_text() == TEXT and (tmp_path / "b.txt").read_text() == TEXT * 2


READ = "a.txt is to be read, and the model would replace it; another name was expected"


@pytest.mark.parametrize(("arguments", "sentence"), [
    ("a.txt -o a.txt", READ),
    ("a.txt -o ./a.txt", "./" + READ),
    ("a.txt -o soft", READ.replace("a.txt", "soft")),
    ("soft -o a.txt", READ),
    ("hard -o a.txt", READ),
    ("b.txt --valid a.txt -o a.txt", READ),
    ("b.txt -o a.txt", "a.txt exists and is no model file; a new name was expected, or remove it first"),
    ("a.txt -o run", "run exists and is a checkpoint, no model; a new name was expected, or remove it first"),
    ("a.txt -o new --checkpoint a.txt", READ.replace("the model", "the checkpoint")),
    ("b.txt -o new --checkpoint a.txt", "a.txt exists and is no checkpoint; a new name was expected, or remove it "
                                        "first"),
    ("a.txt -o new --checkpoint ./new", "new is to be both the model and the checkpoint; two names were expected"),
    ("a.txt -o new --checkpoint old.fastlm", "old.fastlm exists and is a model, no checkpoint; a new name was "
                                             "expected, or remove it first"),
])
def test_no_text_is_replaced(poems, capsys, arguments, sentence):
    assert main(["train", *arguments.split(), "--model", "lstm", "--epochs", "1", "--quiet"]) == 2
    assert capsys.readouterr() == ("", f"fastlm: {sentence}\n")
    assert not (poems / "new").exists()


def test_a_text_from_standard_input_is_not_replaced(poems):
    with open("a.txt") as text:
        done = finished([sys.executable, "-m", "fastlm", "train", "-", "-o", "a.txt", "--quiet"], stdin=text)
    assert (done.returncode, done.stderr) == (2, f"fastlm: {READ}\n")


def test_older_models_and_empty_files_are_replaced(poems, capsys):
    for name in ("old.fastlm", "empty", "brand-new"):
        assert main(["train", "b.txt", "-o", name, "--model", "kneser-ney", "--order", "2", "--quiet"]) == 0
        assert fastlm.load(name).model.order == 2


def test_a_model_in_the_folder_of_its_text_is_left_out_of_it(poems, capsys):
    (poems / "texts").mkdir()
    (poems / "texts" / "a.txt").write_text(TEXT)
    digests = []
    for _ in range(2):
        assert main(["train", "texts", "-o", "texts/m.fastlm", "--model", "kneser-ney"]) == 0
        digests.append(fastlm.load("texts/m.fastlm").digest())
    assert digests[0] == digests[1]
    assert capsys.readouterr().err.count("texts/m.fastlm will be written and is left out of the text\n") == 1


def test_quantize_replaces_neither_its_model_nor_a_text(poems, capsys):
    before = (poems / "old.fastlm").read_bytes()
    assert main(["quantize", "old.fastlm", "-o", "old.fastlm"]) == 2
    assert main(["quantize", "old.fastlm", "-o", "a.txt"]) == 2
    assert capsys.readouterr().err == (
        f"fastlm: {READ.replace('a.txt', 'old.fastlm')}\n"
        "fastlm: a.txt exists and is no model file; a new name was expected, or remove it first\n")
    assert (poems / "old.fastlm").read_bytes() == before


@pytest.mark.parametrize("source", ["a.txt", ["b.txt", "a.txt"], "open"])
def test_python_replaces_no_text_by_a_checkpoint(poems, source):
    with open("a.txt", "rb") as file, pytest.raises(ValueError, match="^a.txt is to be read, and the checkpoint would"):
        fastlm.train(file if source == "open" else source, model="lstm", epochs=1, checkpoint="a.txt")
    with pytest.raises(ValueError, match="^run is in the folder .*, which is to be read as text; the checkpoint "):
        fastlm.train(".", model="lstm", epochs=1, checkpoint="run")
    with pytest.raises(ValueError, match="^b.txt exists and is no checkpoint; a new name was expected"):
        fastlm.train(["some text\n" * 9], model="lstm", epochs=1, checkpoint="b.txt")


def test_complete_and_next_words(folder, capsys):
    lm = fastlm.load(folder / "m.fastlm")
    assert main(["complete", str(folder / "m.fastlm"), "the cat", "-n", "2", "--words", "2"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [text for _, text in rows] == ["the cat" + text for text, _ in lm.complete("the cat", 2, 2)]
    assert main(["next", str(folder / "m.fastlm"), "the", "--words", "--prefix", "c", "-k", "1"]) == 0
    assert capsys.readouterr().out == f"{lm.next_words('the', 'c', 1)[0][1]:.6f}\tcat\n"
    assert main(["generate", str(folder / "m.fastlm"), "the", "--stop", "sat", "--temperature", "0", "--min-p", "0.1",
                 "--repetition-penalty", "1.1", "--documents", "2"]) == 0
    assert "sat" not in capsys.readouterr().out
