"""Pieces of words: segments, what is learnt, cutting and joining again, the end of a document, what is refused."""

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlm import Corpus, Vocabulary, _core
from fastlm.text.letters import piece_letters
from fastlm.text.pieces import PieceSettings, cut_segments, encoder, learn
from fastlm.text.scan import IdBuffer

TEXT = "the cat sat on the mat; the cats sat on mats.\nDon't sit 1234 2-2!\n" * 9


def oracle(text: bytes, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Byte-pair encoding of one segment, as its definition says: the earliest merge first, at its first place."""
    parts = [bytes([value]) for value in text]
    while True:
        pairs = enumerate(itertools.pairwise(parts))
        found = [(merges.index(pair), n) for n, pair in pairs if pair in merges]
        if not found:
            return parts
        _, n = min(found)
        parts[n:n + 2] = [parts[n] + parts[n + 1]]


def segments_of(text: bytes) -> list[bytes]:
    table = _core.WordTable(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    ids = np.empty(len(text) + 1, np.int32)
    _, written = table.learn_segments(text, 0, ids)
    blob, ends = table.arrays()
    return [blob[ends[i]:ends[i + 1]].tobytes() for i in ids[:written].tolist()]


def test_learning_by_hand() -> None:
    """"ab" occurs 5 times and "aa", counted twice in each of 3 segments, 6 times."""
    blob, offsets, times = np.frombuffer(b"aaabab", np.uint8), np.array([0, 4, 6]), np.array([3, 2])
    learnt = learn(blob, offsets, times, 259, PieceSettings())
    names = learnt.names
    assert [(names[a], names[b], names[c]) for a, b, c in learnt.merges.tolist()] == [
        (b"a", b"a", b"aa"), (b"a", b"b", b"ab"), (b"aa", b"ab", b"aaab")]
    assert names[:2] == [b"aaab", b"ab"]
    assert learnt.counts[:3].tolist() == [3, 2, 0]
    assert names[2:] == sorted(names[2:])
    assert learn(blob, offsets, times, 257, PieceSettings()).names[:3] == [b"a", b"b", b"aa"]
    assert len(learn(blob, offsets, times, 9999, PieceSettings(least_pairs=4)).names) == 258


def test_only_frequent_segments_are_learnt_from_where_there_are_too_many() -> None:
    blob, offsets, times = np.frombuffer(b"xyzwab", np.uint8), np.array([0, 4, 6]), np.array([2, 3])
    learnt = learn(blob, offsets, times, 999, PieceSettings(learnt_bytes=3))
    assert learnt.names[0] == b"ab" and len(learnt.merges) == 1


def test_how_many_pieces() -> None:
    sizes = PieceSettings()
    assert [sizes.size(bytes) for bytes in (0, 10**5, 10**6, 8 * 10**6, 10**12)] == [512, 512, 2048, 16384, 16384]
    vocabulary, _ = Corpus.build([TEXT], "piece", pieces=PieceSettings(fewest=256, bytes_for_each=1))
    assert 256 < len(vocabulary) <= 512
    assert len(Vocabulary.build([TEXT], "piece", max_size=270)) == 270


def test_equal_bytes_are_one_piece() -> None:
    """"abc" comes of "a" + "bc" in one segment and of "ab" + "c" in another."""
    text = b"abc " * 3 + b"bc " * 50 + b"dab " * 40 + b"dabc " * 7 + b"ab " * 45
    vocabulary = Vocabulary.build([text], "piece", max_size=300)
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)


@pytest.mark.parametrize("text", [
    "", "a", "\0", "é 😀 naïve", "  \n\n \t x''s don't 12345", "你好。世界", b"\xff\xfe\0abc", "a" * 200, "\r\n", TEXT])
def test_every_text_comes_back(text: Any) -> None:
    vocabulary = Vocabulary.build([TEXT], "piece")
    ids = vocabulary.encode(text)
    as_string = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    assert vocabulary.decode(ids) == as_string
    assert vocabulary.encode(as_string).tolist() == ids.tolist()
    assert vocabulary.unknown is None


VOCABULARY = Vocabulary.build([TEXT], "piece", max_size=330)


@given(st.binary(max_size=90))
def test_any_bytes_come_back_cut_as_the_oracle_cuts_them(text: bytes) -> None:
    names = [token.encode("utf-8", "surrogateescape") for token in VOCABULARY.tokens]
    merges = [(names[left], names[right]) for left, right, _ in VOCABULARY.merges.tolist()]
    ids = VOCABULARY.encode(text)
    assert b"".join(names[i] for i in ids) == text
    assert [names[i] for i in ids] == [part for segment in segments_of(text) for part in oracle(segment, merges)]


def test_a_text_longer_than_the_buffer_and_the_cache() -> None:
    rng = np.random.default_rng(3)
    words = [bytes(rng.integers(97, 123, size).astype(np.uint8)) for size in rng.integers(1, 30, 4000)]
    text = b" ".join(words[i] for i in rng.integers(0, 4000, 30000))
    vocabulary, corpus = Corpus.build([text], "piece", max_size=600)
    assert vocabulary.decode(corpus.ids).encode() == text
    small = IdBuffer(1)
    vocabulary.scan(text, small)
    assert np.array_equal(small.ids, corpus.ids)


@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
def test_several_documents_end_in_a_token_of_their_own(documents: str) -> None:
    source = ["ab ab\n\nx", "", "x ab"]
    vocabulary, corpus = Corpus.build(source, "piece", documents=documents)
    end = vocabulary.end_of_document
    assert end is not None and vocabulary.tokens[end] == "<end>" and vocabulary.boundary == end
    again = Corpus.read(source, vocabulary, documents=documents)
    assert np.array_equal(again.ids, corpus.ids) and np.array_equal(again.offsets, corpus.offsets)
    ids = [document.tolist() for document in corpus.documents()]
    assert all(part.index(end) == len(part) - 1 for part in ids if part)
    assert vocabulary.counts[end] == sum(map(bool, ids))
    assert np.array_equal(np.bincount(corpus.ids, minlength=len(vocabulary)), vocabulary.counts)
    assert "<end>" not in vocabulary and vocabulary.decode(vocabulary.encode("<end>")) == "<end>"
    if documents == "file":
        assert [vocabulary.decode(part) for part in ids] == source


def test_one_document_has_no_end() -> None:
    vocabulary, corpus = Corpus.build([TEXT], "piece")
    assert vocabulary.end_of_document is None and vocabulary.boundary == vocabulary.id("\n")
    assert vocabulary.decode(corpus.ids) == TEXT


def test_it_is_kept() -> None:
    vocabulary = Vocabulary.build(["ab ab", "x"], "piece")
    for twin in (pickle.loads(pickle.dumps(vocabulary)), Vocabulary.restore(vocabulary.tensors(), "piece", "NFC")):
        assert twin == vocabulary and twin.encode("ab x").tolist() == vocabulary.encode("ab x").tolist()
    assert Vocabulary.build(["ab ab"], "piece") != Vocabulary.build(["ab ab", "x"], "piece")


def test_letters_of_pieces() -> None:
    assert piece_letters([" The", "the", "re", " 12", "!", "'s", " ", None, "é", "\udcc3", "<end>"], 10) == [
        -1, 1, 2, 0, 0, 3, 0, 0, 4, 5, 0]


def changed(**parts: Any) -> dict[str, np.ndarray]:
    return Vocabulary.build(["ab ab", "ab"], "piece").tensors() | parts


@pytest.mark.parametrize("tensors, message", [
    (changed(merges=np.array([[1, 2, 300]], np.int32)), r"pieces from 1 to 300; 0 to \d+ were expected"),
    (changed(merges=np.array([[5, 5, 5]], np.int32)), r"merges\[0\] makes .* their bytes joined were expected"),
    (changed(merges=np.zeros((1, 2), np.int32)), r"merges are int32 \(1, 2\); \(M, 3\) of int32 were expected"),
    (changed(end_of_document=np.array([9999])), "end_of_document = 9999 is outside the vocabulary"),
    (changed(end_of_document=np.array([1, 2])), r"end_of_document is int64 \(2,\); one int64 was expected"),
])
def test_arrays_that_are_of_no_vocabulary(tensors: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        Vocabulary.restore(tensors, "piece")


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_count = 2, max_size = None; of pieces none is left out"):
        Vocabulary.build([TEXT], "piece", min_count=2)
    with pytest.raises(ValueError, match="max_size = 255; of pieces none is left out, and there are at least 256"):
        Vocabulary.build([TEXT], "piece", max_size=255)
    with pytest.raises(ValueError, match="merges are missing for unit='piece'; they belong to pieces"):
        Vocabulary(["a"], "piece")
    with pytest.raises(ValueError, match="merges are given for unit='word'"):
        Vocabulary(["a"], merges=np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="the byte 0x00 is no piece; every byte was expected to be one"):
        Vocabulary(["a"], "piece", merges=np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="200 pieces were asked for; at least 256"):
        learn(np.zeros(0, np.uint8), np.zeros(1, np.int64), np.zeros(0, np.int64), 200, PieceSettings())


def test_the_binding_checks_what_it_is_given() -> None:
    pieces = encoder([bytes([value]) for value in range(256)], np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="position = 4 is past the 3 bytes of the text"):
        pieces.encode(b"abc", 4, np.empty(99, np.int32), pieces.cache())
    assert pieces.encode(b"abc", 1, np.empty(63, np.int32), pieces.cache()) == (1, 0, 64)
    with pytest.raises(ValueError, match="cache"):
        pieces.encode(b"abc", 0, np.empty(99, np.int32), np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match=r"segment 0 is text\[0:65\], expected at most 64 of its 65 bytes"):
        cut_segments(pieces, np.zeros(65, np.uint8), np.array([0, 65]))
    with pytest.raises(ValueError, match="offset does not rise from 0 to the 2 bytes of the text"):
        _core.learn_pieces(np.zeros(2, np.uint8), np.array([0, 3]), np.array([1]), 2, 300)
