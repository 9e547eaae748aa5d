"""The n-gram model: by hand, against its equations, for any text, and on any number of threads."""

import pickle
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import fastlm
from fastlm import _core
from fastlm.batch import Batch
from fastlm.files import modelfile
from fastlm.models import KneserNey, PrefixModel
from fastlm.models.initial import in_file
from fastlm.models.ngram.discounts import FALLBACK, discounts_of, estimate_discounts
from fastlm.models.ngram.kneser_ney import TABLES
from fastlm.models.ngram.packed import PLAIN
from fastlm.text.corpus import Corpus
from tests import ngram_oracle


def corpus_of(documents, boundary=None) -> Corpus:
    """`boundary` is read before every document."""
    return replace(Corpus.from_ids(documents), boundary=boundary)


def probabilities(model: KneserNey, context) -> np.ndarray:
    """p of every token after a context, [] being nothing at all."""
    if not len(context):
        return np.exp(model.ngrams.unigrams.astype(float))
    return np.exp(model.log_probabilities(context)[-1].astype(float))


def random_text(rng, vocab_size, documents, longest):
    weights = rng.dirichlet(np.full(vocab_size, 0.7))
    return [rng.choice(vocab_size, int(n), p=weights).tolist() for n in rng.integers(1, longest + 1, documents)]


# on paper ------------------------------------------------------------------------------------------------------------

def test_bigrams_of_four_tokens_by_hand() -> None:
    """a b a c: every bigram once, so discounts of 1/2; unigrams count different bigrams, one each: 1/3."""
    model = KneserNey(3, order=2).fit([[0, 1, 0, 2]])
    for context, wanted in (([0], [2 / 12, 5 / 12, 5 / 12]), ([1], [4 / 6, 1 / 6, 1 / 6]), ([2], [1 / 3] * 3),
                            ([], [1 / 3] * 3)):
        np.testing.assert_allclose(probabilities(model, context), wanted, rtol=1e-6)


LINES = [0, 1, 2, 0, 2]     # two lines, each ended by 2: after a boundary it is 2 | 0 1 2 | 0 2


@pytest.mark.parametrize(("context", "wanted"), [
    ([], [Fraction(14, 48), Fraction(14, 48), Fraction(20, 48)]),
    ([0], [Fraction(7, 48), Fraction(19, 48), Fraction(22, 48)]),
    ([1], [Fraction(7, 48), Fraction(7, 48), Fraction(34, 48)]),
    ([2], [Fraction(31, 48), Fraction(7, 48), Fraction(10, 48)]),
    ([2, 0], [Fraction(7, 96), Fraction(43, 96), Fraction(46, 96)]),
    ([0, 1], [Fraction(7, 96), Fraction(7, 96), Fraction(82, 96)]),
    ([1, 2], [Fraction(31, 48), Fraction(7, 48), Fraction(10, 48)]),      # nothing is looked at beyond the boundary
])
def test_trigrams_of_two_lines_by_hand(context, wanted) -> None:
    """a(2 0) = 2, since it begins both lines; a(2) = 2 for the 1 and the 0 before it; all others 1."""
    model = KneserNey(3, order=3, boundary=2).fit(corpus_of([LINES], boundary=2))
    oracle = ngram_oracle.KneserNey([[2, *LINES]], 3, 3, boundary=2, number=Fraction)
    assert [oracle.p(word, context) for word in range(3)] == wanted
    np.testing.assert_allclose(probabilities(model, context), [float(p) for p in wanted], rtol=1e-6)


def test_leaving_out_the_last_token_of_two_lines_by_hand() -> None:
    """2 0 2 vanishes, and 0 2 with it, and then 2 was met after one token only: 1/2 * 1/2 * 1/3."""
    model = KneserNey(3, order=3, boundary=2).fit(corpus_of([LINES], boundary=2), keep_counts=True)
    rows, _ = model.forward(Batch.of([[2, *LINES[:-1]]]))
    nats, _ = model.leave_one_out(rows, np.array(LINES, np.int32))
    np.testing.assert_allclose(np.exp(-nats[-1]), 1 / 12, rtol=1e-12)


