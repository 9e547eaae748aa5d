"""N-gram models of large vocabularies and long texts: the likeliest words without all others, bounded memory."""

import numpy as np
import pytest

import fastlm
from fastlm.heads.base import Head
from fastlm.models import Factored, KneserNey
from fastlm.models.ngram.streams import at_most
from fastlm.text.corpus import Corpus
from tests import ngram_oracle

RNG = np.random.default_rng(11)
TEXT = (RNG.zipf(1.5, 4000) % 97).astype(np.int32)


@pytest.mark.parametrize("model", [KneserNey(97, order=4), KneserNey(97, order=1), Factored(97, [2, 1])], ids=str)
@pytest.mark.parametrize("k", [1, 7, 97, 200])
def test_the_likeliest_are_those_of_the_whole_distribution(model, k) -> None:
    model.fit([TEXT])
    ids = np.concatenate([TEXT[:40], RNG.integers(0, 97, 40)])
    rows = model.forward(fastlm.Batch.of([ids]))[0].value
    best, logp = model.head.top(rows, k)
    wanted, wanted_logp = Head.top(model.head, rows, k)
    assert best.shape == logp.shape == (80, min(k, 97)) and best.dtype == np.int32 and logp.dtype == np.float32
    np.testing.assert_allclose(logp, wanted_logp, rtol=0, atol=5e-5)   # packed: sums of 1 to 1.6e-5
    apart = np.abs(np.diff(wanted_logp, axis=1, prepend=9, append=-99)) > 5e-5
    settled = apart[:, 1:] & apart[:, :-1]                # ties may stand in either order
    assert (best == wanted)[settled].all() and settled.any()


def test_the_likeliest_before_and_after_a_text() -> None:
    """Equal probabilities: lower ids first; what followed the context before what did not."""
    model = KneserNey(4, order=2)
    assert model.head.top(np.array([-1], np.int32), 3)[0].tolist() == [[0, 1, 2]]
    model.fit([[3, 2, 3, 2, 3, 1]])
    best, logp = model.head.top(model.forward(fastlm.Batch.of([[3], [2]]))[0].value, 2)
    assert best.tolist() == [[2, 1], [3, 1]]
    np.testing.assert_allclose(np.exp(logp[0, 0]), np.exp(model.log_probabilities([3])[0, 2]), rtol=1e-6)


def test_parts_of_a_long_text() -> None:
    """48 of 100 tokens: 16 pieces of 3, the first at the beginning, the last at the end, cut where documents are."""
    corpus = Corpus.from_ids([np.arange(1), np.arange(1, 100)])
    part = at_most(corpus, 50)
    assert part.ids.tolist()[:6] == [0, 1, 2, 6, 7, 8] and part.ids.tolist()[-3:] == [97, 98, 99]
    assert part.offsets.tolist() == [0, 1, *range(3, 49, 3)]
    assert at_most(corpus, 100) is corpus
    assert len(at_most(corpus, 1).ids) == 16


def test_the_order_is_lowered_until_it_fits() -> None:
    """Where leaving out what occurs once is not enough, as if a lower order had been asked for, and said."""
    text = np.tile(TEXT, 2)                 # nothing but a few n-grams at the ends occurs once
    model = KneserNey(97, order=6).fit([text])
    assert model.note == "" and model.order == 6 and model.counted_whole
    lower = KneserNey(97, order=6).fit([text], budget_bytes=12.0 * model.ngrams.nodes)
    assert 2 <= lower.order < 6 and lower.config()["order"] == lower.order and lower.ngrams.nodes < model.ngrams.nodes
    within = f", to stay within {1.2e-8 * model.ngrams.nodes:g} GB"
    assert lower.note == f"; n-grams of more than 1 tokens that occur once were left out{within}; " \
                         f"order {lower.order} of 6{within}" and not lower.counted_whole
    lower.fit([text])
    asked = KneserNey(97, order=lower.order).fit([text])
    assert all(lower.tables[name].tobytes() == asked.tables[name].tobytes() for name in asked.tables)


def test_a_text_there_is_no_time_for_is_counted_in_part() -> None:
    model = KneserNey(97, order=2).fit([TEXT], most_tokens=1000)
    assert model.note == "; 992 of 4,000 tokens, to stay within the time" and not model.counted_whole
    pieces = at_most(Corpus.from_ids([TEXT]), 1000)
    form = ngram_oracle.KneserNey([pieces.ids[a:b].tolist() for a, b in zip(pieces.offsets, pieces.offsets[1:],
                                                                            strict=False)], 2, 97)
    np.testing.assert_allclose(np.exp(model.log_probabilities([1])[0]), [form.p(w, [1]) for w in range(97)], rtol=1e-5)
    less = Factored(97, [1]).fit([TEXT], budget_bytes=100 * 1000)
    assert less.ngrams.nodes < Factored(97, [1]).fit([TEXT]).ngrams.nodes


def test_single_tokens_of_a_long_text_are_counted_in_part() -> None:
    """There is no n-gram to be merged, and a text without them is never long."""
    model = KneserNey(97, order=1).fit([TEXT], budget_bytes=80 * 1000)
    assert model.note == "; 992 of 4,000 tokens, to stay within 8e-05 GB"
