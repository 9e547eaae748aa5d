"""Counting and choosing tokens: by hand, by the definition, and what is folded into the unknown token."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary

TEXTS = ["b a  b\ta\r\n\nc <unk>\v", "\u2028x y\u00a0z 𝒜𝒜 b\n", "", "\x85 naïve naïve\fA"]


def words_of(text: str) -> list[str]:
    """The definition: what stands between ASCII whitespace, a token for every newline, one at the end of a text."""
    found = re.findall(r"[^ \t\n\v\f\r]+|\n", text)
    return [*found, "\n"] if text and found[-1:] != ["\n"] else found


def refused(kind: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_build_by_hand() -> None:
    vocabulary = Vocabulary.build(["b a b\nc", "a b <unk>"])
    assert vocabulary.tokens == ["\n", "b", "a", "<unk>", "c"]
    assert vocabulary.counts.tolist() == [3, 3, 2, 1, 1]
    assert (vocabulary.unknown, vocabulary.end_of_line) == (3, 0)
    assert vocabulary.encode("c d\nb <unk>").tolist() == [4, 3, 0, 1, 3]


def test_build_folds_the_rare() -> None:
    vocabulary = Vocabulary.build(["a a a b b c <unk>"], min_count=2)
    assert vocabulary.tokens == ["a", "<unk>", "b", "\n"]
    assert vocabulary.counts.tolist() == [3, 2, 2, 1]
    vocabulary = Vocabulary.build(["a a a b b c c d"], max_size=4)
    assert vocabulary.tokens == ["<unk>", "a", "b", "\n"]
    assert vocabulary.counts.tolist() == [3, 3, 2, 1]
    assert Vocabulary.build(["a a a b"], max_size=2).tokens == ["<unk>", "\n"]
    assert Vocabulary.build(["a a a b"], min_count=4).counts.tolist() == [4, 1]


def test_build_of_characters() -> None:
    vocabulary = Vocabulary.build(["ab𝒜b"], unit="char")
    assert vocabulary.tokens == ["b", "a", "𝒜", "\n", "<unk>"]
    assert vocabulary.counts.tolist() == [2, 1, 1, 0, 0]
    assert (vocabulary.unknown, vocabulary.end_of_line) == (4, 3)
    assert vocabulary.encode("b𝒜\nc\U0010ffff").tolist() == [0, 2, 3, 4, 4]
    assert vocabulary.decode([2, 0, 3, 1]) == "𝒜b\na"
    folded = Vocabulary.build(["aab𝒜b\n"], unit="char", max_size=4)
    assert folded.tokens == ["a", "b", "\n", "<unk>"]
    assert folded.counts.tolist() == [2, 2, 1, 1]


def test_build_of_bytes() -> None:
    vocabulary = Vocabulary.build(["aé"], unit="byte")
    assert len(vocabulary) == 256
    assert np.flatnonzero(vocabulary.counts).tolist() == [0x61, 0xA9, 0xC3]
    assert (vocabulary.unknown, vocabulary.end_of_line) == (None, 10)
    assert vocabulary.encode("é\n").tolist() == [0xC3, 0xA9, 10]
    assert vocabulary.encode(b"\xff\0").tolist() == [255, 0]
    assert vocabulary.decode([0xC3, 0xA9]) == "é"
    assert vocabulary.decode([0xC3]) == "\udcc3"
    assert vocabulary.token(0x61) == "a"
    assert vocabulary.token(255) == "\udcff"
    assert vocabulary.id("\udcff") == 255


def test_words_end_at_ascii_whitespace_only() -> None:
    vocabulary = Vocabulary.build(TEXTS)
    expected = Counter(token for text in TEXTS for token in words_of(text))
    expected.setdefault("<unk>", 0)
    assert dict(zip(vocabulary.tokens, vocabulary.counts.tolist(), strict=True)) == dict(expected)
    for inside in ("\u2028x", "y\u00a0z", "𝒜𝒜", "\x85"):
        assert inside in vocabulary
    order = sorted(expected, key=lambda token: (-expected[token], token.encode()))
    assert vocabulary.tokens == order


def test_many_words_through_every_enlargement() -> None:
    words = [f"w{n:x}" * (n % 5 + 1) for n in range(20_000)] + ["x" * 100_000]
    text = " ".join(words + words[::3])
    vocabulary = Vocabulary.build([text])
    assert len(vocabulary) == len(words) + 2
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.counts[vocabulary.encode(words[-1])].tolist() == [1]
    assert vocabulary.counts[vocabulary.encode(words[0])].tolist() == [2]


def test_vocabulary_of_a_long_source_counts_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a b"] * 50 + ["é c"] * 7
    whole = {unit: Vocabulary.build(texts, unit) for unit in ("word", "char", "byte", "piece")}
    for unit, vocabulary in whole.items():
        monkeypatch.setattr("fastlm.text.stored.PART", 3)
        monkeypatch.setattr("fastlm.text.vocabulary.PIECE", 1)
        assert Vocabulary.build(texts, unit) == vocabulary
        monkeypatch.setattr("fastlm.text.vocabulary.PIECE", 5)
        assert Vocabulary.build(texts, unit) == vocabulary
        ends = 0 if unit == "word" else 57   # a word model's documents end with a line
        tokens = {"word": 57 * 3, "char": 57 * 3, "byte": 57 * 3 + 7, "piece": 50 * 2 + 7 * 2}[unit]
        assert vocabulary.counts.sum() == tokens + ends


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "min_count = 0; expected at least 1"),
        ({"max_size": 1}, "max_size = 1; expected at least 2, for <unk> and the end of line"),
        ({"unit": "byte", "max_size": 9}, "min_count = 1, max_size = 9; bytes always have 256 tokens"),
        ({"unit": "byte", "min_count": 2}, "min_count = 2, max_size = None; bytes always have 256 tokens"),
        ({"unit": "Word"}, "unit = 'Word'; expected one of 'word', 'char', 'byte', 'piece'"),
        ({"documents": "page"}, "documents = 'page'; expected one of 'file', 'line', 'blank-line'"),
    ],
)
def test_limits_that_are_impossible(options: dict[str, object], message: str) -> None:
    refused(ValueError, message, lambda: Vocabulary.build(["a"], **options))


def test_an_empty_source() -> None:
    for source in ([], [""], iter(())):
        message = "the corpus is empty: there is no token in it"
        refused(ValueError, message, lambda source=source: Vocabulary.build(source))


def test_words_seen_once_are_folded_where_they_are_few() -> None:
    """Twenty words of which two, `x` and `y`, occur once: a tenth. `<unk>` follows the word that is as frequent."""
    text = "a a a a a a a a a a a b b b b b c c x y"
    vocabulary, corpus = Corpus.build([text + "\n"], fold=True)
    assert vocabulary.tokens == ["a", "b", "c", "<unk>", "\n"] and vocabulary.counts.tolist() == [11, 5, 2, 2, 1]
    assert corpus.left_out == {"x": 1, "y": 1} and corpus.unknown_at.tolist() == [18, 19]
    assert "x" in Corpus.build([text + " z\n"], fold=True)[0]            # three of 22 are more than a tenth
    assert "x" in Corpus.build([text + " <unk>\n"], fold=True)[0]        # the text says itself what is unknown
    assert "x" in Corpus.build([text + "\n"])[0] and "x" in Corpus.build([text + "\n"], "char", fold=True)[0]