def test_discounts_by_hand() -> None:
    assert estimate_discounts(np.array([0, 10, 5, 3, 2])) == pytest.approx((0, 0.5, 1.1, 5 / 3))
    assert estimate_discounts(np.array([0, 10, 5, 3, 0])) == pytest.approx((0, 0.5, 1.1, 3))
    for degenerate in ([0, 0, 5, 3, 2], [0, 10, 0, 3, 2], [0, 10, 5, 0, 2], [0, 4, 1, 9, 2], [0, 9, 1, 1, 9],
                       [0, 6, 3, 4, 1]):
        assert estimate_discounts(np.array(degenerate)) == FALLBACK    # the last would make D2 exactly 0
    counts = np.repeat(np.array([1, 2, 3, 4, 9], np.int32), [10, 5, 3, 2, 4])
    np.testing.assert_allclose(discounts_of(counts), [0, 0.5, 1.1, 5 / 3])


def test_trigrams_after_contexts_that_occur_once_are_left_out() -> None:
    """Of 0 1 2 0 1 3 the bigram 0 1 occurs twice: 0 1 2 and 0 1 3 are kept, 1 2 0 and 2 0 1 are not."""
    text = [[0, 1, 2, 0, 1, 3]]
    less, full = KneserNey(4, 3, repeated_above=2).fit(text), KneserNey(4, 3).fit(text)
    assert [ngram_oracle.ngram(less.unpacked(), 4, node) for node in range(4, less.ngrams.nodes)] == [
        [0, 1], [1, 2], [1, 3], [2, 0], [0, 1, 2], [0, 1, 3]]
    assert full.ngrams.nodes == 4 + 4 + 4
    np.testing.assert_array_equal(less.log_probabilities([0, 1])[1], full.log_probabilities([0, 1])[1])
    np.testing.assert_array_equal(less.log_probabilities([1, 2])[1], full.log_probabilities([2])[0])   # not 1 2


