"""N-grams over factors of the context, beyond the laws that every model keeps."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

import fastlm
from fastlm import _core
from fastlm.models import Factored, KneserNey, Mixture
from fastlm.models.initial import in_file
from fastlm.models.ngram.factored import usual_factors
from tests import ngram_oracle

LETTERS = [0, 1, 2, 1]     # a space, a, b, A


def after(model, ids) -> np.ndarray:
    return np.exp(model.log_probabilities(ids)[-1])


def test_by_hand() -> None:
    """Five n-grams of the token before the last and the next, each met once. Of the single tokens 0 and 1 are met after
    two and 2 after one: (2 - 1 + 2.5/5) / 5 = .3, .3, .2, and .1 of the others; after 0 half of that, and 1/4 each of
    what followed: 0 and 2."""
    model = Factored(5, [2]).fit([[4, 0, 1, 0, 1, 2]])
    np.testing.assert_allclose(after(model, [1, 0, 3]), [0.4, 0.15, 0.35, 0.05, 0.05], rtol=1e-6)
    np.testing.assert_allclose(after(model, [1, 2, 3]), [0.3, 0.3, 0.2, 0.1, 0.1], rtol=1e-6)     # 2 was never such
    np.testing.assert_allclose(after(model, [3]), [0.65, 0.15, 0.1, 0.05, 0.05], rtol=1e-6)       # as at the beginning
    np.testing.assert_allclose(after(Factored(5, [2]), [3]), [0.2] * 5, rtol=1e-6)


def test_words_by_hand() -> None:
    """After "ab" comes a space and after "ba" more of the word, whatever the case; a word is remembered."""
    model = Factored(4, ["word"], LETTERS).fit([[0, 1, 2, 0, 2, 1, 1, 0, 1, 2, 0]])
    assert after(model, [0, 1, 2]).argmax() == after(model, [1, 0, 3, 2]).argmax() == 0
    assert (after(model, [0, 3, 2]) == after(model, [2, 0, 1, 2])).all()
    assert after(model, [0, 2, 1]).argmax() == 1
    model = Factored(4, ["word-1"], LETTERS).fit([[0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 0]])
    assert (after(model, [3, 2, 0]) == after(model, [1, 2, 0, 0, 1])).all()    # two spaces end one word
    assert (after(model, [1, 2, 0]) != after(model, [1, 0])).any()


@pytest.mark.parametrize("factors", [[1], [2, 1], [3, 1, 2], [1, "word", "word-1"], ["word-2", 5, "word"]])
def test_exact_fractions(factors) -> None:
    """The probabilities of a small text in exact fractions."""
    rng = np.random.default_rng(len(factors))
    text = [rng.integers(0, 4, n).tolist() for n in (40, 1, 0, 25)]
    model = Factored(4, factors, LETTERS).fit([document for document in text if document])
    form = ngram_oracle.factored_form(text, factors, 4, LETTERS, Fraction)
    history = rng.integers(0, 4, 30).tolist()
    rows = np.exp(model.log_probabilities(history).astype(float))
    for i, row in enumerate(rows):
        wanted = [float(form.p(w, ngram_oracle.factors_of(history[: i + 1], factors, LETTERS))) for w in range(4)]
        np.testing.assert_allclose(row, wanted, rtol=1e-5)
        assert sum(form.p(w, ngram_oracle.factors_of(history[: i + 1], factors, LETTERS)) for w in range(4)) == 1


def test_distances_in_order_are_n_grams() -> None:
    """Where every document begins alike, those of the last tokens are KneserNey's but for the first few."""
    text = np.random.default_rng(5).integers(0, 7, 4000)
    plain, factored = KneserNey(7, order=4).fit([text]), Factored(7, [1, 2, 3]).fit([text])
    ids = np.random.default_rng(6).integers(0, 7, 200)
    np.testing.assert_allclose(factored.log_probabilities(ids)[3:], plain.log_probabilities(ids)[3:], rtol=0, atol=5e-3)


