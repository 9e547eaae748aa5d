"""Tokens and ids: the worked example, the three units, what is folded, what comes back, and what is refused."""

import pickle
import re
from typing import Any

import numpy as np
import pytest

from fastlm._core import WordTable
from fastlm.text.sources.containers import texts as documents
from fastlm.text.vocabulary import Vocabulary

EXAMPLE = {25: "I", 7: "am", 100: "a", 2: "machine", 10: "learning", 1000: "researcher"}


def refused(kind: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_the_worked_example() -> None:
    vocabulary = Vocabulary(EXAMPLE)
    assert len(vocabulary) == 1001
    ids = vocabulary.encode("I am a machine learning researcher")
    assert ids.tolist() == [25, 7, 100, 2, 10, 1000]
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == "I am a machine learning researcher"
    assert vocabulary.id("am") == 7
    assert vocabulary.token(7) == "am"
    assert vocabulary.token(1000) == "researcher"
    assert "am" in vocabulary
    assert "is" not in vocabulary
    assert (vocabulary.unknown, vocabulary.end_of_line) == (None, None)
    assert vocabulary.counts.tolist() == [0] * 1001
    assert vocabulary.encode("\nI\n\r\n am\v").tolist() == [25, 7]  # no "\n" in it: whitespace


def test_a_list_with_gaps() -> None:
    vocabulary = Vocabulary([None, "b", None, "a", None])
    assert vocabulary.encode("a b").tolist() == [3, 1]
    assert len(vocabulary) == 5
    assert vocabulary.tokens == [None, "b", None, "a", None]


def test_decode_puts_no_space_around_newlines() -> None:
    vocabulary = Vocabulary(["a", "\n", "b"])
    assert vocabulary.decode([1, 1, 0, 2, 1, 1, 2, 1]) == "\n\na b\n\nb\n"
    assert vocabulary.decode([]) == ""
    assert vocabulary.encode("").tolist() == []


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_pickle_and_arrays_bring_it_back(unit: str) -> None:
    vocabulary = Vocabulary.build(["a 𝒜 é\nb"], unit)
    again = Vocabulary.from_arrays(*vocabulary.to_arrays(), vocabulary.normalize)
    for twin in (pickle.loads(pickle.dumps(vocabulary)), again):
        assert twin == vocabulary
        assert twin.encode("é\na").tolist() == vocabulary.encode("é\na").tolist()
        assert (twin.unknown, twin.end_of_line) == (vocabulary.unknown, vocabulary.end_of_line)


def test_arrays_by_hand() -> None:
    blob, offsets, counts, unit = Vocabulary({1: "é", 3: "b"}, counts=[0, 5, 0, 2]).to_arrays()
    assert blob.tobytes() == b"\xc3\xa9b"
    assert offsets.tolist() == [0, 0, 2, 2, 3]
    assert counts.tolist() == [0, 5, 0, 2]
    assert unit == "word"
    assert [blob.dtype, offsets.dtype, counts.dtype] == [np.uint8, np.int64, np.int64]
    assert Vocabulary.from_arrays(blob, offsets, counts, unit).tokens == [None, "é", None, "b"]


def test_equality() -> None:
    vocabulary = Vocabulary(["a", "b"], counts=[2, 1])
    assert vocabulary == Vocabulary({0: "a", 1: "b"}, counts=np.array([2, 1]))
    assert vocabulary != Vocabulary(["a", "b"])
    assert vocabulary != Vocabulary(["b", "a"], counts=[2, 1])
    assert vocabulary != Vocabulary(["a", "b"], unit="char", counts=[2, 1])
    assert vocabulary != "a b"
    assert repr(vocabulary) == "Vocabulary(2 tokens, unit='word')"
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.counts[0] = 7


@pytest.mark.parametrize(
    ("tokens", "unit", "message"),
    [
        ([], "word", "a vocabulary has at least one token"),
        ([None], "word", "a vocabulary has at least one token"),
        ({}, "word", "a vocabulary has at least one token"),
        (["a", "b", "a"], "word", "the token 'a' has two ids, 0 and 2"),
        ({-1: "a"}, "word", "-1 is not an id: an integer from 0 to 2147483647"),
        ({2**31: "a"}, "word", "2147483648 is not an id: an integer from 0 to 2147483647"),
        ({"a": "b"}, "word", "'a' is not an id: an integer from 0 to 2147483647"),
        ({True: "b"}, "word", "True is not an id: an integer from 0 to 2147483647"),
        (["a"], "line", "unit = 'line'; expected one of 'word', 'char', 'byte', 'piece', 'tokenizer'"),
        (["a"], "byte", "a byte vocabulary has the 256 bytes in order as its tokens, not these 1"),
    ],
)
def test_dictionaries_that_are_none(tokens: object, unit: str, message: str) -> None:
    refused(ValueError, message, lambda: Vocabulary(tokens, unit))


@pytest.mark.parametrize("token", ["", "a b", "a\u0020", "\n\n", "a\0", "\ud800", "\v"])
def test_tokens_that_are_no_words(token: str) -> None:
    message = f"the token {token!r} of id 1 is no word: it is empty, or has whitespace, a NUL or half a surrogate pair"
    refused(ValueError, message + " in it", lambda: Vocabulary(["b", token]))


@pytest.mark.parametrize("token", ["", "ab", "\0", "\udcff"])
def test_tokens_that_are_no_characters(token: str) -> None:
    expected = "one code point, not NUL, not half a surrogate pair; or <unk>"
    message = f"the token {token!r} of id 1 is no character: {expected}"
    refused(ValueError, message, lambda: Vocabulary([" ", token], "char"))


def test_tokens_of_another_type() -> None:
    refused(TypeError, "the token of id 1 is a int; expected a str", lambda: Vocabulary(["a", 3]))
    refused(TypeError, "tokens_by_id is a str; expected a list or a mapping", lambda: Vocabulary("abc"))


@pytest.mark.parametrize("counts", [[1], [1, -1], [[1, 2]]])
def test_counts_that_do_not_fit(counts: list[int]) -> None:
    shape = np.shape(counts)
    refused(ValueError, f"counts {shape} are not 2 numbers from 0 on", lambda: Vocabulary(["a", "b"], counts=counts))


def test_what_a_vocabulary_does_not_have() -> None:
    vocabulary = Vocabulary({1: "a", 3: "\n"})
    gap = "is a gap in the vocabulary: no token has it"
    refused(ValueError, "'b' is not among the 2 tokens of the vocabulary", lambda: vocabulary.id("b"))
    refused(IndexError, "id 4 is outside the vocabulary of 4", lambda: vocabulary.token(4))
    refused(IndexError, "id -1 is outside the vocabulary of 4", lambda: vocabulary.token(-1))
    refused(ValueError, f"id 2 {gap}", lambda: vocabulary.token(2))
    refused(ValueError, f"ids[1] = 0 {gap}", lambda: vocabulary.decode([1, 0]))
    refused(IndexError, "ids[2] = 4 is outside the vocabulary of 4", lambda: vocabulary.decode([1, 3, 4]))
    message = "the text: token 3, 'é', is not in the vocabulary, nor is <unk>"
    refused(ValueError, message, lambda: vocabulary.encode("\n\na é b"))
    message = "the text: token 1, 'é', is not in the vocabulary, nor is <unk>"
    refused(ValueError, message, lambda: Vocabulary(["a"]).encode("a\né b"))
    refused(ValueError, message, lambda: Vocabulary(["a"], "char").encode("aé"))


def test_text_that_cannot_be_read() -> None:
    word, byte = Vocabulary(["a"]), Vocabulary.build(["a"], "byte")
    refused(ValueError, 'the text: NUL at position 2; only unit="byte" and "piece" read those',
            lambda: word.encode("éa\0"))
    message = "the text: U+D800 at position 1 is half a surrogate pair"
    refused(ValueError, message, lambda: word.encode("a\ud800"))
    refused(ValueError, message, lambda: byte.encode("a\ud800"))
    refused(TypeError, 'the text is a bytes; expected str for unit="word"', lambda: word.encode(b"a"))
    refused(TypeError, 'the text is a int; expected str or bytes for unit="byte"', lambda: byte.encode(7))


def arrays(blob: bytes = b"ab", offsets: object = (0, 1, 2), counts: object = (1, 1)) -> tuple[np.ndarray, ...]:
    return np.frombuffer(blob, np.uint8), np.array(offsets, np.int64), np.array(counts, np.int64)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (arrays(offsets=(0, 1, 3)), "offsets do not rise from 0 to the 2 bytes of the blob"),
        (arrays(offsets=(1, 1, 2)), "offsets do not rise from 0 to the 2 bytes of the blob"),
        (arrays(offsets=(0, 3, 2)), "offsets do not rise from 0 to the 2 bytes of the blob"),
        (arrays(offsets=(0, 2**63 - 1, -2**63, 2)), "offsets do not rise from 0 to the 2 bytes of the blob"),
        (arrays(offsets=()), "offsets do not rise from 0 to the 2 bytes of the blob"),
        (arrays(counts=(1,)), "counts (1,) are not 2 numbers from 0 on"),
        (arrays(b"aa"), "the token 'a' has two ids, 0 and 1"),
        (arrays(b"a\xff"), "the token b'\\xff' is not UTF-8"),
        ((*arrays()[:2], np.ones(2)), "counts is float64 (2,); expected one dimension of int64"),
        ((arrays()[0], np.zeros(2), np.ones(2)), "offsets is float64 (2,); expected one dimension of int64"),
    ],
)
def test_arrays_that_are_no_vocabulary(parts: tuple[np.ndarray, ...], message: str) -> None:
    refused(ValueError, message, lambda: Vocabulary.from_arrays(*parts, "word"))


