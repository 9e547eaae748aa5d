"""ARPA text as other tools write it: layouts, words, unknown words, pruning, figures that are off; KenLM's scores."""

import bz2
import gzip
import io
import lzma
import math
import os
import warnings

import numpy as np
import pytest

import fastlm
from fastlm import arpa
from fastlm.arpa.read import Reader, Text
from fastlm.models import KneserNey

CLOSE = 1e-4     # in base-10 logarithms


def text_of(*orders: dict[str, float | tuple[float, float]], header: str = "", counts: list[int] | None = None) -> str:
    """ARPA text of {words: log10 p, or (log10 p, log10 backoff)} for each order."""
    sizes = counts or [len(order) for order in orders]
    out = [header, "\\data\\\n", *(f"ngram {k}={size}\n" for k, size in enumerate(sizes, 1))]
    for k, order in enumerate(orders, 1):
        out.append(f"\n\\{k}-grams:\n")
        for words, figures in order.items():
            p, *backoff = figures if isinstance(figures, tuple) else (figures,)
            out.append("\t".join([f"{p:.7f}", words, *(f"{b:.7f}" for b in backoff)]) + "\n")
    return "".join([*out, "\n\\end\\\n"])


def logs(**p: float) -> dict[str, float | tuple[float, float]]:
    """{word: log10 p} with </s> and <s>; other names by keyword, `end` being </s> and `unk` <unk>."""
    names = {"end": "</s>", "unk": "<unk>", "UNK": "<UNK>"}
    return {**{names.get(word, word): math.log10(value) for word, value in p.items()}, "<s>": -99.0}


@pytest.fixture
def load(tmp_path):
    def load_text(text: str | bytes, **options) -> fastlm.LanguageModel:
        path = tmp_path / "m.arpa"
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return arpa.load(path, **options)
    return load_text


# Unknown words -------------------------------------------------------------------------------------------------------

def test_without_unk_an_unknown_word_costs_what_kenlm_says(load) -> None:
    lm = load(text_of(logs(end=.3, a=.4, b=.3)))
    score = lm.score("a zzz b")
    assert (score.unknown, score.tokens) == (1, 4)
    assert score.nats == pytest.approx(-math.log(.4 * .3 * .3) + 100 * math.log(10), abs=1e-4)
    assert [token for token, _ in lm.next_tokens("zzz", 4)] == ["a", "\n", "b", "<unk>"]
    assert "there is no <unk>, so an unknown word has log10 p = -100" in lm.history.ended
    assert lm.vocabulary.tokens == ["\n", "a", "b", "<unk>"]


@pytest.mark.parametrize("name", ["<unk>", "<UNK>"])
def test_both_spellings_of_unk(name: str, load) -> None:
    unigrams = {"</s>": math.log10(.2), "a": (math.log10(.4), math.log10(.5 / .9)), "b": math.log10(.3),
                name: (math.log10(.1), math.log10(.4 / .8)), "<s>": -99.0}
    lm = load(text_of(unigrams, {f"a {name}": math.log10(.5), f"{name} </s>": math.log10(.6)}))
    assert lm.score("a zzz").nats == pytest.approx(-math.log(.4 * .5 * .6), abs=1e-6)
    assert lm.vocabulary.token(lm.vocabulary.unknown) == "<unk>" and len(lm.vocabulary) == 4


def test_where_both_spellings_are_there_capitals_are_a_word(load) -> None:
    lm = load(text_of(logs(end=.2, a=.4, UNK=.3, unk=.1)))
    assert lm.score("<UNK>").nats == pytest.approx(-math.log(.3 * .2), abs=1e-6)
    assert lm.score("zzz").nats == pytest.approx(-math.log(.1 * .2), abs=1e-6)


