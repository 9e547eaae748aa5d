"""n-grams of a large vocabulary corrected by networks that are trained on drawn tokens."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import fastlm
from fastlm.auto.cross_fit import count_folds, cross_fit, sampled_folds
from fastlm.auto.policy import Policy
from fastlm.autodiff import Tape
from fastlm.autodiff.tape import variable
from fastlm.batch import Batch
from fastlm.heads.base import READ_LOGITS
from fastlm.models import LSTM, KneserNey, Mixture, SampledCrossFittedLoss
from fastlm.models.mixture.folded import FoldedNGrams
from fastlm.text.corpus import Corpus
from fastlm.training.batches import Shard

V = 11
RNG = np.random.default_rng(5)
CORPUS = Corpus.from_ids([RNG.integers(0, V, 70), RNG.integers(0, V, 1), RNG.integers(0, V, 50)])
SAMPLED = {"name": "sampled", "samples": 6}


def model_of(networks: int = 1, seed: int = 0) -> Mixture:
    """Plain n-grams and LSTMs with sampled softmaxes, of random, unequal parameters."""
    counts = KneserNey(V, order=3).fit(CORPUS)
    lstms = [LSTM(V, hidden=4 + n, width=4 + n, tied=True, output=SAMPLED, seed=n) for n in range(networks)]
    model = Mixture(V, [counts, *lstms], residual=True)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.5
    return model


def folded() -> FoldedNGrams:
    return count_folds([KneserNey(V, order=3)], CORPUS, 3)[0]


def test_words_are_asked_for_and_found_as_in_whole_rows() -> None:
    counts = KneserNey(V, order=4).fit(CORPUS)
    nodes = counts.forward(Batch.one(CORPUS.ids))[0].value
    whole = np.empty((len(nodes), V), np.float32)
    counts.ngrams.log_probabilities(whole, nodes)
    targets = RNG.integers(-1, V, len(nodes)).astype(np.int32)
    for words in ([], [10], [3, 0, 10, 7], list(range(V))):
        out = np.full((len(nodes), 1 + len(words)), 9, np.float32)
        counts.ngrams.of_words(out, nodes, targets, np.array(words, np.int32))
        np.testing.assert_array_equal(out[:, 1:], whole[:, words])
        wanted = np.where(targets < 0, 0, whole[np.arange(len(nodes)), targets])
        np.testing.assert_allclose(out[:, 0], wanted, rtol=1e-6)
    counts.ngrams.of_words(np.empty((0, 2), np.float32), nodes[:0], targets[:0], np.array([1], np.int32))
    with pytest.raises(IndexError, match=r"word\[1\] = 11 is outside the vocabulary of 11"):
        counts.ngrams.of_words(np.empty((1, 3), np.float32), nodes[:1], targets[:1], np.array([1, 11], np.int32))
    with pytest.raises(ValueError, match="out"):
        counts.ngrams.of_words(np.empty((1, 2), np.float32), nodes[:1], targets[:1], np.array([1, 2], np.int32))


@pytest.mark.parametrize("used", [None, 2])
def test_folds_say_what_the_table_of_cross_fitting_says(used: int | None) -> None:
    parts = [KneserNey(V, order=3)]
    table, text = cross_fit(parts, CORPUS, 5, used)
    found, same = count_folds(parts, CORPUS, 5, used, threads=2)
    assert np.array_equal(same.ids, text.ids) and np.array_equal(same.offsets, text.offsets)
    positions = RNG.permutation(len(text.ids))
    words, targets = np.array([2, 5, 8]), RNG.integers(0, V, len(positions)).astype(np.int32)
    log_p = found.log_probabilities(positions, words, targets)
    assert log_p.shape == (1, len(positions), 4)
    wanted = -table[0][positions].astype(float) / 16
    np.testing.assert_allclose(log_p[0, :, 1:], wanted[:, words], atol=1 / 32 + 1e-5)
    np.testing.assert_allclose(log_p[0, :, 0], wanted[np.arange(len(positions)), targets], atol=1 / 32 + 1e-5)


def shard() -> Shard:
    ids = CORPUS.ids[:24].copy()
    targets = CORPUS.ids[1:25].copy()
    targets[5] = -1
    return Shard(Batch.one(ids), targets, np.arange(1, 25))


def run(model: Mixture, loss: SampledCrossFittedLoss, part: Shard) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a shard on a tape of seed 7, and the gradient of every parameter."""
    tape = Tape()
    tape.seed = 7
    with tape:
        rows, _ = model.forward(part.batch)
        value = loss(model, rows, part, 1.0)
        gradients = {}
        tape.backward()
        for name, parameter in model.parameters.items():
            leaf = variable(parameter)
            gradients[name] = leaf.grad_buffer().copy()
    return value, gradients


def test_the_loss_is_that_of_the_formula() -> None:
    """Both cross-entropies over the target and the drawn words, whose logits lose the log of their chance."""
    model, folds, part = model_of(), folded(), shard()
    value, _ = run(model, SampledCrossFittedLoss(folds, 0.3), part)
    tape = Tape()
    tape.seed = 7
    head = model.parts[1].head
    words = head.draw(tape)
    rows = model.parts[1].forward(part.batch)[0].value.astype(float)
    own = {name: parameter.value.astype(float) for name, parameter in model.own_parameters.items()}
    shares = []
    for weight, bias, share in ((head.weight.value, head.bias.value, 0.3),
                                (own["correction1"], own["correction_bias1"], 0.7)):
        logits = rows @ weight.astype(float).T + bias - head.log_chance
        if share == 0.7:
            every = np.empty((24, V))
            for word in range(V):
                every[:, word] = folds.log_probabilities(part.positions, np.array([word]), part.targets)[0, :, 1]
            logits += (rows @ own["scale1"] + own["scale_bias1"]) * every
        total = 0.0
        for n, target in enumerate(part.targets.tolist()):
            if target >= 0:
                among = np.append(words[words != target], target)
                total -= logits[n, target] - np.logaddexp.reduce(logits[n, among])
        shares.append(share * total)
    assert value == pytest.approx(sum(shares), rel=1e-4)


