"""What n-grams say of their own text, stretch by stretch."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fastlm import Corpus
from fastlm.auto.cross_fit import Folds, count_folds, cross_fit, fold_seconds, folds_for
from fastlm.auto.policy import Policy
from fastlm.auto.timetable import Timetable
from fastlm.models import Factored, KneserNey
from fastlm.models.ngram.pruning import size_of
from fastlm.training.batches import DocumentBatches, StreamBatches, read_and_predict
from fastlm.training.budget import Clock

V = 5


def decoded(codes):
    """What bytes stand for: sixteenths of a nat."""
    return codes * np.float32(-1 / 16)


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
    table, same = cross_fit(parts, corpus, 3, threads=2)
    assert same is corpus
    assert table.shape == (2, 121, V) and table.dtype == np.uint8
    ids = corpus.ids
    # folds of 40, 41 and 40 tokens; what a cut leaves of a document is a document
    folds = [([ids[:40]], [ids[40:70], ids[70:71], ids[71:]]),
             ([ids[40:70], ids[70:71], ids[71:81]], [ids[:40], ids[81:]]),
             ([ids[81:]], [ids[:40], ids[40:70], ids[70:71], ids[71:81]])]
    rows: list[list[np.ndarray]] = [[], []]
    for own, rest in folds:
        if rest[0] is not ids and len(rest) == 4:
            rest = [ids[:70], *rest[2:]]
        for part, found in zip((KneserNey(V, order=3, boundary=boundary), Factored(V, [2])), rows, strict=True):
            part.fit(replace(Corpus.from_ids(rest), boundary=boundary), 1)
            inputs, _, _ = read_and_predict(replace(Corpus.from_ids(own), boundary=boundary))
            ends = np.cumsum([0, *map(len, own)])
            found += [part.log_probabilities(inputs[a:b]) for a, b in pairwise(ends)]
    for codes, found in zip(table, rows, strict=True):
        np.testing.assert_allclose(decoded(codes), np.maximum(np.concatenate(found), -255 / 16), atol=1 / 32 + 1e-5)
    np.testing.assert_array_equal(table, cross_fit(parts, corpus, 3, threads=1)[0])


def test_the_models_of_folds_are_pruned_as_those_of_the_text_were() -> None:
    corpus = Corpus.from_ids([chain(600, 1)])
    parts = [KneserNey(V, order=4), Factored(V, [2, 3])]
    table, _ = cross_fit(parts, corpus, 2, threads=1, kept=[0.6, 1.0])
    halves = [Corpus.from_ids([corpus.ids[:300]]), Corpus.from_ids([corpus.ids[300:]])]
    for part, codes, share in zip((KneserNey(V, order=4), Factored(V, [2, 3])), table, (0.6, 1.0), strict=True):
        for own, rest, place in zip(halves, reversed(halves), (0, 300), strict=True):
            part.fit(rest, 1, kept_share=share)
            found = part.log_probabilities(read_and_predict(own)[0])
            np.testing.assert_allclose(decoded(codes[place:place + 300]), np.maximum(found, -255 / 16),
                                       atol=1 / 32 + 1e-5)
    assert (table[0] != cross_fit(parts, corpus, 2, threads=1)[0][0]).any()
    np.testing.assert_array_equal(table[1], cross_fit(parts, corpus, 2, threads=1)[0][1])
    folded, _ = count_folds(parts[:1], corpus, 2, threads=1, kept=[0.6])
    with pytest.raises(ValueError):
        cross_fit(parts, corpus, 2, threads=1, kept=[0.6])
    for fold, rest in enumerate(reversed(halves)):
        part = KneserNey(V, order=4).fit(rest, 1)
        assert size_of([folded.models[fold][0].tables]) < 0.7 * size_of([part.tables])


def test_some_of_the_folds() -> None:
    """Of 121 tokens in five folds the second and the fourth: 24 to 48 and 73 to 97, with what was a document's end."""
    corpus = Corpus.from_ids([chain(70, 1), chain(10, 2), chain(41, 3)])
    parts = [KneserNey(V, order=3), Factored(V, [2])]
    whole, _ = cross_fit(parts, corpus, 5)
    table, text = cross_fit(parts, corpus, 5, used=2)
    np.testing.assert_array_equal(text.ids, np.concatenate([corpus.ids[24:48], corpus.ids[73:97]]))
    assert text.offsets.tolist() == [0, 24, 31, 48]
    np.testing.assert_array_equal(table, np.concatenate([whole[:, 24:48], whole[:, 73:97]], axis=1))
    # the middle one of three, in two stretches
    table, text = cross_fit(parts, corpus, 3, used=1, policy=Policy(shortest_stretch=20))
    np.testing.assert_array_equal(text.ids, np.concatenate([corpus.ids[20:40], corpus.ids[81:101]]))
    assert text.offsets.tolist() == [0, 20, 40]
    rest = Corpus.from_ids([corpus.ids[:20], corpus.ids[40:70], corpus.ids[70:80], corpus.ids[80:81],
                            corpus.ids[101:]])
    for codes, part in zip(table, parts, strict=True):
        part.fit(rest, 1)
        wanted = np.concatenate([part.log_probabilities(corpus.ids[a:a + 20]) for a in (20, 81)])
        np.testing.assert_allclose(decoded(codes), np.maximum(wanted, -255 / 16), atol=1 / 32 + 1e-5)
    with pytest.raises(ValueError, match=r"^used = 6; 1 to 5 folds were expected$"):
        cross_fit(parts, corpus, 5, used=6)