def test_scores_are_rows_and_threads_change_nothing() -> None:
    rng = np.random.default_rng(7)
    text = rng.integers(0, 50, 3000).astype(np.int32)
    one, three = (Factored(50, [2, 1, 3]).fit([text[:2000], text[2000:]], threads=n) for n in (1, 3))
    assert all(one.tables[name].tobytes() == three.tables[name].tobytes() for name in one.tables)
    targets = np.append(text[1:], np.int32(-1))
    rows = one.log_probabilities(text)
    wanted = np.where(targets < 0, 0, -rows[np.arange(3000), targets])
    np.testing.assert_allclose(one.score(text, targets), wanted, rtol=0, atol=1e-5)
    twin = pickle.loads(pickle.dumps(one))
    assert (twin.log_probabilities(text[:9]) == rows[:9]).all()


def test_texts_of_any_size() -> None:
    for documents in ([[3]], [[3], [1], []], [[1, 1]], [[2] * 40]):
        p = after(Factored(4, [1, 2]).fit(documents), [2, 2])
        assert p.sum() == pytest.approx(1, abs=1e-6) and (p > 0).all()
    assert after(Factored(4, [1, 2]).fit([[2] * 40]), [2, 2])[2] > 0.9
    assert after(Factored(1, [1]).fit([[0, 0, 0]]), [0]).tolist() == [1]


def test_it_is_kept_in_a_file(tmp_path) -> None:
    vocabulary, corpus = fastlm.Corpus.build(["the cat sat on the mat. the cat was fat.\n" * 3], unit="char")
    letters = vocabulary.letters()
    parts = [KneserNey(len(vocabulary), order=4)]
    parts += [Factored(len(vocabulary), factors, letters) for factors in usual_factors("char")]
    lm = fastlm.LanguageModel(vocabulary, Mixture(len(vocabulary), [part.fit(corpus) for part in parts]))
    lm.save(tmp_path / "it.fastlm")
    again = fastlm.load(tmp_path / "it.fastlm")
    assert again.digest() == lm.digest() and again.score("the cat sat").nats == lm.score("the cat sat").nats
    assert again.next_tokens("the c", 3) == lm.next_tokens("the c", 3)


def test_a_word_spelt_by_one_letter_cancels_nothing() -> None:
    """The key of no letters at all was that of the word "a", which cancelled it: counting failed."""
    rng = np.random.default_rng(4)
    text = rng.integers(0, 4, 400).tolist()
    model = Factored(4, ["word", "word-1"], LETTERS).fit([text])
    form = ngram_oracle.factored_form([text], ["word", "word-1"], 4, LETTERS)
    for row, end in zip(np.exp(model.log_probabilities(text[:50]).astype(float)), range(1, 51), strict=True):
        context = ngram_oracle.factors_of(text[:end], ["word", "word-1"], LETTERS)
        np.testing.assert_allclose(row, [form.p(w, context) for w in range(4)], rtol=1e-5)
    assert model.config()["keys"] == 2
    older = Factored.build({name: value for name, value in model.config().items() if name != "keys"})
    assert older.config()["keys"] == 1


def test_tables_that_were_checked_before_are_not_checked_again() -> None:
    model = Factored(3, [1, 2]).fit([[0, 1, 0, 1, 1, 2, 0]])
    twin, ids = Factored(3, [1, 2]), np.array([0, 1, 0, 1], np.int32)
    with in_file(checked=True):
        twin.restore(model.tensors())
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: twin.log_probabilities(ids).tobytes(), range(8)))
    assert set(rows) == {model.log_probabilities(ids).tobytes()}
    wrong = model.tensors() | {"unigrams": model.tables["unigrams"] - 1}
    with in_file(checked=True):
        twin.restore(wrong)
    with in_file(checked=False), pytest.raises(ValueError, match="its probabilities are not those of n-grams"):
        twin.restore(wrong)


def test_usual_factors() -> None:
    assert usual_factors("word") == [[2, 3, 4], [1, 3, 4]]
    assert usual_factors("char")[0] == usual_factors("byte")[0] == [1, 2, 3, "word", "word-1", "word-2"]
    assert usual_factors("piece") == [[1, "word", "word-2"], [2, 3, 4]]


