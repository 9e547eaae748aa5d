"""Entropy pruning: what each n-gram is worth, against its definition; sizes that are kept; sums that stay one."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from fastlm.batch import Batch
from fastlm.models import Factored, KneserNey
from fastlm.models.ngram import pruning
from fastlm.models.ngram.pruning import Losses, frequencies, prune, size_of
from tests.models.ngram.test_packed import text_of

LETTERS = [0, 1, 2, 1, 3, 2]
MAKE = [lambda: KneserNey(6, order=3), lambda: KneserNey(6, order=1), lambda: Factored(6, [2, 1]),
        lambda: Factored(6, ["word", 1], LETTERS)]


def of_tables(model, tables):
    out = type(model).build(model.config())
    out.restore(tables)
    return out


def losses_of(model) -> Losses:
    return Losses(partial(pruning.plain_of, model), model.vocab_size)


def distributions(model, nodes) -> np.ndarray:
    out = np.empty((len(nodes), model.vocab_size), np.float32)
    model.ngrams.log_probabilities(out, np.asarray(nodes, np.int32))
    return out.astype(float)


@pytest.mark.parametrize("make", MAKE)
def test_what_an_n_gram_is_worth_is_the_divergence_without_it(make) -> None:
    """Of the longest n-grams, which nothing else depends on: frequency times the sum of p(w|h) ln(p(w|h) / p'(w|h))."""
    model = make().fit([np.random.default_rng(3).integers(0, 6, 120)])
    losses = losses_of(model)
    plain, ends = losses._plain()
    frequency = frequencies(plain, ends, losses.trie)
    before = distributions(model, range(model.ngrams.contexts))
    followed = np.diff(plain["child"])
    contexts = np.flatnonzero(followed > 0) if losses.trie else np.arange(len(followed))
    longest = plain["child"][contexts[-1]] if len(contexts) else len(plain["word"])
    for gram in range(int(longest), len(plain["word"])):
        h = np.searchsorted(plain["child"], gram, side="right") - 1
        if followed[h] in (1, 6):                      # the context goes with its only n-gram
            continue
        all_but_one = losses_of(model)
        all_but_one.of_context[:] = all_but_one.of_gram[:] = 1
        all_but_one.of_gram[gram], kept = 0, losses.of_gram[gram]
        after = of_tables(model, all_but_one.tables_above(0.5))
        number = int(np.searchsorted(contexts, h))
        p, q = before[number], distributions(after, range(after.ngrams.contexts))[number]
        assert kept == pytest.approx(frequency[h] * (np.exp(p) * (p - q)).sum(), rel=2e-3, abs=1e-7)


@pytest.mark.parametrize("make", [lambda: KneserNey(300, order=4), lambda: Factored(300, [1, 3, 2])])
def test_frequencies_are_those_of_the_text(make) -> None:
    """The contexts of one token or factor: how often each occurs for each token, about."""
    text = text_of(300, 20_000)
    model = make().fit([text])
    plain, ends = losses_of(model)._plain()
    found = frequencies(plain, ends, isinstance(model, KneserNey))
    first = found[:ends[1]]
    assert first.sum() == pytest.approx(1)
    rows = model.forward(Batch.of([text[:-1]]))[0].value if isinstance(model, Factored) else text[:-1]
    if isinstance(model, Factored):
        while (deeper := rows >= ends[1]).any():
            rows[deeper] = plain["link"][rows[deeper]]
    counted = np.bincount(rows, minlength=ends[1]) / len(text)
    assert np.abs(first - counted).sum() < 0.1


@pytest.mark.parametrize("make", [lambda: KneserNey(300, order=4), lambda: Factored(300, [1, 3, 2])])
def test_a_smaller_model_is_within_its_size_and_sums_to_one(make) -> None:
    text = text_of(300, 40_000)
    model = make().fit([text[:36_000]])
    size, targets = size_of([model.tables]), text[36_001:].copy()
    loss = [model.score(text[36_000:-1], targets).mean()]
    for share in (1.0, 0.5, 0.2, 0.05):
        tables = prune([model], int(share * size))[0]
        assert 0.85 * share * size < size_of([tables]) <= share * size
        smaller = of_tables(model, tables)            # which checks it whole
        np.testing.assert_allclose(np.exp(distributions(smaller, range(-1, smaller.ngrams.contexts))).sum(1), 1, rtol=0,
                                   atol=5e-5)
        loss.append(smaller.score(text[36_000:-1], targets).mean())
    assert loss[1] == loss[0]
    assert all(after < before + 0.5 for before, after in pairwise(loss))
    assert loss[3] - loss[0] < 0.3


def test_reading_goes_on_with_the_longest_context_that_is_left() -> None:
    """Where n-grams are gone, what is read is the longest suffix that the tables still have."""
    text = text_of(50, 20_000)
    model = KneserNey(50, order=5).fit([text])
    smaller = of_tables(model, prune([model], size_of([model.tables]) // 6)[0])
    plain = smaller.unpacked()
    contexts = np.flatnonzero(np.diff(plain["child"]) > 0)
    known = {}
    for number, node in enumerate(contexts.tolist()):
        words = []
        while node >= 0:
            words.insert(0, int(plain["word"][node]))
            node = -1 if node < 50 else int(np.searchsorted(plain["child"], node, side="right")) - 1
        known[tuple(words)] = number
    rows = smaller.forward(Batch.of([text[:2000]]))[0].value
    for i, row in enumerate(rows.tolist()):
        longest = next((known[key] for n in range(4, 0, -1) if n <= i + 1
                        and (key := tuple(text[i + 1 - n: i + 1].tolist())) in known), -1)
        assert row == longest


def test_several_models_share_a_size() -> None:
    text = text_of(300, 20_000)
    models = [KneserNey(300, order=4).fit([text]), Factored(300, [2, 1]).fit([text])]
    size = size_of([model.tables for model in models])
    tables = prune(models, size // 4)
    assert size_of(tables) <= size // 4
    assert all(size_of([table]) < size_of([model.tables]) for table, model in zip(tables, models, strict=True))
    one, two = (prune(models, size // 4, threads=threads) for threads in (1, 2))
    assert all(a[name].tobytes() == b[name].tobytes() for a, b in zip(one, two, strict=True) for name in a)
    favoured = prune(models, size // 4, weights=[1.0, 1e-4])
    assert size_of(favoured[:1]) > size_of(tables[:1]) and size_of(favoured[1:]) < size_of(tables[1:])


def test_a_size_that_single_tokens_exceed_is_refused() -> None:
    model = KneserNey(300, order=3).fit([text_of(300, 5000)])
    with pytest.raises(ValueError, match=r"^max_bytes leaves 500 bytes for n-grams; single tokens alone take 1,2\d\d$"):
        prune([model], 500)
    smallest = of_tables(model, losses_of(model).tables_above(np.inf))
    assert smallest.ngrams.nodes == 300 and smallest.ngrams.contexts == 0
    assert pruning.size_of([smallest.tables]) < 1300


@pytest.mark.parametrize("make", [lambda: KneserNey(97, order=4), lambda: Factored(97, [1, 2, 3]),
                                  lambda: Factored(97, ["word", 2], [n % 3 for n in range(97)])])
def test_a_share_is_left_when_a_text_is_counted(make) -> None:
    text = [text_of(97, 8000)]
    counted, whole = make().fit(text, kept_share=0.5), make().fit(text)
    assert 0.35 * size_of([whole.tables]) < size_of([counted.tables]) < 0.55 * size_of([whole.tables])
    rows = np.exp(distributions(counted, range(counted.ngrams.contexts)))
    np.testing.assert_allclose(rows.sum(1), 1, atol=2e-4)
    one_thread = make().fit(text, 1, kept_share=0.5)
    assert all((one_thread.tables[name] == table).all() for name, table in counted.tables.items())
    for share in (0.0, 1.5, -1.0, np.nan):
        with pytest.raises(ValueError, match=rf"^kept_share = {share}; a share above 0 and at most 1 was expected$"):
            make().fit(text, kept_share=share)


def test_counts_are_kept_of_all_n_grams_alone() -> None:
    with pytest.raises(ValueError, match=r"^kept_share = 0.5; 1 was expected where counts are kept$"):
        KneserNey(6, order=3).fit([[1, 2, 3]], keep_counts=True, kept_share=0.5)
