"""Packed n-grams: how few bytes they take, how little they lose, and that they still sum to one."""

import numpy as np
import pytest

from fastlm.batch import Batch
from fastlm.models import Factored, KneserNey
from fastlm.models.ngram import packed
from fastlm.models.ngram.packed import code_book

RNG = np.random.default_rng(3)


def text_of(vocab_size: int, tokens: int) -> np.ndarray:
    """Each token is likely to be one of a few that depend on the two before it."""
    rng, out = np.random.default_rng(vocab_size), [0, 1]
    draws, kinds = rng.zipf(1.5, tokens), rng.random(tokens)
    for draw, kind in zip(draws.tolist(), kinds.tolist(), strict=True):
        out.append((draw + (31 * out[-1] + 7 * out[-2] if kind < 0.7 else 0)) % vocab_size)
    return np.array(out, np.int32)


def test_a_code_book_by_hand() -> None:
    """The log-odds of 1/5 and 4/5 are ln 1/4 and ln 4; a third of the way is ln 4^(-1/3)."""
    third = 4 ** (1 / 3)
    np.testing.assert_allclose(np.exp(code_book(np.log([0.8, 0.5, 0.2]), 2)),
                               [0.2, 1 / (1 + third), third / (1 + third), 0.8], rtol=1e-6)
    assert (np.diff(code_book(np.full(3, np.log(0.25)), 3)) > 0).all()
    assert code_book(np.zeros(1), 1)[-1] < 0            # something is left to other words


MODELS = [(2000, lambda v: KneserNey(v, order=4)), (90, lambda v: KneserNey(v, order=6)),
          (2000, lambda v: Factored(v, [2, 1, 3])), (90, lambda v: Factored(v, [1, 3, 2, 4])),
          (3, lambda v: KneserNey(v, order=12))]


@pytest.mark.parametrize("vocab_size, make", MODELS)
def test_rounding_loses_little_and_sums_stay_one(vocab_size, make, monkeypatch) -> None:
    text = text_of(vocab_size, 24_000)
    own, other = text[:20_000], text[20_000:]
    rounded = make(vocab_size).fit([own])
    monkeypatch.setattr(packed, "QUANTISED_FROM", 10**9)
    exact = make(vocab_size).fit([own])
    assert len(exact.tables["book"]) == 0
    assert len(rounded.tables["book"]) == 1 << (packed.BITS if vocab_size > 64 else packed.BITS_OF_FEW)
    targets = other[1:].copy()
    loss = [model.score(other[:-1], targets).mean() for model in (rounded, exact)]
    assert loss[0] - loss[1] < 0.0005                     # 0.05 % of the perplexity
    out = np.empty((1000, vocab_size), np.float32)
    rounded.ngrams.log_probabilities(out, rounded.forward(Batch.of([other[:1000]]))[0].value)
    np.testing.assert_allclose(np.exp(out.astype(float)).sum(1), 1, rtol=0, atol=5e-5)


@pytest.mark.parametrize("vocab_size, make", MODELS[:4])
def test_an_n_gram_takes_eight_bytes(vocab_size, make) -> None:
    model = make(vocab_size).fit([text_of(vocab_size, 60_000)])
    size = sum(table.nbytes for table in model.tables.values())
    assert model.ngrams.nodes > 50_000
    assert size <= (8 if isinstance(model, KneserNey) else 9.5) * model.ngrams.nodes


def test_what_is_unpacked_is_the_same_model() -> None:
    model = KneserNey(500, order=5).fit([text_of(500, 9000)])
    plain = model.unpacked()
    twin = KneserNey(500, order=5)
    twin.restore(plain)
    ids = text_of(500, 400)
    np.testing.assert_allclose(twin.log_probabilities(ids), model.log_probabilities(ids), rtol=0, atol=2e-6)
    assert all((twin.unpacked()[name] == plain[name]).all() for name in plain)


@pytest.mark.parametrize("exact", [False, True])
def test_no_damage_to_packed_tables_crashes(exact, monkeypatch) -> None:
    if exact:
        monkeypatch.setattr(packed, "QUANTISED_FROM", 10**9)
    model = KneserNey(90, 4).fit([text_of(90, 3000)])
    refused = 0
    for _ in range(400):
        tables = {name: array.copy() for name, array in model.tables.items()}
        name = str(RNG.choice(list(tables)))
        flat = tables[name].view(np.uint8).reshape(-1)
        if not len(flat):
            continue
        flat[int(RNG.integers(len(flat)))] ^= 1 << int(RNG.integers(8))
        twin = KneserNey(90, 4)
        try:
            twin.restore(tables)
        except ValueError:
            refused += 1
            continue
        ids = RNG.integers(0, 90, 30).astype(np.int32)
        twin.log_probabilities(ids)
        twin.score(ids[:-1], ids[1:])
        twin.unpacked()
    assert refused > 150


@pytest.mark.parametrize("name, length, message", [
    ("grams", -1, "grams has "), ("blocks", -2, "blocks has "), ("inner", -1, "inner has "),
    ("shape", -1, "shape has 3 "),
    ("unigrams", -1, "unigrams has 89 "), ("book", -1, "book has 1023 elements, expected a power of two"),
    ("contexts", -2, "its blocks are not those of n-grams, at ")])
def test_tables_of_other_lengths_are_refused(name, length, message) -> None:
    model = KneserNey(90, 4).fit([text_of(90, 3000)])
    with pytest.raises(ValueError) as caught:
        KneserNey(90, 4).restore(model.tables | {name: model.tables[name][:length].copy()})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("shape", [[89, 0, 3, 0], [2**31, 0, 3, 0], [95, -1, 3, 0], [95, 1, 33, 0], [95, 1, 3, 2**40]])
def test_shapes_that_no_n_grams_have_are_refused(shape) -> None:
    model = KneserNey(90, 4)
    with pytest.raises(ValueError, match="which no n-grams have$"):
        model.restore(model.tables | {"shape": np.array(shape)})
