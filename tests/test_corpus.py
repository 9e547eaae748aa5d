"""Documents as ids: where they end, what is unknown, what a split holds, what is refused."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary


def words(corpus: Corpus, vocabulary: Vocabulary) -> list[list[str]]:
    return [[vocabulary.token(int(id)) for id in ids] for ids in corpus.documents()]


def refused(kind: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_build_by_hand() -> None:
    vocabulary, corpus = Corpus.build(["b a b\nc", "a b <unk>\n", ""])
    assert vocabulary.tokens == ["\n", "b", "a", "<unk>", "c"]
    assert corpus.ids.tolist() == [1, 2, 1, 0, 4, 0, 2, 1, 3, 0]
    assert corpus.offsets.tolist() == [0, 6, 10, 10]
    assert (len(corpus), corpus.unknown, corpus.bytes, corpus.boundary) == (10, 0, 17, 0)
    assert (corpus.ids.dtype, corpus.offsets.dtype) == (np.int32, np.int64)
    assert [ids.tolist() for ids in corpus.documents()] == [[1, 2, 1, 0, 4, 0], [2, 1, 3, 0], []]
    assert all(np.shares_memory(ids, corpus.ids) for ids in corpus.documents() if len(ids))


def test_every_document_of_words_ends_a_line() -> None:
    vocabulary = Vocabulary(["a", "b", "\n"])
    corpus = Corpus.read(["a\nb", "a\n", "a \n\n", "b\n \t", " ", "", "\n"], vocabulary)
    assert [ids.tolist() for ids in corpus.documents()] == [
        [0, 2, 1, 2],
        [0, 2],
        [0, 2, 2],
        [1, 2],
        [2],
        [],
        [2],
    ]
    assert corpus.boundary == 2
    without = Corpus.read(["a\nb", "a\n"], Vocabulary(["a", "b"]))
    assert [ids.tolist() for ids in without.documents()] == [[0, 1], [0]]
    assert without.boundary is None


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_lines_of_characters_keep_their_newline(unit: str) -> None:
    source = ["ab\na\n\nc"]
    for documents, expected in [
        ("file", ["ab\na\n\nc"]),
        ("line", ["ab\n", "a\n", "\n", "c\n"]),
        ("blank-line", ["ab\na\n", "c\n"]),
    ]:
        vocabulary, corpus = Corpus.build(source, unit, documents=documents)
        assert [vocabulary.decode(ids) for ids in corpus.documents()] == expected
        again = Corpus.read(source, vocabulary, documents)
        assert again.ids.tolist() == corpus.ids.tolist()
        assert corpus.boundary is None
        assert Vocabulary.build(source, unit, documents=documents) == vocabulary


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
def test_build_is_build_and_read(unit: str, documents: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastlm.text.corpus.PIECE", 7)
    rng = np.random.default_rng(5)
    pool = ["a", "b", "é", "<unk>", "long-word", "\n", "\n\n", "𝒜", " ", "\u2028"]
    source = [" ".join(rng.choice(pool, n)) for n in (0, 1, 2, 70, 301)]
    limits = {} if unit == "byte" else {"min_count": 2, "max_size": 6}
    vocabulary, corpus = Corpus.build(iter(source), unit, documents=documents, **limits)
    assert vocabulary == Vocabulary.build(source, unit, documents=documents, **limits)
    again = Corpus.read(source, vocabulary, documents)
    assert corpus.ids.tolist() == again.ids.tolist()
    assert corpus.offsets.tolist() == again.offsets.tolist()
    assert corpus.unknown_at.tolist() == again.unknown_at.tolist()
    assert (corpus.bytes, corpus.boundary) == (again.bytes, again.boundary)
    assert vocabulary.counts.tolist() == np.bincount(corpus.ids, minlength=len(vocabulary)).tolist()
    if unit != "byte":
        assert corpus.unknown > 0
        assert (corpus.ids[corpus.unknown_at] == vocabulary.unknown).all()


def test_unknown_tokens_are_counted_and_written_ones_are_not() -> None:
    vocabulary, corpus = Corpus.build(["a a <unk> b a c"], max_size=3)
    assert vocabulary.tokens == ["<unk>", "a", "\n"]
    assert vocabulary.counts.tolist() == [3, 3, 1]
    assert corpus.ids.tolist() == [1, 1, 0, 0, 1, 0, 2]
    assert corpus.unknown_at.tolist() == [3, 5]
    other = Corpus.read(["a <unk> x", "𝒜"], vocabulary)
    assert other.ids.tolist() == [1, 0, 0, 2, 0, 2]
    assert other.unknown_at.tolist() == [2, 4]
    assert (other.unknown, other.bytes) == (2, 13)


def test_an_unknown_token_where_there_is_no_unk() -> None:
    message = "documents[1]: token 1, 'd', is not in the vocabulary, nor is <unk>"
    refused(ValueError, message, lambda: Corpus.read(["a\n", "b d"], Vocabulary(["a", "b", "\n"])))
    message = "documents[0]: token 2, '\\n', is not in the vocabulary, nor is <unk>"
    refused(ValueError, message, lambda: Corpus.read(["ab"], Vocabulary(["a", "b"], "char"), "line"))


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
@pytest.mark.parametrize("source", [[], [""], ["", ""]])
def test_an_empty_corpus(unit: str, source: list[str]) -> None:
    message = "the corpus is empty: there is no token in it"
    refused(ValueError, message, lambda: Corpus.build(source, unit))
    refused(ValueError, message, lambda: Corpus.read(source, Vocabulary.build(["a"], unit)))


def test_an_empty_file_is_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    refused(ValueError, "the corpus is empty: there is no token in it", lambda: Corpus.build(tmp_path / "empty"))


def test_a_generator_is_read_once() -> None:
    def source() -> Iterator[str]:
        yield "a b"
        yield "c"

    vocabulary, corpus = Corpus.build(source())
    assert words(corpus, vocabulary) == [["a", "b", "\n"], ["c", "\n"]]


def test_from_ids() -> None:
    corpus = Corpus.from_ids([[25, 7], [], np.array([100], np.int64)])
    assert corpus.ids.tolist() == [25, 7, 100]
    assert corpus.offsets.tolist() == [0, 2, 2, 3]
    assert (corpus.unknown, corpus.bytes, corpus.boundary) == (0, 0, None)
    refused(ValueError, "the corpus is empty: there is no token in it", lambda: Corpus.from_ids([]))
    message = "documents[1][1] = -3 is outside the range 0 to 2147483647"
    refused(IndexError, message, lambda: Corpus.from_ids([[1], [2, -3]]))
    message = "documents[1] are of the type float64; expected integers"
    refused(TypeError, message, lambda: Corpus.from_ids([[1], [0.5]]))


def lengths(corpus: Corpus) -> list[int]:
    return np.diff(corpus.offsets).tolist()


def test_split_between_documents() -> None:
    corpus = Corpus.from_ids([[d] * (d % 3 + 1) for d in range(21)])
    train, held_out = corpus.split(0.3)
    assert len(train) == 30 and len(held_out) == 12  # 29.4 is aimed at; documents end at 28 and at 30
    assert lengths(train) + lengths(held_out) == lengths(corpus)
    assert train.ids.tolist() + held_out.ids.tolist() == corpus.ids.tolist()
    assert np.shares_memory(held_out.ids, corpus.ids)


def test_split_after_an_end_of_line() -> None:
    vocabulary, corpus = Corpus.build(["a b c\n" * 10 + "d d d d\n", "e f"], min_count=2)
    train, held_out = corpus.split(0.3)
    assert len(corpus) == 48
    assert len(train) == 32  # 33.6 is aimed at; lines end at 32 and at 36
    assert train.ids[-1] == vocabulary.end_of_line
    assert lengths(train) == [32]
    assert lengths(held_out) == [13, 3]
    assert train.unknown_at.tolist() == []
    assert held_out.unknown_at.tolist() == [13, 14]
    assert train.bytes + held_out.bytes == corpus.bytes
    assert train.boundary == held_out.boundary == vocabulary.end_of_line
    corpus = Corpus.read(["a a a a\n\n"], vocabulary)
    assert [len(part) for part in corpus.split(1 / 3)] == [5, 1]


def test_split_does_not_go_far_for_a_line_or_a_document() -> None:
    vocabulary = Vocabulary(["a", "\n"])
    corpus = Corpus.read(["a\n" + "a " * 97], vocabulary)
    assert [len(part) for part in corpus.split(0.1)] == [90, 10]
    corpus = Corpus.from_ids([[1]] * 20 + [[2] * 80])
    assert [len(part) for part in corpus.split(0.1)] == [90, 10]


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.001), (2, 0.999), (3, 0.5), (100, 0.004)])
def test_split_leaves_something_on_either_side(count: int, fraction: float) -> None:
    train, held_out = Corpus.from_ids([range(count)]).split(fraction)
    assert len(train) + len(held_out) == count
    assert len(train) and len(held_out)
    assert lengths(train) == [len(train)]
    train, held_out = Corpus.from_ids([[], [5], [6], []]).split(fraction)
    assert (train.ids.tolist(), held_out.ids.tolist()) == ([5], [6])


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_split_by_what_is_no_fraction(fraction: float) -> None:
    message = f"fraction = {fraction}; expected a number between 0 and 1"
    refused(ValueError, message, lambda: Corpus.from_ids([[1, 2]]).split(fraction))


def test_one_token_cannot_be_split() -> None:
    refused(ValueError, "a corpus of 1 token cannot be split", lambda: Corpus.from_ids([[1]]).split(0.5))


def test_penn_treebank() -> None:
    folder = Path(os.environ.get("FASTLM_DATA") or Path(__file__).parents[2] / "shared/data")
    path = folder / "ptb.train.txt"
    if not path.exists():
        pytest.skip("the benchmark corpora are neither in $FASTLM_DATA nor in ../shared/data")
    vocabulary, corpus = Corpus.build(path)
    assert (len(corpus), len(vocabulary), corpus.unknown) == (929_589, 10_000, 0)
    assert vocabulary.tokens[:3] == ["the", "<unk>", "\n"]
    assert vocabulary.counts[2] == 42_068
    end = vocabulary.decode(corpus.ids[-500:]).split()
    assert end == path.read_text().split()[-len(end) :]