PLAIN = {"word": [0, 1, 2, 0, 1, 2, 1], "link": [-1, -1, 0], "child": [3, 5, 6, 7], "logp": [-1.098612] * 7,
         "backoff": [0.0, 0.0, 0.0], "key": [1, 5, 2]}      # after one factor 0 1, after another 2, after two 1


def plain(name: str = "", at: int = 0, value: float = 0) -> dict[str, np.ndarray]:
    """Two contexts of one factor and one of two, as in a file of version 0.1; one entry is changed."""
    kinds = {"logp": np.float32, "backoff": np.float32, "key": np.int64}
    tables = {table: np.array(values, kinds.get(table, np.int32)) for table, values in PLAIN.items()}
    if name:
        tables[name][at] = value
    return tables


@pytest.mark.parametrize("name, at, value, message", [
    ("child", 0, 2, "where its contexts begin are not those of n-grams"),
    ("child", -1, 999, "where its contexts begin"),
    ("child", 1, 99, "where its contexts begin"), ("word", 3, 3, "its words are not those"),
    ("word", 3, -1, "its words are not those"), ("word", 3, 1, "its words are not those"),
    ("link", 0, 0, "its links are not those"), ("link", 1, -2, "its links are not those"),
    ("logp", 0, 0.5, "its probabilities are not those"), ("key", 1, 0, "its keys are not those of n-grams: those of 1"),
    ("logp", -1, -9.0, "its probabilities are not those"), ("backoff", 1, 1.5, "its probabilities are not those")])
def test_plain_tables_are_checked(name, at, value, message) -> None:
    Factored(3, [1, 2]).restore(plain())
    with pytest.raises(ValueError) as caught:
        Factored(3, [1, 2]).restore(plain(name, at, value))
    assert str(caught.value).startswith(message)


def test_no_damage_to_packed_tables_crashes() -> None:
    rng = np.random.default_rng(9)
    model = Factored(70, [2, 1]).fit([rng.integers(0, 70, 3000)])
    assert len(model.tables["book"]) == 1 << 10
    refused = 0
    for _ in range(300):
        tables = {name: array.copy() for name, array in model.tables.items()}
        name = str(rng.choice(list(tables)))
        flat = tables[name].view(np.uint8).reshape(-1)
        flat[int(rng.integers(len(flat)))] ^= 1 << int(rng.integers(8))
        twin = Factored(70, [2, 1])
        try:
            twin.restore(tables)
        except ValueError:
            refused += 1
            continue
        twin.log_probabilities(rng.integers(0, 70, 30))
        twin.ngrams.unpack()
    assert refused > 150


IDS = np.array([0, 1, 2], np.int32)


def level(**changed):
    arguments = {"ids": IDS, "starts": np.array([1, 0, 0], np.uint8), "position": np.array([1, 2], np.int32),
                 "above": None, "above_contexts": 0, "level": 1}
    return _core.Factors(np.array([1], np.int32), None, 3).level(**(arguments | changed))


MESSAGES = {
    "factor 'wrd'; a distance in tokens or one of word, word-1, word-2 was expected": lambda: Factored(4, [1, "wrd"]),
    "factors = ['word'] need to know which ids are letters, and letters is None": lambda: Factored(4, ["word"]),
    "factors = [1, 0]; distances of at least 1 token were expected": lambda: Factored(4, [1, 0]),
    "0 factors of up to 0 tokens back; 1 to 127 of each were expected": lambda: Factored(4, []),
    "1 factors of up to 128 tokens back; 1 to 127 of each were expected": lambda: Factored(4, [128]),
    "letter has 3 elements, expected 4": lambda: Factored(4, ["word"], [1, 2, 3]),
    "factor -3; a distance of at least 1 was expected, or with letters -2 to 0":
        lambda: _core.Factors(np.array([-3], np.int32), IDS, 3),
    "a text of 3 tokens was given, 2 of them predicted; at least 1, and the first of a document, were expected":
        lambda: level(starts=np.zeros(3, np.uint8)),
    "starts has 2 elements, expected 3": lambda: level(starts=np.ones(2, np.uint8)),
    "level = 2 is above the 1 factors": lambda: level(level=2),
    "starts has 0 elements, expected 3": lambda: level(starts=np.zeros(0, np.uint8)),
    "above has 3 elements, expected 2": lambda: level(above=IDS),
    "keys = 3; version 1 or 2 was expected": lambda: Factored(4, [1], keys=3),
    "child has 3 elements, expected 4": lambda: Factored(3, [1, 2]).restore(plain() | {"child": IDS}),
    "buckets has 1 elements, expected 4": lambda: Factored(3, [1, 2]).restore(Factored(3, [1, 2]).tables
                                                                             | {"buckets": IDS[:1]}),
    "levels do not rise from 0 to the 0 contexts": lambda: Factored(3, [1, 2]).restore(
        Factored(3, [1, 2]).tables | {"levels": np.array([0, 1, 0])}),
    "it holds the tables ['word']; ['blocks', 'book', 'buckets', 'contexts', 'grams', 'levels', 'shape', 'unigrams'] "
    "were expected":
        lambda: Factored(3, [1]).restore({"word": IDS}),
    "a Factored model is counted and not trained; call its fit() instead of a Trainer's":
        lambda: fastlm.Trainer(Factored(3, [1])).fit([[1, 2]], epochs=1),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: str) -> None:
    with pytest.raises(ValueError) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message


