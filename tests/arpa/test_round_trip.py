"""ARPA text: there and back, read from other tools, and scored as they score it."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm import arpa
from fastlm.models import LSTM, KneserNey

TEXT = "the cat sat\nthe dog sat on\n\nthe cat\n" * 3
CLOSE = 1e-4     # in base-10 logarithms


def counted(source, order=3, lines=False, unit="word") -> fastlm.LanguageModel:
    vocabulary, _ = fastlm.Corpus.build(source, unit)
    boundary = vocabulary.end_of_line if lines else None
    return fastlm.train(source, unit, min_count=1, model=lambda size: KneserNey(size, order, boundary), threads=2)


def zipf_text(seed: int, lines: int) -> str:
    """Sentences of a random bigram language: common and rare words, so that every discount can be estimated."""
    rng = np.random.default_rng(seed)
    base = 1 / np.arange(1, 121)
    table = np.random.default_rng(1).permuted(np.tile(base, (120, 1)) ** 1.3, axis=1) + 0.02 * base
    table /= table.sum(1, keepdims=True)
    out = []
    for _ in range(lines):
        word, sentence = int(rng.integers(120)), []
        for _ in range(int(rng.integers(0, 14))):
            word = int(rng.choice(120, p=table[word]))
            sentence.append(f"w{word}")
        out.append(" ".join(sentence))
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("unit, text", [
    ("word", TEXT), ("char", "a\\ b\nthe <s>\u00a0é\n" * 3), ("byte", b"ab\n\x00\xff" * 9),
    ("word", "once </s> \\x; <s>\n"), ("word", "a")])
def test_what_is_written_is_read_again_to_the_bit(unit, text, order, lines, tmp_path) -> None:
    lm = counted([text], order, lines, unit)
    arpa.save(lm, tmp_path / "m.arpa")
    again = arpa.load(tmp_path / "m.arpa", unit)
    assert again.vocabulary.tokens == lm.vocabulary.tokens
    assert again.model.order == min(order, 3 if text == "a" else 4)       # of its longest n-gram
    if order > 1:                                                         # of single words nobody can tell
        assert again.model.boundary == (lm.vocabulary.end_of_line if lines else None)
    read = again.model.unpacked()
    for name, table in lm.model.unpacked().items():
        found = read[name]      # without 4-grams there is no backoff after 3-grams
        assert found.tobytes() == table[:len(found)].tobytes() and (len(found) == len(table) or text == "a")


def test_a_small_model_as_text(tmp_path) -> None:
    """One line, a b: every bigram once, so half of each probability stays, and 1/2 * 1/3 comes from below."""
    arpa.save(counted(["a b\n"], 2, lines=True), tmp_path / "m.arpa")
    lines = (tmp_path / "m.arpa").read_text().splitlines()
    assert lines[:4] == ["\\data\\", "ngram 1=5", "ngram 2=3", ""] and lines[-1] == "\\end\\"
    grams = {line.split("\t")[1]: line.split("\t")[::2] for line in lines if "\t" in line}
    seen = 0.5 / 3 + 0.125
    by_hand = {"</s>": (seen, 1), "a": (seen, 0.5), "b": (seen, 0.5), "<unk>": (0.125, 1)}
    for word, (p, backoff) in by_hand.items():
        assert float(grams[word][0]) == pytest.approx(np.log10(p), abs=1e-6)
        assert float(grams[word][1]) == pytest.approx(np.log10(backoff), abs=1e-6)
    assert grams["<s>"][0] == "-99" and float(grams["<s>"][1]) == pytest.approx(np.log10(0.5))
    for gram in ("<s> a", "a b", "b </s>"):
        assert float(grams[gram][0]) == pytest.approx(np.log10(0.5 + 0.5 * (0.5 / 3 + 0.125)), abs=1e-6)


WRITTEN = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-0.5 </s>
-99 <s> -0.30103
-0.4771213 a -0.1
-0.4464 b 0

\\2-grams:
-0.2 <s> a
-0.1 a b

\\end\\
"""


