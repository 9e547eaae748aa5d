"""What n-grams say of their own text, stretch by stretch."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fastlm import Corpus
from fastlm.models import Factored, KneserNey
from fastlm.models.gate import fit_weights
from fastlm.training.batches import DocumentBatches, LaneBatches, read_and_predict
from fastlm.training.left_out import leave_out

V = 5


def chain(count, seed):
    """Tokens of which each depends on the last two."""
    rng = np.random.default_rng(seed)
    table = np.random.default_rng(0).dirichlet(np.full(V, 0.3), (V, V))
    out = [0, 1]
    for _ in range(count - 2):
        out.append(int(rng.choice(V, p=table[out[-2], out[-1]])))
    return np.array(out, np.int32)


@pytest.mark.parametrize("boundary", [None, 0])
def test_each_fold_is_predicted_by_what_was_counted_of_the_others(boundary) -> None:
    corpus = replace(Corpus.from_ids([chain(70, 1), chain(1, 2)[:1], chain(50, 3)]), boundary=boundary)
    parts = [KneserNey(V, order=3, boundary=boundary), Factored(V, [2])]
    table, weights = leave_out(parts, corpus, 3, threads=2)
    assert table.shape == (121, V) and table.dtype == np.float16 and weights.shape == (2,)
    ids = corpus.ids
    # folds of 40, 41 and 40 tokens; what a cut leaves of a document is a document
    folds = [([ids[:40]], [ids[40:70], ids[70:71], ids[71:]]),
             ([ids[40:70], ids[70:71], ids[71:81]], [ids[:40], ids[81:]]),
             ([ids[81:]], [ids[:40], ids[40:70], ids[70:71], ids[71:81]])]
    rows, nats = [], []
    for own, rest in folds:
        if rest[0] is not ids and len(rest) == 4:
            rest = [ids[:70], *rest[2:]]
        each = []
        for part in (KneserNey(V, order=3, boundary=boundary), Factored(V, [2])):
            part.fit(replace(Corpus.from_ids(rest), boundary=boundary), 1)
            inputs, targets, _ = read_and_predict(replace(Corpus.from_ids(own), boundary=boundary))
            ends = np.cumsum([0, *map(len, own)])
            each.append(np.concatenate([part.log_probabilities(inputs[a:b])
                                        for a, b in pairwise(ends)]))
        if not rows:
            counted = np.flatnonzero(targets >= 0)
            np.testing.assert_allclose(weights, fit_weights(np.array(
                [-part[counted, targets[counted]] for part in each], np.float64)), rtol=1e-6)
        rows.append(np.log(sum(w * np.exp(part.astype(float)) for w, part in zip(weights, each, strict=True))))
        nats.append(each)
    np.testing.assert_allclose(table.astype(float), np.concatenate(rows), rtol=2e-3, atol=1e-3)
    np.testing.assert_array_equal(table, leave_out(parts, corpus, 3, threads=1)[0])


def test_nothing_leaks() -> None:
    """Text and new text come from one chain: what is said of the one, left out, is as sure as of the other, while by
    the plain counts a text's own tokens are far likelier. The bound is that of shared/design for an offset."""
    own, new = Corpus.from_ids([chain(4000, 1)]), Corpus.from_ids([chain(4000, 2)])
    parts = [KneserNey(V, order=8), Factored(V, [1, 2, 3])]
    table, weights = leave_out(parts, own, 8)
    left_out = -table[np.arange(3999), own.ids[1:]].astype(float).mean()

    def said(text):
        """Nats of a text by the same mixture of models that have counted all of the first."""
        each = [part.fit(own).log_probabilities(text.ids[:-1])[np.arange(3999), text.ids[1:]] for part in parts]
        return -np.log(sum(w * np.exp(part.astype(float)) for w, part in zip(weights, each, strict=True))).mean()
    assert abs(left_out - said(new)) < 0.03 * said(new)
    assert said(own) < 0.95 * left_out


def test_how_many_folds() -> None:
    corpus = Corpus.from_ids([[0, 1, 2]])
    for folds in (1, 4):
        with pytest.raises(ValueError, match=rf"^folds = {folds}; 2 to 3, the tokens of the text, were expected$"):
            leave_out([KneserNey(V)], corpus, folds)


@pytest.mark.parametrize("boundary", [None, 4])
def test_batches_say_where_their_rows_lie(boundary) -> None:
    corpus = replace(Corpus.from_ids([np.arange(7) % V, [1, 3], np.arange(11) % 4]), boundary=boundary)
    inputs, targets, _ = read_and_predict(corpus)
    for batches in (LaneBatches(corpus, 3, 4, 2, 0), DocumentBatches(corpus, 9, 2, 0)):
        seen = []
        for index in range(batches.per_epoch):
            for shard in batches[index]:
                counted = shard.targets >= 0
                places = shard.batch.places[counted]
                np.testing.assert_array_equal(shard.batch.ids[counted], inputs[places])
                np.testing.assert_array_equal(shard.targets[counted], targets[places])
                seen += places.tolist()
        assert sorted(seen) == np.flatnonzero(targets >= 0).tolist()