# Files ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_compressed_files_are_read_and_written(ending: str, tmp_path) -> None:
    if ending == "zst":
        pytest.importorskip("zstandard", reason="zstandard is an optional package")
    lm = fastlm.train(["the cat sat\nthe dog sat\n" * 3], "word", model="kneser-ney", order=2, min_count=1)
    arpa.save(lm, tmp_path / "m.arpa")
    arpa.save(lm, tmp_path / f"m.arpa.{ending}")
    plain = (tmp_path / "m.arpa").read_bytes()
    opens = {"gz": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
    packed = (tmp_path / f"m.arpa.{ending}").read_bytes()
    assert packed != plain and (ending == "zst" or opens[ending](packed) == plain)
    again = arpa.load(tmp_path / f"m.arpa.{ending}")
    assert again.score("the cat").nats == pytest.approx(lm.score("the cat").nats, abs=1e-6)
    (tmp_path / "other.lm").write_bytes(packed)                # by how it begins, whatever its name is
    assert arpa.load(tmp_path / "other.lm").vocabulary == again.vocabulary


def test_bytes_and_file_objects_hold_what_a_file_holds(tmp_path) -> None:
    lm = fastlm.train(["the cat sat\nthe dog sat\n" * 3], "word", model="kneser-ney", order=2, min_count=1)
    arpa.save(lm, tmp_path / "m.arpa")
    plain, out = (tmp_path / "m.arpa").read_bytes(), io.BytesIO(b"before")
    out.seek(6)
    arpa.save(lm, out)
    assert out.getvalue() == b"before" + plain
    nats = arpa.load(tmp_path / "m.arpa").score("the cat").nats
    out.seek(6)
    with open(tmp_path / "m.arpa", "rb") as file, open(tmp_path / "m.arpa", "rb", buffering=0) as raw:
        for source in (plain, bytearray(plain), gzip.compress(plain), io.BytesIO(gzip.compress(plain)), file, raw, out):
            assert arpa.is_arpa(source)
            assert (fastlm if source is file else arpa).load(source).score("the cat").nats == nats
    assert fastlm.load(plain).score("the cat").nats == nats
    read, write = os.pipe()
    with open(read, "rb") as pipe:
        with open(write, "wb") as end:
            end.write(plain)
        assert not arpa.is_arpa(pipe) and arpa.load(pipe).score("the cat").nats == nats


@pytest.mark.parametrize("source", [None, 3, io.StringIO("\\data\\\n")])
def test_other_sources_are_refused(source) -> None:
    assert not arpa.is_arpa(source)
    with pytest.raises(TypeError) as caught:
        arpa.load(source)
    assert str(caught.value) == (f"a {type(source).__name__} was given; the name of an ARPA file, bytes or a file "
                                 "object that is open for reading bytes was expected")


def test_unsound_bytes_are_named() -> None:
    for source, name in ((b"text", "the bytes object"), (io.BytesIO(b"text"), "the file object 'BytesIO'")):
        with pytest.raises(ValueError) as caught:
            arpa.load(source)
        assert str(caught.value) == (f"{name} is no sound ARPA file: it has no \\data\\ section with the numbers of "
                                     "its n-grams")


def test_a_damaged_compressed_file_is_a_sentence(tmp_path) -> None:
    packed = gzip.compress(text_of(logs(end=.5, a=.5)).encode() * 1)
    (tmp_path / "m.arpa.gz").write_bytes(packed[:-9])
    with pytest.raises(ValueError, match=r"m\.arpa\.gz cannot be uncompressed: "):
        arpa.load(tmp_path / "m.arpa.gz")


def bigram_text(header="ngram 1=5\nngram 2=1\n", sep="\t", blank="\n", heading="\\2-grams:", before="", begin="-99",
                tail="", mark="\\data\\\n") -> str:
    backoff = math.log10(.5 / .7)
    words = "".join(f"{math.log10(p):.7f}{sep}{word}{f'{sep}{backoff:.7f}' if word == 'a' else ''}\n"
                    for word, p in (("</s>", .2), ("a", .4), ("b", .3), ("<unk>", .1)))
    return (f"{before}{mark}{header}{blank}\\1-grams:\n{words}{begin}{sep}<s>{sep}0\n{blank}{heading}\n"
            f"{math.log10(.5):.7f}{sep}a b\n{tail}{blank}\\end\\\n")


CMU = """#############################################################################
## Copyright (c) 1996, Carnegie Mellon University, Cambridge University,
#############################################################################
This is a 3-gram language model, based on a vocabulary of 5 words,
  which begins "</s>", "<s>", "a"...
This file is in the ARPA-standard format introduced by Doug Paul.

p(wd2|wd1)= if(bigram exists) p_2(wd1,wd2)
            else              bo_wt_1(wd1)*p_1(wd2)

Beginning of data mark: \\data\\
ngram 1=nr            # number of 1-grams
ngram 2=nr            # number of 2-grams

\\1-grams:
p_1     wd_1 bo_wt_1
\\2-grams:
p_2     wd_1 wd_2 bo_wt_2

end of data mark: \\end\\

"""


@pytest.mark.parametrize("text", [
    bigram_text(),
    bigram_text("ngram 1=\t5\nngram 2=\t1\n"),
    bigram_text("ngram  1=         5\nngram  2=         1\n"),
    bigram_text("ngram 1 = 5\nngram 2 = 1\n"),
    bigram_text("\nngram 1=5\n\nngram 2=1\n\n"),
    bigram_text("# counts\nngram 1=5\nngram 2=1\n"),
    bigram_text(sep=" "),
    bigram_text(sep="  "),
    bigram_text(sep=" \t"),
    bigram_text(blank=""),
    bigram_text(blank="\n\n\n"),
    bigram_text(blank="  \n\t\n"),
    bigram_text(heading="\\2-grams: "),
    bigram_text(heading="\\2-grams"),
    bigram_text("ngram 1=5\nngram 2=1\nngram 3=0\n"),
    bigram_text("ngram 1=5\nngram 2=1\nngram 3=0\n", tail="\n\\3-grams:\n"),
    bigram_text("ngram 1=5\nngram 2=1\nngram 3=0\nngram 4=0\n", tail="\n\\3-grams:\n\n\\4-grams:\n"),
    bigram_text(before="iARPA\nLM made by x\n\n"),
    bigram_text(before=CMU),
    bigram_text(before="\\data\\ comes below\n"),
    bigram_text(before=" \n" * 3),
    bigram_text(before="x" * 3_000_000 + "\n"),
    bigram_text().replace("\n", "\r\n"),
    bigram_text(begin="0"),
    bigram_text(begin="-98.9366"),
    bigram_text(mark="\\data\\ \n"),
    bigram_text(mark="  \\data\\\t\n"),
    bigram_text().replace("\\end\\\n", ""),
    bigram_text().replace("\n\\end\\\n", "").rstrip("\n"),
    "\ufeff" + bigram_text(),
    "\ufeff" + bigram_text(before="a\n"),
    bigram_text() + "trailing words\n",
    bigram_text() + "\\1-grams:\n",
    bigram_text().replace("\ta b\n", "\ta b\t0\n"),
    bigram_text().replace("\ta b\n", "\t a  b \n"),
    bigram_text().replace("-0.3010300\ta b", "-3.010300e-1\ta b"),
    bigram_text().replace("-0.3010300\ta b", "-.301030\ta b"),
    bigram_text().replace("-0.3010300\ta b", "-0.30102999566398119521373889472449\ta b"),
])
def test_layouts(text: str, load) -> None:
    lm = load(text)
    assert lm.score("a b").nats == pytest.approx(-math.log(.4 * .5 * .2), abs=1e-6)
    assert lm.model.order == 2


def test_words_in_any_order(load) -> None:
    lines = bigram_text().splitlines(keepends=True)
    for shift in range(1, 5):
        moved = [*lines[:5], *lines[5 + shift:10], *lines[5:5 + shift], *lines[10:]]
        assert load("".join(moved)).score("a b").nats == pytest.approx(-math.log(.4 * .5 * .2), abs=1e-6)


def test_a_line_without_an_end_is_an_error(load) -> None:
    with pytest.raises(ValueError, match="line 1 is longer than 16,777,216 bytes"):
        load(b"\0" * (18 << 20))


def test_n_grams_that_do_not_fit_into_memory_are_refused() -> None:
    """Of six n-grams, which take 36 bytes each; before anything is read of them."""
    text = bigram_text().encode()
    assert len(Reader(Text(io.BytesIO(text)), None, "utf-8", "lines", memory=36 * 6).read().vocabulary) == 4
    with pytest.raises(ValueError) as caught:
        Reader(Text(io.BytesIO(text)), None, "utf-8", "lines", memory=100)
    assert str(caught.value) == ("it says that it has 6 n-grams, which take 36 bytes of memory each while they are "
                                 "read; 2 fit into half of this machine's memory")


# Words ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [0x0B, 0x0C, 0xA0, 0x85, 0x1C, 0x1D, 0x1E, 0x1F, 0x1680, 0x2003, 0x2028, 0x2029,
                                  0x202F, 0x205F, 0x3000, 0x200B, 0xFEFF, 0x01, 0x7F])