def test_word_table_checks_what_c_trusts() -> None:
    text, ids = np.frombuffer(b"ab", np.uint8), np.empty(4, np.int32)
    refused(ValueError, "offsets do not rise from 0 to the 2 bytes of the blob", lambda: WordTable(text, [0, 3]))
    refused(ValueError, "the token '\\x00' has two ids, the second 1", lambda: WordTable(text * 0, [0, 1, 2]))
    table = WordTable(text, np.array([0, 1, 2]))
    refused(ValueError, "position = 3 is past the 2 bytes of the text", lambda: table.find(text, 3, ids, -1))
    assert table.find(b"", 0, ids[:0], -1) == (0, 0)
    assert table.find(b"  b ab a", 0, ids[:2], -1) == (7, 2)
    assert table.find(b"  b ab a", 7, ids[2:], -1) == (8, 1)
    assert ids[:3].tolist() == [1, -1, 0]
    assert len(table) == 2


def test_round_trips_of_any_text() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    strategies = pytest.importorskip("hypothesis.strategies")
    readable = strategies.characters(exclude_categories=["Cs"], exclude_characters="\0")
    texts = strategies.text(strategies.one_of(readable, strategies.sampled_from(" \t\n\r\v\f\u2028\xa0\x85")))

    @hypothesis.settings(max_examples=200, derandomize=True, deadline=None, database=None)
    @hypothesis.given(texts)
    def check(text: str) -> None:
        hypothesis.assume(not text.startswith("\ufeff"))   # a byte order mark, which is no part of the text
        source = documents([text, "a"])      # a list of texts may be a list of paths
        word, char, byte = (Vocabulary.build(source, unit, normalize=None) for unit in ("word", "char", "byte"))
        found = re.findall(r"[^ \t\n\v\f\r]+|\n", text)
        ids = word.encode(text)
        assert [word.tokens[id] for id in ids] == found
        assert word.encode(word.decode(ids)).tolist() == ids.tolist()
        assert char.decode(char.encode(text)) == text
        assert len(char.encode(text)) == len(text)
        assert byte.decode(byte.encode(text)) == text
        for vocabulary in (word, char):
            assert vocabulary.unknown not in vocabulary.encode(text) or "<unk>" in found

    check()

    @hypothesis.settings(max_examples=100, derandomize=True, deadline=None, database=None)
    @hypothesis.given(strategies.binary())
    def check_bytes(text: bytes) -> None:
        vocabulary = Vocabulary.build([b"a"], "byte")
        ids = vocabulary.encode(text)
        assert ids.tolist() == list(text)
        assert vocabulary.encode(vocabulary.decode(ids)).tolist() == list(text)

    check_bytes()


def test_which_characters_are_letters_of_words() -> None:
    """Scripts without spaces have none: a run of their characters is a sentence. Hangul, Arabic and Devanagari have."""
    cases = {"\u6f22": False, "\u3042": False, "\u0e01": False, "\u1780": False, "\u1000": False, "\U00020000": False,
             "\u3005": False, "\uf900": False, "\u30a2": True, "\u30fc": True, "\uac00": True, "\u0634": True,
             "\u0915": True, "\u0436": True, "\u00df": True, "'": True, "3": False, "\u3002": False, "\n": False}
    found = Vocabulary(list(cases), unit="char").letters()
    assert [number > 0 for number in found] == list(cases.values())
    numbers = [number for number in found if number]
    assert len(set(numbers)) == len(numbers)
    assert Vocabulary(["\u0416", "\u0436", "\u6f22"], unit="char").letters() == [1, 1, 0]
    assert Vocabulary(["a", "\u6f22"]).letters() is None
    tokens = [bytes([id]).decode("utf-8", "surrogateescape") for id in range(256)]
    assert all(Vocabulary(tokens, unit="byte").letters()[128:])