def sound(text: str = WRITTEN) -> str:
    """The small file with backoffs that make its sums one."""
    p = {"</s>": 10**-0.5, "a": 10**-0.4771213}
    b = 1 - sum(p.values())
    begin = (1 - 10**-0.2) / (1 - p["a"])
    after = (1 - 10**-0.1) / (1 - b)
    return (text.replace("-0.4464", f"{np.log10(b):.8f}").replace("-0.30103", f"{np.log10(begin):.8f}")
            .replace("a -0.1\n", f"a {np.log10(after):.8f}\n"))


def test_a_file_with_spaces_and_without_needless_backoffs(tmp_path) -> None:
    (tmp_path / "m.arpa").write_text(sound())
    lm = arpa.load(tmp_path / "m.arpa")
    assert lm.vocabulary.tokens == ["\n", "a", "b", "<unk>"] and lm.model.boundary == 0
    nats = lm.score("a b").per_token / np.log(10)
    np.testing.assert_allclose(nats, [0.2, 0.1, 0.5], atol=1e-6)
    assert lm.history.ended == ("read from ARPA text of order 2; there is no <unk>, so an unknown word has log10 p = "
                                "-100")


@pytest.mark.parametrize("old, new, message", [
    ("\\data\\", "\\date\\", "it has no \\data\\ section with the numbers of its n-grams"),
    ("ngram 1=4\nngram 2=2\n", "", "it has no \\data\\ section with the numbers of its n-grams"),
    ("ngram 1=4\n", "", "line 2: 'ngram 2=2' where the number of 1-grams was expected"),
    ("ngram 1=4\n", "ngram 1=four\n", "line 2: 'ngram 1=four' stands among the numbers of n-grams"),
    ("ngram 1=4\n", "ngram 1=-4\n", "line 2: 'ngram 1=-4' stands among the numbers of n-grams"),
    ("ngram 1=4\n", f"ngram 1={'9' * 30}\n", f"line 2: 'ngram 1={'9' * 30}' stands among the numbers of n-grams"),
    ("ngram 2=2", "ngram 2=999999999999", "it says that it has 1,000,000,000,003 n-grams of up to 2 words; at most "
     "2,147,483,647 of up to 127 can be read"),
    ("ngram 2=2", "ngram 2=20000000", "line 15: it has 2 2-grams, and says 20,000,000"),
    ("ngram 2=2", "ngram 2=3", "line 15: it has 2 2-grams, and says 3"),
    ("ngram 2=2", "ngram 2=1", "line 15: it has more than the 1 2-grams that it says it has"),
    ("ngram 2=2", "ngram 2=0", "line 12: '-0.2 <s> a' stands where \\end\\ was expected"),
    ("\\2-grams:", "\\3-grams:", "line 11: '\\\\3-grams:' stands where \\2-grams: was expected"),
    ("\\1-grams:", "\\1-gram models", "line 5: '\\\\1-gram models' stands where \\1-grams: was expected"),
    ("-0.1 a b\n", "-0.1 a b c d\n", "line 13: '-0.1 a b c d' stands among the 2-grams"),
    ("-0.1 a b\n", "-0.1 a\n", "line 13: '-0.1 a' stands among the 2-grams"),
    ("-0.1 a b\n", "-0.1 a b 0.1 x\n", "line 13: '-0.1 a b 0.1 x' stands among the 2-grams"),
    ("-0.1 a b\n", "-0.1 a b x\n", "line 13: 'x' is no finite number"),
    ("-0.1 a b\n", "-0.1 a c\n", "line 13: 'c' is in an n-gram and no 1-gram"),
    ("-0.1 a b\n", "-0.2 <s> a\n", "line 13: a 2-gram is there a second time"),
    ("-0.4771213 a -0.1\n", "-0.4771213 b -0.1\n", "line 9: the 1-gram 'b' is there a second time"),
    ("-99 <s> -0.30103\n", "-99 <s> -0.30103\n-99 <s> 0\n", "line 8: the 1-gram '<s>' is there a second time"),
    ("-0.1 a b\n", "nan a b\n", "line 13: 'nan' is no finite number"),
    ("-0.1 a b\n", "-inf a b\n", "line 13: '-inf' is no finite number"),
    ("-0.1 a b\n", "-1e999 a b\n", "line 13: '-1e999' is no finite number"),
    ("-0.1 a b\n", "- a b\n", "line 13: '-' is no finite number"),
    ("-0.1 a b\n", "x a b\n", "line 13: 'x' is no finite number"),
    ("-0.4771213 a", "-0.4771213 a\0", "line 8: the word 'a\\x00' has a NUL in it"),
    ("</s>", "c", "it has no </s>"),
])
def test_unsound_files_are_refused(old: str, new: str, message: str, tmp_path) -> None:
    path = tmp_path / "m.arpa"
    assert old in WRITTEN
    path.write_text(WRITTEN.replace(old, new, 1))
    with pytest.raises(ValueError) as caught:
        arpa.load(path)
    assert str(caught.value) == f"{path} is no sound ARPA file: {message}"