def test_words_are_parted_by_blanks_and_tabs_alone(code: int, load, tmp_path) -> None:
    word = f"wn{chr(code)}azo"
    lm = load(text_of({**logs(end=.2, a=.4, unk=.1), word: math.log10(.3)}))
    score = lm.score(f"a {word}")
    assert score.nats == pytest.approx(-math.log(.4 * .3 * .2), abs=1e-6) and score.unknown == 0
    arpa.save(lm, tmp_path / "again.arpa")
    assert f"\t{word}".encode() in (tmp_path / "again.arpa").read_bytes()
    assert arpa.load(tmp_path / "again.arpa").vocabulary.tokens == lm.vocabulary.tokens


@pytest.mark.parametrize("word", [r"\section", r"\the", r"C:\dad", r'"hi\n");', r"\20;x", r"\cafe\bed;", r"\\", r"\x",
                                  r"\110000;", r"\d800;", "\\", r"\ffffffffff;", r"a\20;", r"\2-grams:", r"\end\ "[:5]])
def test_backslashes_of_other_tools_stay(word: str, load, tmp_path) -> None:
    lm = load(text_of({**logs(end=.2, a=.4, unk=.1), word: math.log10(.3)}, {f"a {word}": math.log10(.9)}))
    assert word in lm.vocabulary.tokens
    assert lm.score(f"a {word}").nats == pytest.approx(-math.log(.4 * .9 * .2), abs=1e-6)
    arpa.save(lm, tmp_path / "again.arpa")
    assert "escapes" not in (tmp_path / "again.arpa").read_text().partition("\\data\\")[0]
    assert arpa.load(tmp_path / "again.arpa").vocabulary.tokens == lm.vocabulary.tokens


