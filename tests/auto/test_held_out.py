"""Held-out text from everywhere in the training text."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlm
from fastlm.auto.held_out import hold_out
from fastlm.auto.policy import Policy


def test_ten_stretches_of_one_document():
    train, held_out = hold_out(fastlm.Corpus.from_ids([range(40)]), 0.25)
    assert held_out.ids.tolist() == [3, 7, 11, 15, 19, 23, 27, 31, 35, 39]
    assert held_out.offsets.tolist() == list(range(11))
    assert train.ids.tolist() == [i for i in range(40) if i % 4 != 3]
    assert train.offsets.tolist() == list(range(0, 31, 3))


def test_cuts_fall_behind_ends_of_lines():
    vocabulary, corpus = fastlm.Corpus.build(["a bb ccc dddd\n" * 50 + "e f\n" * 50])
    train, held_out = hold_out(corpus, 0.1)
    for part in (train, held_out):
        assert all(document[-1] == vocabulary.end_of_line for document in part.documents())
    assert len(train) + len(held_out) == len(corpus)
    assert sorted([*train.ids, *held_out.ids]) == sorted(corpus.ids)
    assert 0.05 < len(held_out) / len(corpus) < 0.15


def test_a_line_that_is_far_moves_no_cut():
    corpus = fastlm.Corpus.build(["a b " * 500 + "\n" + "c d " * 500])[1]
    train, held_out = hold_out(corpus, 0.1)
    assert len(train) + len(held_out) == 2002 and 0.09 < len(held_out) / len(corpus) < 0.11


def test_of_many_documents_every_tenth_is_held_out_whole():
    documents = [[i] * 4 for i in range(50)]
    train, held_out = hold_out(fastlm.Corpus.from_ids(documents), 0.1)
    assert [list(document) for document in held_out.documents()] == [documents[i] for i in (5, 15, 25, 35, 45)]
    assert [list(document) for document in train.documents()] == [documents[i] for i in range(50) if i % 10 != 5]


def test_the_tokens_of_documents_are_counted_and_not_the_documents():
    """200 tokens are to be held out: of a document of more than 80 a stretch. Each of the two of 100 gives the 10 it
    owes; the others owe 5 each, and one is held out where 25 are owed, half of the mean."""
    sizes = [100] * 2 + [50] * 36
    corpus = fastlm.Corpus.from_ids([[d] * size for d, size in enumerate(sizes)])
    train, held_out = hold_out(corpus, 0.1)
    assert len(corpus) == 2000 and (len(train), len(held_out)) == (1780, 220)
    assert [len(document) for document in held_out.documents()] == [10, 10, 50, 50, 50, 50]
    assert [int(document[0]) for document in held_out.documents()] == [0, 1, 7, 17, 27, 37]


def test_stretches_come_from_the_middle_of_long_documents():
    """Each owes 4 of the 100 tokens to be held out; a stretch has 10, or what is nearest."""
    corpus = fastlm.Corpus.from_ids([range(d * 80, d * 80 + 80) for d in range(25)])
    _, held_out = hold_out(corpus, 0.05)
    found = [(int(document[0]) // 80, (document % 80).tolist()) for document in held_out.documents()]
    assert [(d, len(places)) for d, places in found[:4]] == [(1, 8), (3, 8), (5, 8), (7, 8)]
    assert all(places == list(range(36, 44)) for _, places in found)
    assert len(found) == 12


def test_stretches_of_long_documents_are_cut_at_lines():
    rng = np.random.default_rng(0)
    books = ["".join("a " * words + "\n" for words in rng.integers(1, 9, 400)) for _ in range(25)]
    vocabulary, corpus = fastlm.Corpus.build(books)
    train, held_out = hold_out(corpus, 0.05)
    for part in (train, held_out):
        assert all(document[-1] == vocabulary.end_of_line for document in part.documents())
    assert 0.04 < len(held_out) / len(corpus) < 0.06


@pytest.mark.parametrize("lines", [[198, 200], [161, 237]])
def test_lines_that_would_change_much_of_a_stretch_move_no_cut(lines):
    """Two ends of lines in every document, whose middle 40 tokens are held out: these would become 2, or 76."""
    document = np.ones(400, np.int32)
    document[lines] = 0
    corpus = fastlm.Corpus(np.tile(document, 25), np.arange(0, 10_001, 400), np.zeros(0, np.int64), 0, 0)
    _, held_out = hold_out(corpus, 0.05)
    assert np.diff(held_out.offsets).min() == 40 and len(held_out) == 480


def test_no_more_than_half_of_a_long_document_is_held_out():
    """Even where half of all is, and more is owed for what came before."""
    corpus = replace(fastlm.Corpus.from_ids([*[[0] * 9] * 17, *[[d] * 300 for d in range(1, 5)]]), boundary=9)
    assert np.bincount(hold_out(corpus, 0.5)[1].ids).tolist() == [72, 150, 150, 150, 150]


def test_short_documents_are_not_held_out_more_often_than_long_ones():
    sizes = np.random.default_rng(1).integers(1, 40, 3000)
    corpus = fastlm.Corpus.from_ids([[0] * size for size in sizes])
    corpus = replace(corpus, boundary=1)
    _, held_out = hold_out(corpus, 0.1)
    assert abs(len(held_out.offsets) - 301) < 20 and abs(np.diff(held_out.offsets).mean() - sizes.mean()) < 2


def test_very_little_text():
    for count in (1, 20):
        train, held_out = hold_out(fastlm.Corpus.from_ids([[5], *[[]] * (count - 1)]), 0.5)
        assert (train.ids.tolist(), held_out.ids.tolist()) == ([5], [])
        train, held_out = hold_out(fastlm.Corpus.from_ids([[5, 6], *[[]] * (count - 1)]), 0.05)
        assert (train.ids.tolist(), held_out.ids.tolist()) == ([5], [6])
    few = replace(fastlm.Corpus.from_ids([[1, 2], [3], [4], [5, 6], [7, 8], *[[]] * 20]), boundary=0)
    assert len(hold_out(few, 0.5)[1]) == 4
    assert len(hold_out(replace(few, boundary=None), 0.05)[1]) == 2


def test_the_policy_says_how_many_stretches_and_which_documents():
    one = fastlm.Corpus.from_ids([range(40)])
    assert hold_out(one, 0.25, Policy(held_out_stretches=2))[1].ids.tolist() == [*range(15, 20), *range(35, 40)]
    assert hold_out(one, 0.25)[1].ids.tolist() == hold_out(one, 0.25, Policy())[1].ids.tolist()
    few = fastlm.Corpus.from_ids([[i] * 4 for i in range(10)])
    assert hold_out(few, 0.2, Policy(many_documents=11))[1].ids.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    whole = Policy(many_documents=10, whole_document_share=0.5)
    assert hold_out(few, 0.2, whole)[1].ids.tolist() == [3] * 4 + [8] * 4
    assert max(len(part) for part in hold_out(few, 0.2, Policy(many_documents=10))[1].documents()) == 2


def test_unknown_words_stay_where_they_were():
    vocabulary = fastlm.Vocabulary(["a", "<unk>", "\n"])
    corpus = fastlm.Corpus.read(iter(["a a a a a a a a x\n" * 10]), vocabulary)
    train, held_out = hold_out(corpus, 0.5)
    assert train.unknown + held_out.unknown == corpus.unknown == 10
    for part in (train, held_out):
        assert (part.ids[part.unknown_at] == 1).all() and (part.ids == 1).sum() == part.unknown


def test_the_share_must_be_sensible():
    for fraction in (0, 0.6, float("nan")):
        with pytest.raises(ValueError, match=rf"fraction = {fraction} is outside \(0, 0\.5\]"):
            hold_out(fastlm.Corpus.from_ids([np.arange(9)]), fraction)


@st.composite
def corpora(draw):
    """1 to 300 documents: of like or unlike sizes, some empty, one of them large; many ends of lines, few or none."""
    count = draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = rng.integers(0, draw(st.sampled_from([2, 5, 40, 1000])), count)
    if draw(st.booleans()):
        sizes[draw(st.integers(0, count - 1))] = draw(st.sampled_from([1, 3, 700, 100_000]))
    if draw(st.booleans()):
        sizes[19::20] = 0
    ids = rng.integers(0, draw(st.sampled_from([2, 9, 300])), int(sizes.sum())).astype(np.int32)
    unknown_at = np.flatnonzero(ids == 1)
    return fastlm.Corpus(ids, np.concatenate([[0], np.cumsum(sizes)]), unknown_at, 5 * len(ids),
                         draw(st.sampled_from([None, 0])))


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(corpora(), st.sampled_from([0.5, 0.2, 0.05, 0.0123, 0.0025]))
def test_of_any_documents_about_the_share_is_held_out_and_nothing_is_lost(corpus, fraction):
    if len(corpus) < 2:
        return
    train, held_out = hold_out(corpus, fraction)
    share, many = fraction * len(corpus), len(corpus.offsets) > 20
    least = 2 if many and corpus.boundary is None and np.diff(corpus.offsets).max() > 1 else 1
    assert len(train) >= 1 and len(held_out) >= min(least, len(corpus) - 1)
    if least == 2 and len(corpus) > 2:
        assert np.diff(held_out.offsets).max() >= 2             # a pair
    pairless = np.diff(corpus.offsets) <= (1 if many and corpus.boundary is None else 0)
    if share >= 4 * least and np.diff(corpus.offsets)[pairless].sum() < 0.1 * len(corpus):   # the tokens allow it
        assert 0.5 * share <= len(held_out) <= 1.5 * share
    assert len(train) + len(held_out) == len(corpus) and train.unknown + held_out.unknown == corpus.unknown
    assert sorted([*train.ids.tolist(), *held_out.ids.tolist()]) == sorted(corpus.ids.tolist())
    for part in (train, held_out):
        assert (np.diff(part.offsets) > 0).all() and part.offsets[-1] == len(part)
        assert part.unknown_at.tolist() == np.flatnonzero(part.ids == 1).tolist()


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.integers(20, 300), st.sampled_from([1, 30, 1000]), st.sampled_from([1, 50_000]), st.integers(0, 299),
       st.sampled_from([0.05, 0.2, 0.5]), st.integers(0, 2**32))
def test_it_comes_from_everywhere_and_takes_no_long_document_whole(count, size, large, place, fraction, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, size + 1, count)
    sizes[place % count] = large
    sizes[19::20] = 0
    corpus = fastlm.Corpus(np.arange(sizes.sum(), dtype=np.int32), np.concatenate([[0], np.cumsum(sizes)]),
                           np.zeros(0, np.int64), 0, -1)
    share = fraction * len(corpus)
    _, held_out = hold_out(corpus, fraction)
    if share >= 10:
        assert np.diff(held_out.ids, prepend=0, append=len(corpus)).max() < 0.5 * len(corpus)
    for document in held_out.documents():
        whole = sizes[np.searchsorted(corpus.offsets, document[0], side="right") - 1]
        assert len(document) <= whole / 2 or len(document) == whole <= max(0.4 * share, 1)


def text_of(rng, lines):
    return "".join(" ".join(f"w{i}" for i in rng.integers(0, 90, 9)) + "\n" for _ in range(lines))


@pytest.mark.parametrize("lines", [[40] * 25, [0 if d % 20 == 19 else 10 for d in range(40)],
                                   [2000 if d == 19 else 20 for d in range(40)]],
                         ids=["25 books", "empty ones", "a large one"])
@pytest.mark.parametrize("model", ["lstm", "auto"])
def test_a_folder_of_books_is_trained(lines, model):
    rng = np.random.default_rng(1)
    lm = fastlm.train([text_of(rng, count) for count in lines], model=model, epochs=0.1, threads=1)
    assert lm.card["trained_on"] + lm.card["held_out"] == lm.card["tokens"]
    assert 0.5 * 0.05 * lm.card["tokens"] < lm.card["held_out"] < 1.5 * 0.05 * lm.card["tokens"]
    assert np.isfinite([record["valid"] for record in lm.history.records]).all() and lm.history.records
