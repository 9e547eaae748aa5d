"""Held-out text from everywhere in the training text."""

import numpy as np
import pytest

import fastlm
from fastlm.auto.held_out import hold_out


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
    documents = [[i] * (i % 3 + 1) for i in range(25)]
    train, held_out = hold_out(fastlm.Corpus.from_ids(documents), 0.1)
    assert [list(document) for document in held_out.documents()] == [documents[9], documents[19]]
    assert [list(document) for document in train.documents()] == documents[:9] + documents[10:19] + documents[20:]


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