@pytest.mark.parametrize("tokens, unit", [
    (["<s>", "\\20;", "a\\b", "\n", "<unk>", "x"], "word"), (["</s>", "\\", "\n", "<unk>"], "word"),
    ([" ", "\\", "\n", "\t", "\r", "a", "<unk>"], "char"), (["\\", "\n", "a", "<unk>"], "char")])
def test_our_own_escapes_are_read_again(tokens: list[str], unit: str, tmp_path) -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(tokens, unit), KneserNey(len(tokens), 2))
    arpa.save(lm, tmp_path / "m.arpa")
    again = arpa.load(tmp_path / "m.arpa")
    assert again.vocabulary.tokens == tokens and again.vocabulary.unit == unit


@pytest.mark.parametrize("word", ["\\x", "\\20", "\\ffffff;", "\\1234567;", "a\\;"])
def test_escapes_that_are_none_are_refused_where_a_file_has_escapes(word: str, load) -> None:
    with pytest.raises(ValueError, match="has a backslash that begins no escape such as"):
        load(text_of({**logs(end=.2, a=.4, unk=.1), word: -1.0}, header="# fastlm: escapes\n"))


def test_words_in_another_encoding(load) -> None:
    text = text_of({**logs(end=.2, a=.4, unk=.1), "café": math.log10(.3)}).encode("latin-1")
    with pytest.raises(ValueError, match=r"the word b'caf\\xe9' is not utf-8; encoding= says what"):
        load(text)
    assert load(text, encoding="latin-1").score("café").unknown == 0


# Models that are pruned, or that do not sum to one -------------------------------------------------------------------

def test_suffixes_that_are_pruned(load) -> None:
    """a b c without b c: p(c | a b) is there, and p(c | b) backs off."""
    one = {"</s>": math.log10(.2), "a": (math.log10(.3), math.log10(.5 / .7)), "b": (math.log10(.3), 0.0),
           "c": math.log10(.1), "<unk>": math.log10(.1), "<s>": -99.0}
    lm = load(text_of(one, {"a b": (math.log10(.5), math.log10(.4 / .9))}, {"a b c": math.log10(.6)}))
    assert lm.score("a b c").nats == pytest.approx(-math.log(.3 * .5 * .6 * .2), abs=1e-6)
    assert lm.score("b c").nats == pytest.approx(-math.log(.3 * .1 * .2), abs=1e-6)
    assert "1 n-grams that others need were added as backing off gives them" in lm.history.ended