# against the equations ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("vocab_size", [1, 2, 3, 7, 40])
def test_every_context_of_random_texts(order: int, vocab_size: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng([seed, order, vocab_size])
        boundary = int(rng.integers(vocab_size))
        documents = random_text(rng, vocab_size, int(rng.integers(1, 6)), 60 if seed % 2 else 7)
        stop = boundary if seed % 3 == 0 else None
        before = boundary if seed % 3 < 2 else None
        model = KneserNey(vocab_size, order, stop).fit(corpus_of(documents, before))
        whole = documents if before is None else [[before, *document] for document in documents]
        oracle = ngram_oracle.KneserNey(whole, order, vocab_size, stop)
        probe = random_text(rng, vocab_size, 1, 20)[0]
        logp = model.log_probabilities(probe)
        for i in range(len(probe)):
            first = max([0, *(j for j in range(i + 1) if probe[j] == stop)])
            wanted = [oracle.p(word, probe[first: i + 1]) for word in range(vocab_size)]
            np.testing.assert_allclose(np.exp(logp[i]), wanted, rtol=2e-5, atol=0)
            np.testing.assert_allclose(np.exp(logp[i].astype(float)).sum(), 1, rtol=0, atol=3e-6)


@pytest.mark.parametrize("order", [3, 4, 9])
@pytest.mark.parametrize("vocab_size", [2, 5, 40])
@pytest.mark.parametrize("above", [2, 3, 200])
def test_only_contexts_that_occur_again_grow(order: int, vocab_size: int, above: int) -> None:
    """After a context that is kept the probabilities are those of all n-grams; after others those of the longest kept:
    fewer than `above` tokens, or tokens that stand at two places."""
    for seed in range(5):
        rng = np.random.default_rng([seed, order, vocab_size])
        documents = random_text(rng, vocab_size, int(rng.integers(1, 6)), 60 if seed % 2 else 9)
        places = Counter(tuple(document[i: i + length]) for document in documents for i in range(len(document))
                         for length in range(1, min(order, len(document) - i + 1)))
        model = KneserNey(vocab_size, order, repeated_above=above).fit(documents)
        full = KneserNey(vocab_size, order).fit(documents)
        oracle = ngram_oracle.KneserNey(documents, order, vocab_size)
        assert model.ngrams.nodes <= full.ngrams.nodes
        for probe in (random_text(rng, vocab_size, 1, 20)[0], documents[0]):
            logp = model.log_probabilities(probe)
            for i in range(len(probe)):
                kept = next(context for first in range(max(0, i + 2 - order), i + 1)
                            for context in [tuple(probe[first: i + 1])]
                            if len(context) < above or places[context] > 1)
                wanted = [oracle.p(word, kept) for word in range(vocab_size)]
                np.testing.assert_allclose(np.exp(logp[i]), wanted, rtol=2e-5, atol=0)
        if above == 200:
            assert all(np.array_equal(model.tables[name], full.tables[name]) for name in TABLES)


def test_what_is_left_out_is_no_matter_of_threads_or_memory_or_files(tmp_path) -> None:
    documents = random_text(np.random.default_rng(3), 5, 4, 400)
    model = KneserNey(5, 9, repeated_above=3).fit(documents, threads=1)
    again = KneserNey(5, 9, repeated_above=3).fit(documents, threads=3)
    assert all(np.array_equal(model.tables[name], again.tables[name]) for name in TABLES)
    assert model.config() == again.config() and model.options["repeated_above"] == 3
    twin = PrefixModel.build(model.config())
    twin.restore(dict(model.tensors()))
    np.testing.assert_array_equal(twin.log_probabilities(documents[0]), model.log_probabilities(documents[0]))
    again_and_again = [np.tile(np.random.default_rng(4).integers(5, size=50), 20)]
    lowered = KneserNey(5, 60, repeated_above=3).fit(again_and_again, budget_bytes=4e4)
    assert 20 < lowered.order < 60 and not lowered.counted_whole and lowered.options["repeated_above"] == 3
    with pytest.raises(ValueError, match="^repeated_above = 3 left n-grams out; a model of all n-grams was expected$"):
        model.leave_one_out(np.zeros(1, np.int32), np.zeros(1, np.int32))


@pytest.mark.parametrize(("vocab_size", "order"), [(300, 12), (2645, 8), (2645, 12), (70_000, 5)])
def test_documents_that_end_within_what_others_go_on_with(vocab_size: int, order: int) -> None:
    """Sorting looks at 7, 5 and 3 tokens at a time: what ends there comes before what is longer, which is sorted."""
    rng = np.random.default_rng([vocab_size, order])
    text = rng.integers(vocab_size, size=order + 3).tolist()
    tails = rng.integers(vocab_size, size=(4, 3)).tolist()
    documents = [text[:length] for length in range(2, order + 2)]
    documents += [text[:length] + tail for length in range(2, order + 2) for tail in tails]
    model = KneserNey(vocab_size, order).fit(corpus_of(documents, None))
    oracle = ngram_oracle.KneserNey(documents, order, vocab_size)
    for document in documents[::3]:
        ids = np.array(document, np.int32)
        wanted = [-np.log(oracle.p(document[i], document[:i])) for i in range(1, len(document))]
        np.testing.assert_allclose(model.score(ids[:-1], ids[1:]), wanted, rtol=2e-5, atol=2e-6)


def test_documents_that_end_where_others_go_on() -> None:
    """A key of the sort holds six tokens of 602 ids; where an n-gram ends just there, those that share them go on."""
    line = list(range(364, 371))
    documents = [line, [*line, 373], [*line, 371], line, [*line, 371, 0]]
    model = KneserNey(602, 8).fit(documents)
    oracle = ngram_oracle.KneserNey(documents, 8, 602, None)
    for probe in (line, [*line, 371]):
        p = np.exp(model.log_probabilities(probe)[-1].astype(float))
        np.testing.assert_allclose(p, [oracle.p(word, probe) for word in range(602)], rtol=2e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("vocab_size", [1, 2, 5, 30])
def test_leaving_one_out_is_counting_without_it(order: int, vocab_size: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng([seed, order, vocab_size])
        boundary = int(rng.integers(vocab_size))
        stop = boundary if seed % 2 else None
        documents = random_text(rng, vocab_size, 3, 25)
        model = KneserNey(vocab_size, order, stop).fit(corpus_of(documents, boundary), keep_counts=True)
        whole = [[boundary, *document] for document in documents]
        events = ngram_oracle.events(whole, order, stop)
        for document in whole:
            rows, _ = model.forward(Batch.of([document[:-1]]))
            targets = np.array(document[1:], np.int32)
            hidden = targets.copy()
            hidden[1::4] = -1
            nats, logits = model.leave_one_out(rows, hidden, logits=True)
            plain = model.log_probabilities(document[:-1])
            assert logits is not None
            for i, event in enumerate(events[:len(targets)]):
                if hidden[i] < 0:
                    assert nats[i] == 0
                    np.testing.assert_allclose(logits[i], plain[i], rtol=0, atol=2e-6)
                    continue
                oracle = ngram_oracle.KneserNey(whole, order, vocab_size, stop, without=event)
                wanted = [oracle.p(word, event[:-1]) for word in range(vocab_size)]
                np.testing.assert_allclose(np.exp(-nats[i]), wanted[hidden[i]], rtol=1e-9)
                np.testing.assert_allclose(np.exp(logits[i]), wanted, rtol=1e-5)
            events = events[len(targets):]


def test_its_own_text_looks_as_new_text_does() -> None:
    """What leaving one out is for: within a few per cent of the nats of other text from the same source."""
    rng = np.random.default_rng(5)
    table = rng.dirichlet(np.full(30, 0.1), 900)

    def draw(tokens):
        ids = [0, 1]
        for _ in range(tokens):
            ids.append(int(rng.choice(30, p=table[ids[-2] * 30 + ids[-1]])))
        return ids
    own, other = draw(8000), draw(4000)
    model = KneserNey(30, order=4).fit([own], keep_counts=True)
    rows, _ = model.forward(Batch.of([own[:-1]]))
    nats, _ = model.leave_one_out(rows, np.array(own[1:], np.int32))
    held_out = -model.log_probabilities(other[:-1])[np.arange(len(other) - 1), other[1:]].mean()
    plain = -model.log_probabilities(own[:-1])[np.arange(len(own) - 1), own[1:]].mean()
    assert abs(nats.mean() / held_out - 1) < 0.03
    assert plain < 0.8 * held_out


# any text, any threads ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", [1, 3, 9, 127])
@pytest.mark.parametrize("documents", [[[0]], [[0], [0]], [[0, 1]], [[0] * 50], [[0, 1] * 40], [[1], [], [0, 1]]])
@pytest.mark.parametrize("boundary", [None, 0])
def test_no_text_is_refused(order: int, documents, boundary: int | None) -> None:
    for stop in (None, 0, 1):
        model = KneserNey(2, order, stop).fit(corpus_of(documents, boundary))
        logp = model.log_probabilities([0, 0, 1, 0, 1, 0, 0, 0])
        assert np.isfinite(logp).all()
        np.testing.assert_allclose(np.exp(logp.astype(float)).sum(1), 1, rtol=0, atol=1e-5)


def test_one_token_repeated_is_expected_again() -> None:
    model = KneserNey(2, order=5).fit([[0] * 300])
    assert np.exp(model.log_probabilities([0] * 10)[-1, 0]) > 0.99


@pytest.mark.parametrize("vocab_size", [3, 300, 70_000, 3_000_000])
def test_vocabularies_of_any_size(vocab_size: int) -> None:
    """Tokens are packed into 64-bit keys: fewer fit where there are more of them."""
    rng = np.random.default_rng(vocab_size)
    ids = np.sort(rng.choice(vocab_size, 3, replace=False))
    ids[-1] = vocab_size - 1
    text = ids[random_text(rng, 3, 1, 400)[0] + [0] * 60]
    model = KneserNey(vocab_size, 7).fit([text], keep_counts=True)
    small = KneserNey(3, 7).fit([np.searchsorted(ids, text)], keep_counts=True)
    assert (model.unpacked()["word"][vocab_size:] == ids[small.unpacked()["word"][3:]]).all()
    assert (model.counts.adjusted[vocab_size:] == small.counts.adjusted[3:]).all()


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(7)
    text = random_text(rng, 50, 9, 3000)
    one = KneserNey(50, 5).fit(text, threads=1, keep_counts=True)
    for threads in (2, 3, 8):
        other = KneserNey(50, 5).fit(text, threads=threads, keep_counts=True)
        assert all(one.tables[name].tobytes() == other.tables[name].tobytes() for name in TABLES)
        assert one.counts.adjusted.tobytes() == other.counts.adjusted.tobytes()


def test_before_it_is_fitted_every_token_is_equally_likely() -> None:
    np.testing.assert_allclose(np.exp(KneserNey(5).log_probabilities([1, 2])), 0.2, rtol=1e-6)


@pytest.mark.parametrize("tokens", [1, 2, 400, 999, 1000, 1003, 5000])
@pytest.mark.parametrize("order", [1, 4, 127])
def test_the_score_of_a_document_is_that_of_its_rows(tokens: int, order: int) -> None:
    """A long document is read in eight places at once."""
    rng = np.random.default_rng(8)
    whole = rng.choice(20, 8000, p=rng.dirichlet(np.full(20, 0.5)))
    model = KneserNey(20, order).fit([whole[:3000]])
    ids = whole[2500: 2501 + tokens].astype(np.int32)
    nats = model.score(ids[:-1], ids[1:])
    assert model.scores_directly(ids[:-1], ids[1:])
    np.testing.assert_allclose(nats, -model.log_probabilities(ids[:-1])[np.arange(len(ids) - 1), ids[1:]], atol=5e-5)
    rows, _ = model.forward(Batch.of([ids[:-1]]))
    np.testing.assert_allclose(model.head.nats(rows, ids[1:]), nats, rtol=1e-12)
    if tokens > 1:                                             # the targets are not the tokens that are read next
        assert not model.scores_directly(ids[:-1], ids[:-1])
        np.testing.assert_allclose(model.score(ids[:-1], ids[:-1]), model.head.nats(rows, ids[:-1]), rtol=1e-12)
    assert model.score(ids[:0], ids[:0]).shape == (0,)


def test_a_copy_through_pickle_predicts_the_same() -> None:
    model = KneserNey(4, 3).fit([[0, 1, 2, 3, 1, 2, 0]])
    twin = pickle.loads(pickle.dumps(model))
    assert twin.log_probabilities([1, 2]).tobytes() == model.log_probabilities([1, 2]).tobytes()


def test_repr_counts_ngrams() -> None:
    model = KneserNey(3, 2).fit([[0, 1, 0, 2]])
    assert repr(model) == "<KneserNey(vocab_size=3, order=2, boundary=None), 6 n-grams>"
    assert PrefixModel.build(model.config()).config() == model.config()


def test_the_model_file_keeps_the_tables_and_nothing_more(tmp_path) -> None:
    lm = fastlm.train(["the cat sat on the mat\nthe dog sat\n" * 9], model="kneser-ney", order=3)
    lm.save(tmp_path / "m.fastlm")
    again = fastlm.load(tmp_path / "m.fastlm")
    assert again.digest() == lm.digest() and again.history == lm.history
    text = "the dog sat on the cat"
    assert again.score(text).per_token.tobytes() == lm.score(text).per_token.tobytes()
    again.save(tmp_path / "again.fastlm")
    assert (tmp_path / "again.fastlm").read_bytes() == (tmp_path / "m.fastlm").read_bytes()
    tensors, metadata = modelfile.load(tmp_path / "m.fastlm")
    tensors["model/grams"][0] ^= 1
    modelfile.save(tmp_path / "bad.fastlm", tensors, metadata)
    with pytest.raises(modelfile.ModelFileError, match="bad.fastlm is damaged: its .* are not those of n-grams, at "):
        fastlm.load(tmp_path / "bad.fastlm")


def test_small_models_of_high_order_are_saved_and_loaded(tmp_path) -> None:
    lm = fastlm.train(["a"], model="kneser-ney", order=127)
    lm.save(tmp_path / "m.fastlm")
    assert fastlm.load(tmp_path / "m.fastlm").model.order == 127


# errors --------------------------------------------------------------------------------------------------------------

def fitted(**options) -> KneserNey:
    return KneserNey(3, 3).fit([[0, 1, 0, 2, 0, 1]], **options)


def restored(**changes) -> None:
    tables = {name: array.copy() for name, array in fitted().unpacked().items()}
    for name, (index, value) in changes.items():
        tables[name][index] = value
    KneserNey(3, 3).restore(tables)


ERRORS = [
    (lambda: KneserNey(5, repeated_above=1), ValueError,
     "repeated_above = 1; a number of tokens from 2 on was expected, or None"),
    (lambda: KneserNey(3, order=0), ValueError, "order = 0; a whole number of 1 to 127 tokens was expected"),
    (lambda: KneserNey(3, order=128), ValueError, "order = 128; a whole number of 1 to 127 tokens was expected"),
    (lambda: KneserNey(3, boundary=3), ValueError, "boundary = 3; an id below 3 was expected, or None"),
    (lambda: KneserNey(3).fit([[0, 3]]), IndexError, "ids[1] = 3 is outside the vocabulary of 3"),
    (lambda: KneserNey(3).fit([]), ValueError, "the corpus is empty"),
    (lambda: KneserNey(3).leave_one_out(np.zeros(1), np.zeros(1)), ValueError,
     "the counts of the model were not kept; fit it again with keep_counts=True to leave one out"),
    (lambda: fitted(keep_counts=True).leave_one_out(np.array([0]), np.array([0], np.int32)), ValueError,
     "target 0 of row 0 never followed its context in the text that was counted"),
    (lambda: fitted().head.check_loss("cross_entropy"), ValueError,
     "a KneserNey model is counted and not trained; call its fit() instead of a Trainer's"),
    (lambda: fitted().ngrams.read(np.zeros(1, np.int32), np.array([99], np.int32), np.zeros(1, np.int32), None,
                                  np.ones(1, np.uintp)), IndexError, "state 99 is outside the "),
    (lambda: KneserNey(3).restore({}), ValueError,
     "it holds the tables []; ['blocks', 'book', 'contexts', 'grams', 'inner', 'shape', 'unigrams'] were expected"),
    (lambda: restored(word=(0, 1)), ValueError,
     "n-gram 0 ends in word 1, out of order or outside the vocabulary of 3"),
    (lambda: restored(word=(4, 1)), ValueError,
     "n-gram 4 ends in word 1, out of order or outside the vocabulary of 3"),
    (lambda: restored(word=(3, -1)), ValueError,
     "n-gram 3 ends in word -1, out of order or outside the vocabulary of 3"),
    (lambda: restored(link=(1, 0)), ValueError,
     "n-gram 1 is linked to 0, which is not the same without its first word"),
    (lambda: restored(link=(-1, 2**31 - 1)), ValueError, "n-gram "),
    (lambda: restored(child=(1, 2**31 - 1)), ValueError, "child does not rise from 3 to the "),
    (lambda: restored(child=(0, 0)), ValueError, "child does not rise from 3 to the "),
    (lambda: restored(child=(-1, 4)), ValueError, "child does not rise from 3 to the "),
    (lambda: restored(logp=(0, 0.0)), ValueError, "the probabilities of the single words do not sum to one"),
    (lambda: restored(logp=(-1, -9.0)), ValueError, "the probabilities after context "),
    (lambda: restored(backoff=(0, 1.0)), ValueError, "the probabilities after context 0 do not sum to one"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message[:40] for _, _, message in ERRORS])
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_tables_that_were_checked_before_are_not_read() -> None:
    twin = KneserNey(3, 3)
    tables = fitted().tables | {"unigrams": fitted().tables["unigrams"] - 1}
    with in_file(checked=True):
        twin.restore(tables)
    with in_file(checked=False), pytest.raises(ValueError, match="its probabilities are not those of n-grams"):
        twin.restore(tables)


def test_tables_of_the_wrong_length_are_refused() -> None:
    whole = fitted().unpacked()
    for name in PLAIN:
        for length in (0, 1, len(whole[name]) - 1):
            with pytest.raises(ValueError):
                KneserNey(3, 3).restore(whole | {name: whole[name][:length].copy()})
    with pytest.raises(ValueError, match="there are n-grams of 3 words, expected at most 2"):
        KneserNey(3, 2).restore(whole)


@pytest.mark.parametrize("call, message", [
    (lambda g: g.score(np.zeros(2), np.zeros(1, np.int32), -1), "nats has 2 elements, expected 1"),
    (lambda g: g.nats(np.zeros(2), np.zeros(1, np.int32), np.zeros(1, np.int32)), "nats has 2 elements, expected 1"),
    (lambda g: g.nats(np.zeros(1), np.zeros(1, np.int32), np.zeros(2, np.int32)), "target has 2 elements, expected 1"),
    (lambda g: g.log_probabilities(np.zeros((1, 4), np.float32), np.zeros(1, np.int32)),
     "out has shape (1, 4), expected (1, 3)"),
    (lambda g: g.read(np.zeros(2, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32), None, np.ones(1, np.uintp)),
     "node has 2 elements, expected 1"),
    (lambda g: _core.left_out(np.zeros(1), None, *list(fitted().unpacked().values())[:4],
                              np.zeros(1, np.int32), np.zeros((3, 4)), np.zeros(1), np.zeros(1), np.zeros(1, np.int32),
                              np.zeros(1, np.int32), 3), "count has 1 elements, expected "),
    (lambda g: _core.NGramBuilder(np.zeros(1, np.int32), np.zeros(2, np.uint8), -1, 2, 3, 1),
     "starts has 2 elements, expected 1"),
    (lambda g: _core.NGramBuilder(np.zeros(1, np.int32), np.ones(1, np.uint8), -1, 0, 3, 1),
     "order = 0; 1 to 127 words were expected"),
    (lambda g: _core.NGramBuilder(np.zeros(1, np.int32), np.zeros(1, np.uint8), -1, 2, 3, 1),
     "a text of 1 tokens was given; at least 1, the first of a document, was expected"),
])
def test_the_binding_checks_sizes(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(fitted().ngrams)
    assert str(caught.value).startswith(message)


def test_no_damage_to_the_tables_crashes() -> None:
    rng = np.random.default_rng(9)
    model = KneserNey(6, 4).fit(random_text(rng, 6, 4, 80))
    refused = 0
    for _ in range(600):
        tables = {name: array.copy() for name, array in model.unpacked().items()}
        name = str(rng.choice(PLAIN))
        values = tables[name]
        index = int(rng.integers(len(values)))
        values[index] = rng.integers(-2**31, 2**31) if values.dtype == np.int32 and rng.random() < 0.3 else \
            values[index] + rng.choice([-1, 1, 3])
        twin = KneserNey(6, 4)
        try:
            twin.restore(tables)
        except ValueError:
            refused += 1
            continue
        assert np.isfinite(twin.log_probabilities(rng.integers(0, 6, 30))).all()
    assert refused > 590


STEPS = ["sort", "sort", "allocate", "level", "number", "number", "counted", "unigrams", "longer", "estimate",
         "estimate", "tables"]


def builder(steps: int) -> _core.NGramBuilder:
    """Bigrams of a text in two tasks, after so many of the steps."""
    ids = np.array([0, 1, 2, 1, 0, 2], np.int32)
    out = _core.NGramBuilder(ids, np.array([1, 0, 0, 0, 0, 0], np.uint8), -1, 2, 3, 2)
    for at in range(steps):
        step(out, STEPS[at], STEPS[:at].count(STEPS[at]))
    return out


def step(out: _core.NGramBuilder, name: str, task: int) -> None:
    discount = np.array([0, 0.5, 1, 1.5])
    arguments = {"sort": (task,), "allocate": (), "level": (2,), "number": (task, 2), "counted": (True,),
                 "unigrams": (discount,), "longer": (2,), "estimate": (task, 2, discount), "tables": ()}
    getattr(out, name)(*arguments[name])


def test_steps_of_counting_are_refused_out_of_turn() -> None:
    """Before its turn a step would read arrays that nothing has filled."""
    for done in range(len(STEPS)):
        for name in STEPS[done + 1:]:
            if name not in STEPS[:done + 1]:
                with pytest.raises(ValueError) as caught:
                    step(builder(done), name, 0)
                assert str(caught.value) == (f"{name} was called out of turn; the order of the steps is in the "
                                             "docstring of the class")
    for name in ("sort", "allocate", "number", "counted"):
        with pytest.raises(ValueError, match=f"^{name} was called out of turn"):
            step(builder(len(STEPS)), name, 0)
    with pytest.raises(ValueError, match="^counting_bytes was called out of turn"):
        builder(1).counting_bytes()
    with pytest.raises(ValueError, match="^level was called out of turn"):
        builder(3).level(3)
    with pytest.raises(ValueError, match="^number was called out of turn"):
        step(builder(5), "number", 0)
    assert len(builder(len(STEPS)).tables()[0]) == 3 + 5


    with pytest.raises(ValueError, match="^keep_repeated was called out of turn"):
        builder(3).keep_repeated(0, 2)
    with pytest.raises(ValueError, match="^level_sizes was called out of turn"):
        builder(1).level_sizes()
    assert builder(2).level_sizes().tolist() == [0, 3, 5]


def test_tasks_that_there_are_not_are_refused() -> None:
    for done, name in ((0, "sort"), (4, "number"), (9, "estimate")):
        with pytest.raises(ValueError, match="^task = 2, expected less than 2$"):
            step(builder(done), name, 2)
    with pytest.raises(ValueError, match="^tasks = 0, expected at least 1$"):
        _core.NGramBuilder(np.zeros(1, np.int32), np.ones(1, np.uint8), -1, 2, 3, 0)