def test_nothing_leaks() -> None:
    """Text and new text come from one chain: what is said of the one, left out, is as sure as of the other, while by
    the plain counts a text's own tokens are far likelier. The bound is that of shared/design for an offset."""
    own, new = Corpus.from_ids([chain(4000, 1)]), Corpus.from_ids([chain(4000, 2)])
    parts = [KneserNey(V, order=8), Factored(V, [1, 2, 3])]
    for codes, part in zip(cross_fit(parts, own, 8)[0], parts, strict=True):
        left_out = -decoded(codes)[np.arange(3999), own.ids[1:]].mean()
        part.fit(own)
        said_own, said_new = (-part.log_probabilities(text.ids[:-1])[np.arange(3999), text.ids[1:]].mean()
                              for text in (own, new))
        assert abs(left_out - said_new) < 0.03 * said_new
        assert said_own < 0.95 * left_out


def test_how_many_folds() -> None:
    corpus = Corpus.from_ids([[0, 1, 2]])
    for folds in (1, 4):
        with pytest.raises(ValueError, match=rf"^folds = {folds}; 2 to 3, the tokens of the text, were expected$"):
            cross_fit([KneserNey(V)], corpus, folds)


@pytest.mark.parametrize("boundary", [None, 4])
def test_batches_say_where_their_rows_lie(boundary) -> None:
    corpus = replace(Corpus.from_ids([np.arange(7) % V, [1, 3], np.arange(11) % 4]), boundary=boundary)
    inputs, targets, _ = read_and_predict(corpus)
    for batches in (StreamBatches(corpus, 3, 4, 2, 0), DocumentBatches(corpus, 9, 2, 0)):
        seen = []
        for index in range(batches.per_epoch):
            for shard in batches[index]:
                counted = shard.targets >= 0
                places = shard.positions[counted]
                np.testing.assert_array_equal(shard.batch.ids[counted], inputs[places])
                np.testing.assert_array_equal(shard.targets[counted], targets[places])
                seen += places.tolist()
        assert sorted(seen) == np.flatnonzero(targets >= 0).tolist()


class AlwaysAtOnce(Clock):
    def seconds(self) -> float:
        return 1.0


def folds(models=None, tokens: int = 10_000, unit: str = "char", budget: float | None = None, counting: float = 1.0,
          **policy) -> Folds | None:
    """Decide for two n-gram models of 50 characters, a table of a million bytes, unless said otherwise."""
    timetable = Timetable(budget, AlwaysAtOnce())
    return folds_for(models or [KneserNey(50), KneserNey(50)], tokens, unit, counting, timetable, Policy(**policy))


