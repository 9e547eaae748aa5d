"""What a document was in training is what it is in every later use, and generation begins anew after its end."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fastlm
from fastlm import Vocabulary
from fastlm.models import KneserNey

LINES = ["anna", "bob", "carl", "annabel", "rob", "carlo"] * 40
TEXT = "\n".join(LINES) + "\n"
UNITS = ("word", "char", "byte", "piece")


def of_lines(unit: str) -> fastlm.LanguageModel:
    return fastlm.train([TEXT], unit, model="kneser-ney", documents="line", min_count=None)


@pytest.mark.parametrize("unit", UNITS)
def test_a_model_of_lines_reads_lines(unit: str, tmp_path) -> None:
    """By the default, by name, by the command line after a file, and text by text: the same figure."""
    lm = of_lines(unit)
    path = tmp_path / "t.txt"
    path.write_text("bob\nanna\nbob\n")
    wanted = lm.evaluate(path, documents="line").total_nats
    assert lm.evaluate(path).total_nats == wanted
    assert lm.score("bob\nanna\nbob\n").total_nats == wanted
    assert sum(lm.score(name).total_nats for name in ("bob", "anna", "bob")) == pytest.approx(wanted, rel=1e-12)
    lm.save(tmp_path / "m.fastlm")
    done = subprocess.run([sys.executable, "-m", "fastlm", "eval", tmp_path / "m.fastlm", path, "--json"],
                          capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["bits_per_byte"] == pytest.approx(lm.evaluate(path).bits_per_byte, rel=1e-12)
    assert lm.perplexity(path) == lm.perplexity(path, documents="line")


@pytest.mark.parametrize("unit", UNITS)
def test_later_lines_are_as_good_as_the_first(unit: str) -> None:
    """An order of 9 learns each name by heart; what follows the end of a name is a name again."""
    lm = fastlm.train([TEXT], unit, model="kneser-ney", order=9, documents="line")
    drawn = "".join(lm.generate(max_tokens=2000, temperature=1.0, top_k=0, seed=2, documents=0)).split("\n")[:-1]
    right = [name in LINES for name in drawn]
    assert len(drawn) > 100 and np.mean(right[1:]) > 0.9


def test_generation_of_several_files() -> None:
    """Between documents a line ends, and the next one begins as the first did."""
    lm = fastlm.train(["abab", "cdcdcd"] * 30, "char", model="kneser-ney", order=8)
    drawn = "".join(lm.generate(max_tokens=400, temperature=1.0, top_k=0, seed=1)).split("\n")[:-1]
    assert np.mean([text in ("abab", "cdcdcd") for text in drawn]) > 0.9
    end = lm.vocabulary.end_of_document
    assert end is not None
    assert lm.score("abab").tokens == 5 and lm.next_tokens("abab", 1)[0][0] == "<end>"
    assert lm.start().log_probabilities().argmax() in (lm.vocabulary.id("a"), lm.vocabulary.id("c"))


def test_text_that_was_one_document_never_ends() -> None:
    lm = fastlm.train(["ab\ncd\n" * 30], "char", model="kneser-ney", order=8)
    drawn = "".join(lm.generate("ab\nc", max_tokens=300, temperature=1.0, top_k=0, seed=1))
    assert drawn.startswith("d\nab\ncd\n") and lm.vocabulary.end_of_document is None


def test_a_model_without_a_card_reads_files() -> None:
    lm = fastlm.LanguageModel(Vocabulary(["a", "\n"]), KneserNey(2))
    assert lm.documents == "file"
    assert lm.score("a\na\n").tokens == 4


def test_a_word_that_is_called_end() -> None:
    lm = fastlm.train(["a <end> b"] * 20, "piece", model="kneser-ney", order=4)
    assert lm.vocabulary.decode(lm.vocabulary.encode("a <end> b")) == "a <end> b"
    assert "".join(lm.generate("a <", max_tokens=4, temperature=0)).startswith("end> b")


@pytest.mark.parametrize("prompt", [
    "the ", "the hor", "the hors", "the horse", "the horse ru", "th", "t", "the horse runs\nthe hou"])
def test_a_prompt_may_stop_within_a_word(prompt: str) -> None:
    """What is drawn goes on with the word; joined, the text is one of training."""
    text = "the horse runs\nthe house burns\n" * 40
    lm = fastlm.train([text], "piece", model="kneser-ney", order=8)
    assert len(lm.vocabulary.encode(" horse")) == 1    # so that no text of training has " hor" and then "se"
    drawn = "".join(lm.generate(prompt, max_tokens=6, temperature=0))
    assert prompt + drawn in text and drawn


def test_a_character_that_stops_within_a_piece() -> None:
    lm = fastlm.train(["été été\n" * 40], "piece", model="kneser-ney", order=8)
    assert ("é" + "".join(lm.generate("é", max_tokens=3, temperature=0))).startswith("été été")