def test_what_follows_the_links_of_n_grams_is_refused() -> None:
    """Only contexts are linked here, so that scoring as a trie does would read past the tables."""
    grams = Factored(5, [1]).fit([np.arange(5).repeat(9)]).ngrams
    for call in (lambda: grams.score(np.zeros(1), IDS[:1], -1),
                 lambda: grams.read(IDS[:1].copy(), IDS[:1].copy(), IDS[:1], None, np.ones(1, np.uintp))):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == \
            "n-grams over factors are not linked to shorter ones; only a plain trie of n-grams does this"


def estimate(**changed):
    arguments = {"logp": np.zeros(5, np.float32), "backoff": np.zeros(2, np.float32), "p": np.zeros(3),
                 "shorter": np.zeros(2), "child": np.array([2, 4, 5], np.int32),
                 "link": np.array([0, 0, 1, 0, 1], np.int32), "count": np.ones(5, np.int32),
                 "discount": np.array([0, 0.5, 1, 1.5]), "first": 0, "last": 2, "origin": 2, "origin_shorter": 0}
    _core.estimate_ngrams(**(arguments | changed))


def numbers(*values):
    return np.array(values, np.int32)


@pytest.mark.parametrize("changed, message", [
    ({"last": 3}, "contexts 0 to 3 are outside the 2 contexts"),
    ({"first": 2, "last": 1}, "contexts 2 to 1 are outside the 2 contexts"),
    ({"origin": 3}, "n-grams 3 to 6 are outside the 5 n-grams"),
    ({"child": numbers(2, 6, 5)}, "child[1] = 6, expected 2 to 5"),
    ({"child": numbers(2, 4, 3)}, "child[2] = 3, expected 4 to 5"),
    ({"child": numbers(1, 4, 5)}, "child[0] = 1, expected 2 to 5"),
    ({"link": numbers(9, 9, 1, 2, 1)}, "link[3] = 2, expected 0 to 1"),
    ({"link": numbers(0, 0, 1, 0, -1)}, "link[4] = -1, expected 0 to 1"),
    ({"count": numbers(-1, -1, 1, 1, -1)}, "count[4] = -1, expected at least 0"),
    ({"origin_shorter": 2**31}, "origin_shorter = 2147483648, expected less than 2^31"),
])
def test_estimates_stay_within_the_tables(changed, message: str) -> None:
    estimate()
    with pytest.raises(ValueError) as caught:
        estimate(**changed)
    assert str(caught.value) == message


def test_counts_of_single_words_are_checked() -> None:
    discount = np.array([0, 0.5, 1, 1.5])
    for logp, count, message in ((2, numbers(1, 1, 1), "logp has 2 elements, expected at least 3"),
                                 (3, numbers(1, -2, 1), "count[1] = -2, expected at least 0")):
        with pytest.raises(ValueError) as caught:
            _core.estimate_words(np.zeros(logp, np.float32), np.zeros(3), count, discount)
        assert str(caught.value) == message