@pytest.mark.parametrize("networks", [1, 2])
def test_gradients_are_those_of_differences(networks: int) -> None:
    loss, part = SampledCrossFittedLoss(folded(), 0.4), shard()
    model = model_of(networks)
    _, gradients = run(model, loss, part)
    scale = networks ** 0.5   # the gradients of several networks are divided by the root of their number
    for name, parameter in model.parameters.items():
        flat, found = parameter.value.reshape(-1), gradients[name].reshape(-1)
        for at in RNG.integers(0, flat.size, 4):
            kept, values = flat[at], []
            for step in (1e-2, -1e-2):
                flat[at] = kept + step
                values.append(run(model, loss, part)[0])
            flat[at] = kept
            wanted = (values[0] - values[1]) / 2e-2 * networks / scale
            assert found[at] == pytest.approx(wanted, rel=0.03, abs=0.02), name


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network_loss_share = 1.0; a share of the loss between 0 and 1 was expected"):
        SampledCrossFittedLoss(folded(), 1.0)
    full = Mixture(V, [KneserNey(V, order=2), LSTM(V, hidden=3)], residual=True)
    with pytest.raises(ValueError, match="trains a Mixture with a residual of sampled softmaxes, not <Mixture"):
        SampledCrossFittedLoss(folded(), 0.5).check(full)
    two = replace_rows(folded())
    with pytest.raises(ValueError, match="the folds have 2 count models; 1 were expected"):
        SampledCrossFittedLoss(two, 0.5).check(model_of())


def replace_rows(one: FoldedNGrams) -> FoldedNGrams:
    return FoldedNGrams([[*models, *models] for models in one.models], one.fold, np.concatenate([one.rows, one.rows]))


def test_a_mixture_of_it_is_a_distribution_and_is_kept(tmp_path) -> None:
    model = model_of(2)
    p = np.exp(model.log_probabilities([3, 1, 4, 1, 5]))
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert model.own_parameters["correction1"].value.shape == (V, 4) and model.residual.corrected == 1
    lm = fastlm.LanguageModel(fastlm.Vocabulary(list("abcdefghijk")), model)
    lm.save(tmp_path / "m")
    again = fastlm.load(tmp_path / "m")
    assert again.digest() == lm.digest() and again.score("a b c").nats == lm.score("a b c").nats
    small = lm.quantized()
    assert small.score("a b c d e").nats == pytest.approx(lm.score("a b c d e").nats, rel=0.02)


TEXT = ["".join(f"{word} " for word in RNG.permutation(60)) + "\n" for _ in range(60)]
POLICY = Policy(full_softmax_up_to=5, least_tokens_cross_fitted=100)


@pytest.mark.parametrize("unit", ["word", "piece"])
def test_train_corrects_and_a_plan_repeats_it(unit: str) -> None:
    lm = fastlm.train(TEXT, unit, model="mixture", epochs=0.2, policy=POLICY, seed=3)
    assert lm.model.residual is not None and lm.model.residual.samples is not None
    assert (lm.plan.folds, lm.plan.fitted_folds, lm.plan.network_loss_share) == (4, 4, 0.4)
    again = fastlm.train(TEXT, unit, plan=lm.plan, policy=POLICY, threads=1)
    assert again.digest() == lm.digest()


def test_short_runs_do_not_correct() -> None:
    from fastlm.auto.cross_fit import folds_for
    from tests.auto.test_blend import Timetable, Turned
    counts = [KneserNey(V, order=2).fit(CORPUS)]
    for budget, found in ((19.0, None), (20.0, 4)):
        folds = folds_for(counts, 9999, "word", 0.01, Timetable(budget, Turned(1.0)), Policy(), True)
        assert (folds and folds.used) == found
    words = replace(Policy().words, sampled_networks_correct=False)
    assert folds_for(counts, 9999, "word", 0.01, Timetable(99.0, Turned(1.0)), Policy(words=words), True) is None
    assert sampled_folds(100, False, Policy(folded_bytes=350.0)) is None


def test_no_more_logits_are_in_memory_than_a_document_is_read_by() -> None:
    """A long document is read in parts, for which a tape lends the same buffers again and again."""
    vocab_size, rng = 3000, np.random.default_rng(0)
    corpus = Corpus.from_ids([rng.integers(vocab_size, size=9000)])
    network = LSTM(vocab_size, hidden=4, output={"name": "sampled", "samples": 64})
    mixture = Mixture(vocab_size, [KneserNey(vocab_size, order=2).fit(corpus), network], residual=True)
    assert mixture.rows_together() == READ_LOGITS // vocab_size < 9000 // 4
    tracemalloc.start()
    mixture.score(corpus.ids[:-1], corpus.ids[1:])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * 4 * READ_LOGITS < 3 * 4 * len(corpus.ids) * vocab_size