def test_as_many_folds_as_there_is_time_for() -> None:
    """A fold takes 0.7 of what counting took, and all of them no more than half of the time that is left."""
    assert folds() == Folds(8, 8)
    assert folds(budget=11.0) == Folds(8, 7)
    assert folds(budget=11.0, counting=0.0) == Folds(8, 8)
    assert folds(budget=11.0, fold_seconds=1.4) == Folds(8, 3)
    assert folds(budget=2.0) is None and folds(budget=0.5) is None


def test_the_folds_of_a_long_text_are_counted_and_predicted_one_by_one() -> None:
    """Of 8,000 tokens each of 8 folds has 100 logits for each of 1,000, 2 s at 2e-5 s each; and counting takes 1."""
    assert fold_seconds(8000, 100_000, 1.0, Policy(counted_at_once=7999, fold_logit_seconds=2e-5)) == pytest.approx(3.0)
    assert fold_seconds(8000, 100_000, 1.0, Policy(counted_at_once=8000)) == pytest.approx(0.7)
    long = {"tokens": 8000, "counted_at_once": 7999, "fold_logit_seconds": 2e-5}
    found = folds(budget=19.0, **long)
    assert found == Folds(8, 3) and found.seconds == pytest.approx(3.0)     # half of the 18 s that are left
    assert folds(budget=5.0, **long) is None and folds(budget=19.0, **long | {"counted_at_once": 8000}) == Folds(8, 8)


@pytest.mark.parametrize("at_once", [100, 10**6])
def test_folds_one_by_one_are_those_side_by_side(at_once: int) -> None:
    corpus = Corpus.from_ids([np.random.default_rng(3).integers(0, 9, 3000)])
    policy = Policy(counted_at_once=at_once, rows_predicted=70, shortest_stretch=50)
    usual = cross_fit([KneserNey(9, order=3)], corpus, 8, 3, 1, Policy(shortest_stretch=50))
    for threads in (1, 2):
        table, text = cross_fit([KneserNey(9, order=3)], corpus, 8, 3, threads, policy)
        assert np.array_equal(table, usual[0]) and np.array_equal(text.ids, usual[1].ids)


def test_as_many_folds_as_there_is_memory_for() -> None:
    for limit, wanted in ((1e6, Folds(8, 8)), (4e5, Folds(8, 3)), (5e4, Folds(20, 1))):
        assert folds(budget=101.0, cross_fitted_bytes=limit, least_tokens_corrected=0) == wanted
    assert folds(budget=101.0, cross_fitted_bytes=4e5, least_tokens_corrected=3750) == Folds(8, 3)
    assert folds(budget=101.0, cross_fitted_bytes=4e5, least_tokens_corrected=3751) is None
    assert folds(cross_fitted_bytes=4e5, least_tokens_corrected=0) is None   # passes over all of the text are asked for


def test_characters_of_large_alphabets_are_cross_fitted_where_memory_leaves_enough_to_read() -> None:
    """Of 600 characters a table of 500,000 tokens has 6e8 bytes; of 3,000 a fifth of these tokens would fit,
    by one model two fifths, 200,000: too few to learn from."""
    assert folds([KneserNey(600), KneserNey(600)], 500_000, budget=1e6) == Folds(8, 8)
    assert folds([KneserNey(3000), KneserNey(3000)], 500_000, budget=1e6) is None
    assert folds([KneserNey(3000)], 500_000, budget=1e6) is None
    assert folds([KneserNey(3000)], 500_000, budget=1e6, least_tokens_corrected=187_500) == Folds(8, 3)
    assert folds([KneserNey(3000)], 500_000, budget=1e6, least_tokens_corrected=187_501) is None


def test_what_is_not_cross_fitted() -> None:
    assert folds(unit="word") is None and folds(tokens=1999) is None and folds(tokens=2000) == Folds(8, 8)
    in_part = KneserNey(50).fit([np.zeros(900, np.int32)], most_tokens=300)
    assert not in_part.counted_whole and folds([in_part]) is None
