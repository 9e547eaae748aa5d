"""Documents as ids: where they end, what is unknown, what parts hold, what is refused."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    monkeypatch.setattr("fastlm.text.stored.PART", 7)
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


def five() -> Corpus:
    """Five documents, of 3, 0, 2, 1 and 4 tokens; tokens 1, 4 and 8 are unknown; 20 bytes."""
    ids = np.arange(10, dtype=np.int32)
    return Corpus(ids, np.array([0, 3, 3, 5, 6, 10]), np.array([1, 4, 8]), 20, boundary=9)


def parts_of(corpus: Corpus) -> tuple[list[list[int]], list[int], int, int | None]:
    assert corpus.offsets.dtype == corpus.unknown_at.dtype == np.int64
    documents = [document.tolist() for document in corpus.documents()]
    return documents, corpus.ids[corpus.unknown_at].tolist(), corpus.bytes, corpus.boundary


def test_where_documents_stand() -> None:
    corpus = five()
    assert list(corpus.spans()) == [slice(0, 3), slice(3, 3), slice(3, 5), slice(5, 6), slice(6, 10)]
    assert corpus.first_tokens().tolist() == [0, 3, 5, 6]
    empty = replace(corpus, ids=corpus.ids[:0], offsets=np.zeros(3, np.int64))
    assert list(empty.spans()) == [slice(0, 0), slice(0, 0)] and empty.first_tokens().tolist() == []


def test_slice_by_hand() -> None:
    corpus = five()
    assert parts_of(corpus.slice(0, 10)) == ([[0, 1, 2], [3, 4], [5], [6, 7, 8, 9]], [1, 4, 8], 20, 9)
    assert parts_of(corpus.slice(1, 7)) == ([[1, 2], [3, 4], [5], [6]], [1, 4], 12, 9)
    assert parts_of(corpus.slice(3, 5)) == ([[3, 4]], [4], 4, 9)
    assert parts_of(corpus.slice(7, 8)) == ([[7]], [], 2, 9)
    assert parts_of(corpus.slice(3, 3)) == ([], [], 0, 9)
    assert np.shares_memory(corpus.slice(1, 7).ids, corpus.ids)
    thirds = [replace(corpus, bytes=100).slice(first, last).bytes for first, last in ((0, 3), (3, 7), (7, 10))]
    assert thirds == [30, 40, 30]


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3), (0, 11), (11, 11)])
def test_slice_of_what_is_not_there(first: int, last: int) -> None:
    message = f"tokens {first} to {last} were asked for; places from 0 to 10 were expected"
    refused(IndexError, message, lambda: five().slice(first, last))


def test_select_by_hand() -> None:
    corpus = five()

    def select(*kept: int) -> tuple[list[list[int]], list[int], int, int | None]:
        return parts_of(corpus.select(np.isin(np.arange(10), kept)))
    assert select(*range(10)) == ([[0, 1, 2], [3, 4], [5], [6, 7, 8, 9]], [1, 4, 8], 20, 9)
    assert select(0, 2, 4, 5, 6, 8, 9) == ([[0], [2], [4], [5], [6], [8, 9]], [4, 8], 14, 9)
    assert select(1, 2, 3) == ([[1, 2], [3]], [1], 6, 9)
    assert select() == ([], [], 0, 9)
    assert parts_of(corpus.slice(3, 3).select(np.zeros(0, bool))) == ([], [], 0, 9)


def test_concatenate_by_hand() -> None:
    corpus = five()
    joined = Corpus.concatenate([corpus.slice(7, 10), corpus.slice(3, 3), corpus.slice(1, 4)])
    assert parts_of(joined) == ([[7, 8, 9], [1, 2], [3]], [8, 1], 12, 9)
    assert parts_of(Corpus.concatenate([corpus])) == parts_of(corpus)


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_slices_put_together_again_are_what_was_selected(sizes: list[int], data: st.DataObject) -> None:
    """By documents as lists of (token, whether it is unknown), of which empty ones are left out."""
    count = sum(sizes)
    unknown = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    kept = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    corpus = Corpus(np.arange(count, dtype=np.int32), offsets, np.flatnonzero(np.array(unknown, bool)), 3 * count)
    wanted: list[list[int]] = []
    for i in range(count):
        if kept[i]:
            if i == 0 or not kept[i - 1] or i in offsets:
                wanted.append([])
            wanted[-1].append(i)
    selected = corpus.select(np.array(kept, bool))
    assert parts_of(selected) == (wanted, [i for i in range(count) if kept[i] and unknown[i]], 3 * sum(kept), None)
    if wanted:
        pieces = [corpus.slice(document[0], document[-1] + 1) for document in wanted]
        assert parts_of(Corpus.concatenate(pieces)) == parts_of(selected)


def test_penn_treebank() -> None:
    folder = Path(os.environ.get("FASTLM_DATA") or Path(__file__).parents[3] / "shared/data")
    path = folder / "ptb.train.txt"
    if not path.exists():
        pytest.skip("the benchmark corpora are neither in $FASTLM_DATA nor in ../shared/data")
    vocabulary, corpus = Corpus.build(path)
    assert (len(corpus), len(vocabulary), corpus.unknown) == (929_589, 10_000, 0)
    assert vocabulary.tokens[:3] == ["the", "<unk>", "\n"]
    assert vocabulary.counts[2] == 42_068
    end = vocabulary.decode(corpus.ids[-500:]).split()
    assert end == path.read_text().split()[-len(end) :]