def test_contexts_that_are_pruned(load) -> None:
    """a b c without a b: p(b | a) backs off, and p(c | a b) is there, as SRILM reads it."""
    one = {"</s>": math.log10(.2), "a": (math.log10(.3), math.log10(.5)), "b": (math.log10(.3), 0.0),
           "c": math.log10(.1), "<unk>": math.log10(.1), "<s>": -99.0}
    lm = load(text_of(one, {"b c": math.log10(.3)}, {"a b c": math.log10(.6)}))
    assert lm.score("a b c").nats == pytest.approx(-math.log(.3 * .5 * .3 * .6 * .2), abs=1e-6)


def test_a_backoff_of_a_context_that_nothing_follows_counts(load) -> None:
    one = {"</s>": math.log10(.2), "a": (math.log10(.4), math.log10(.25)), "b": math.log10(.3),
           "<unk>": math.log10(.1), "<s>": (-99.0, math.log10(.5))}
    lm = load(text_of(one, {"b a": (math.log10(.5), math.log10(.125))}, {"b b a": -1.0}))
    assert lm.score("a b").nats == pytest.approx(-math.log(.5 * .4 * .25 * .3 * .2), abs=1e-6)
    assert lm.score("b a b").nats == pytest.approx(-math.log(.5 * .3 * .5 * .125 * .25 * .3 * .2), abs=1e-6)


def test_a_backoff_after_the_end_of_a_line_does_not_count(load) -> None:
    """CMU's tools write them, and nothing is read after the end of a line."""
    one = {"</s>": (math.log10(.2), -0.3), "a": (math.log10(.4), math.log10(.5 / .8)), "b": math.log10(.4),
           "<s>": (-99.0, -0.5)}
    two = {"a </s>": (math.log10(.5), -0.3), "<s> a": (math.log10(.9), 0.0), "</s> <s>": (-0.001, 0.0)}
    lm = load(text_of(one, two, {"</s> <s> a": -0.1}))
    assert lm.score("a\na\n").nats == pytest.approx(-2 * math.log(.9 * .5), abs=1e-6)
    assert "2 n-grams with <s> or </s> inside were left out" in lm.history.ended


def test_figures_that_are_off_are_used_as_they_are(load, tmp_path) -> None:
    lm = load(text_of(logs(end=.2, a=.6, unk=.1)))
    assert lm.score("a").nats == pytest.approx(-math.log(.6 * .2), abs=1e-6)
    assert dict(lm.next_tokens("", 3)) == pytest.approx({"a": .6, "\n": .2, "<unk>": .1}, abs=1e-6)
    assert "do not sum to one, and they are used as they are" in lm.history.ended and not lm.model.normalized
    lm.save(tmp_path / "m.fastlm")
    assert fastlm.load(tmp_path / "m.fastlm").score("a").nats == lm.score("a").nats
    arpa.save(lm, tmp_path / "again.arpa")
    assert arpa.load(tmp_path / "again.arpa").score("a").nats == lm.score("a").nats


def test_a_log_probability_above_zero_is_zero(load) -> None:
    lm = load(text_of({"</s>": 0.0001, "a": 0.3, "<s>": -99.0, "<unk>": -99.0}))
    assert lm.score("a").nats == 0
    assert "2 log-probabilities above 0 were read as 0" in lm.history.ended


def test_without_s_lines_begin_without_a_context(load) -> None:
    one = {"</s>": (math.log10(.2), -1.0), "a": (math.log10(.4), math.log10(.5 / .7)), "b": math.log10(.3),
           "<unk>": math.log10(.1)}
    lm = load(text_of(one, {"a b": math.log10(.5)}))
    assert lm.score("a b\na b").nats == pytest.approx(-2 * math.log(.4 * .5 * .2), abs=1e-6)


@pytest.mark.parametrize("p, decimals", [(1e-30, 7), (1e-300, 3)])
def test_a_word_that_never_comes(p: float, decimals: int, load) -> None:
    lm = load(text_of({**logs(end=.3, a=.6, unk=.1), "b": -99.0}))
    assert lm.score("b").nats == pytest.approx(99 * math.log(10) - math.log(.3), abs=1e-3)