def test_what_arpa_text_cannot_hold(tmp_path) -> None:
    vocabulary = fastlm.Vocabulary(["a", "\n"])
    with pytest.raises(ValueError, match="a LSTM is no n-gram model; ARPA text holds a KneserNey"):
        arpa.save(fastlm.LanguageModel(vocabulary, LSTM(2, hidden=3)), tmp_path / "m.arpa")
    for model, tokens in ((KneserNey(2, boundary=0), ["a", "\n"]), (KneserNey(2), ["a", "b"])):
        with pytest.raises(ValueError, match="ARPA text needs an end of line"):
            arpa.save(fastlm.LanguageModel(fastlm.Vocabulary(tokens), model), tmp_path / "m.arpa")


# KenLM ---------------------------------------------------------------------------------------------------------------

def by_kenlm(path: Path, text: str) -> np.ndarray:
    """log10 p of every token of every line."""
    kenlm = pytest.importorskip("kenlm", reason="KenLM's Python module is not installed")
    model = kenlm.Model(str(path))
    return np.array([p for line in text.splitlines() for p, _, _ in model.full_scores(line)])


def line_by_line(lm: fastlm.LanguageModel, text: str) -> np.ndarray:
    return -np.concatenate([lm.score(line + "\n").per_token for line in text.splitlines()]) / np.log(10)


@pytest.mark.parametrize("lines", [False, True])
def test_kenlm_scores_what_we_write_as_we_do(lines: bool, tmp_path) -> None:
    lm = counted([zipf_text(1, 900)], 4, lines)
    arpa.save(lm, tmp_path / "m.arpa")
    text = zipf_text(2, 150).replace("w7 ", "never-seen ")
    np.testing.assert_allclose(line_by_line(lm, text), by_kenlm(tmp_path / "m.arpa", text), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("lines", [20, 2500])
def test_kenlm_estimates_the_same_model(order: int, lines: int, tmp_path) -> None:
    """Discounts that cannot be estimated, as in the short text, are the same 1/2, 1 and 3/2."""
    lmplz = os.environ.get("FASTLM_LMPLZ") or shutil.which("lmplz")
    if lmplz is None:
        pytest.skip("KenLM's lmplz is neither on the PATH nor in FASTLM_LMPLZ")
    text, other = zipf_text(3, lines), zipf_text(4, 200)
    (tmp_path / "text").write_text(text)
    subprocess.run([lmplz, "-o", str(order), "-S", "100M", "-T", str(tmp_path), "--discount_fallback", "--text",
                    str(tmp_path / "text"), "--arpa", str(tmp_path / "k.arpa")], check=True, capture_output=True)
    lm = counted([text], order, lines=True)
    theirs = by_kenlm(tmp_path / "k.arpa", other)
    np.testing.assert_allclose(line_by_line(lm, other), theirs, rtol=0, atol=CLOSE)
    read = arpa.load(tmp_path / "k.arpa")
    assert len(read.vocabulary) == len(lm.vocabulary) and read.model.boundary == read.vocabulary.end_of_line
    np.testing.assert_allclose(line_by_line(read, other), theirs, rtol=0, atol=CLOSE)