def test_rounded_figures_load(load) -> None:
    weights = {f"w{i}": 1 / (i + 1) for i in range(5000)} | {"</s>": .05, "<unk>": .05}
    total = sum(weights.values())
    for decimals in (4, 2):
        text = text_of({**{word: round(math.log10(w / total), decimals) for word, w in weights.items()}, "<s>": -99.0})
        assert load(text).score("w3").nats == pytest.approx(-math.log(weights["w3"] * .05 / total**2), abs=.05)


# KenLM ---------------------------------------------------------------------------------------------------------------

def random_model(rng: np.random.Generator, order: int, words: int, keep: float, drop: float, inside: bool) -> str:
    """ARPA text of random figures. keep: the share of n-grams that are there; drop: of those without a suffix."""
    names = [f"w{i}" for i in range(words)]
    unigrams = [*names, "</s>", "<unk>"]
    rng.shuffle(unigrams)
    levels: list[dict[tuple[str, ...], tuple[float, float]]] = [
        {(name,): (-rng.uniform(.1, 3), rng.choice([0, -rng.uniform(0, 2)])) for name in [*unigrams, "<s>"]}]
    for k in range(2, order + 1):
        grams = {}
        for context in levels[-1]:
            if context[-1] == "</s>" and not inside:
                continue
            for word in unigrams:
                sound = (*context[1:], word) in levels[-1]     # KenLM has room for few suffixes that are not there
                if rng.random() < (keep if sound else drop):
                    grams[(*context, word)] = (-rng.uniform(.1, 3), 0.0 if k == order else
                                               float(rng.choice([0, -rng.uniform(0, 2), rng.uniform(0, .3)])))
        levels.append(grams)
    shuffled = []
    for level in levels:
        grams = list(level)
        rng.shuffle(grams)
        shuffled.append({" ".join(gram): level[tuple(gram)] for gram in grams})
    shuffled[-1] = {words: figures[0] for words, figures in shuffled[-1].items()}
    return text_of(*shuffled)


@pytest.mark.parametrize("drop", [0.0, 0.02])
@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_random_models_are_scored_as_kenlm_scores_them(seed: int, order: int, drop: float, load, tmp_path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="KenLM's Python module is not installed")
    rng = np.random.default_rng([seed, order, int(100 * drop)])
    lm = load(random_model(rng, order, 5, .4, drop, inside=False))
    rival = kenlm.Model(str(tmp_path / "m.arpa"))
    for _ in range(60):
        line = " ".join(rng.choice([*(f"w{i}" for i in range(5)), "zzz"], rng.integers(1, 9)))
        theirs = [p for p, _, _ in rival.full_scores(line)]
        np.testing.assert_allclose(-lm.score(line).per_token / np.log(10), theirs, rtol=0, atol=CLOSE)
    again = tmp_path / "again.arpa"
    arpa.save(lm, again)
    assert arpa.load(again).score("w0 w1 w2 w3").nats == pytest.approx(lm.score("w0 w1 w2 w3").nats, abs=1e-5)


def test_nothing_but_sentences_for_files_that_are_damaged(load) -> None:
    """Bytes changed, left out or put twice: a model, or a ValueError that names the file."""
    sound = random_model(np.random.default_rng(3), 3, 4, .5, .05, inside=False).encode()
    rng = np.random.default_rng(4)
    loaded = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(400):
            text = bytearray(sound)
            for _ in range(rng.integers(1, 4)):
                at = int(rng.integers(len(text)))
                kind = rng.integers(3)
                if kind == 0:
                    text[at] = int(rng.choice([*b"0123456789-.\\\n\t <>eE/s\0\xff", int(rng.integers(256))]))
                elif kind == 1:
                    del text[at: at + int(rng.integers(1, 30))]
                else:
                    text[at:at] = text[at: at + int(rng.integers(1, 60))]
            try:
                lm = load(bytes(text))
                loaded += 1
                assert np.isfinite(lm.score("w0 w1 zzz").nats)
            except ValueError as error:
                assert "m.arpa is no sound ARPA file: " in str(error) and "\n" not in str(error)
    assert 5 < loaded < 395
