"""Parts of no weight are dropped, and nothing is lost with them."""

import numpy as np
import pytest

import fastlm
from fastlm import Corpus
from fastlm.auto.evaluate import Weighed, nll_by_part
from fastlm.auto.policy import Policy
from fastlm.auto.prune import distributions, negligible_parts, owned, small_parts, without
from fastlm.models import LSTM, DecayedBag, Factored, KneserNey, Mixture

V = 7
POLICY = Policy()


def random(model, seed: int = 0):
    """Give a model parameters that are far from zero and unequal."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(0, 0.7, parameter.shape)
    return model


def corrected(networks: int = 2) -> Mixture:
    lstms = [LSTM(V, hidden=3 + seed, seed=seed) for seed in range(networks)]
    parts = [KneserNey(V, order=3), Factored(V, [2]), *lstms]
    for part in parts[:2]:
        part.fit([np.random.default_rng(3).integers(0, V, 90).astype(np.int32)])
    return random(Mixture(V, parts, residual=True))


def ensemble() -> Mixture:
    model = Mixture(V, [KneserNey(V, order=2), LSTM(V, hidden=3), DecayedBag(V, width=4), LSTM(V, hidden=5)])
    model.parts[0].fit([np.random.default_rng(3).integers(0, V, 90).astype(np.int32)])
    return random(model)


def weighed(nll: list[list[float]], repeat: int = 400) -> Weighed:
    table = np.repeat(np.array(nll, np.float64), repeat, axis=1)
    return Weighed(table, None, np.arange(table.shape[1]))


def test_a_part_that_says_nothing_new_is_dropped() -> None:
    """The second says of every token what the first does, two nats worse."""
    model = Mixture(V, [KneserNey(V), KneserNey(V)])
    assert negligible_parts(model, weighed([[1.0, 2.0], [3.0, 4.0]]), POLICY) == [1]
    assert negligible_parts(model, weighed([[3.0, 4.0], [1.0, 2.0]]), POLICY) == [0]
    assert negligible_parts(model, weighed([[1.0, 4.0], [3.0, 2.0]]), POLICY) == []


def test_a_part_that_rare_tokens_need_is_kept() -> None:
    """One token in 300 is far likelier by the second, which has a weight of less than a hundredth."""
    nll = np.concatenate([np.tile([[1.0], [4.0]], 2990), np.tile([[9.0], [0.1]], 10)], axis=1)
    nll = nll[:, np.random.default_rng(0).permutation(3000)]
    model, found = Mixture(V, [KneserNey(V), KneserNey(V)]), Weighed(nll, None, np.arange(3000))
    assert negligible_parts(model, found, POLICY) == [] and 0.003 < model.weights[1] < 0.01
    assert negligible_parts(model, found, Policy(negligible_loss=0.1)) == [1]
    assert negligible_parts(model, found, Policy(negligible_loss=0.1, negligible_weight=0.003)) == []
    # without it a token is 0.007 worse, with a standard error of 0.0035
    assert negligible_parts(model, found, Policy(negligible_loss=0.01)) == []
    assert negligible_parts(model, found, Policy(negligible_loss=0.01, negligible_certainty=0.0)) == [1]
    assert negligible_parts(model, found, Policy(negligible_loss=0.1, negligible_certainty=30.0)) == []


def test_one_part_is_left() -> None:
    everything = Policy(negligible_weight=1.1, negligible_loss=99.0)
    model = Mixture(V, [KneserNey(V), KneserNey(V), KneserNey(V)])
    assert negligible_parts(model, weighed([[1.0, 2.0], [1.1, 2.1], [3.0, 4.0]]), everything) == [1, 2]


def test_the_weight_of_a_network_is_its_own_and_that_of_what_it_corrects() -> None:
    model = corrected()
    assert owned(model) == [[0], [1], [2, 4], [3, 5]] and owned(ensemble()) == [[0], [1], [2], [3]]
    assert distributions(model, [2]) == [0, 1, 3, 5] and distributions(model, []) == [0, 1, 2, 3, 4, 5]
    light = np.array([0.001, 0.001, 0.001, 0.002, 0.5, 0.003])
    assert small_parts(model, light, 0.01) == [3]            # n-grams stay: they are corrected
    assert small_parts(model, light[[0, 1, 2, 3, 2, 3]], 0.01) == [2, 3]
    assert small_parts(ensemble(), np.array([0.003, 0.1, 0.001, 0.2]), 0.01) == [2, 0]


def test_the_n_grams_that_the_gate_reads_stay() -> None:
    model = ensemble()
    model.gate[2, 1] = 0.5
    assert small_parts(model, np.array([0.003, 0.1, 0.001, 0.2]), 0.01) == [2]


@pytest.mark.parametrize("dropped", [[], [2], [3], [1, 3], [0], [0, 1, 3]])
def test_what_is_left_says_what_it_said(dropped: list[int]) -> None:
    check(ensemble(), dropped)


@pytest.mark.parametrize("dropped", [[], [2], [3], [2, 3], [3, 4]])
def test_what_is_left_of_networks_that_correct_says_what_it_said(dropped: list[int]) -> None:
    check(corrected(3), dropped)


def check(model: Mixture, dropped: list[int]) -> None:
    corpus = Corpus.from_ids([np.random.default_rng(1).integers(0, V, 50).astype(np.int32)])
    before = nll_by_part(model, corpus, 1, 50, POLICY).nll
    left = without(model, dropped)
    assert len(left.parts) == len(model.parts) - len(dropped)
    after = nll_by_part(left, corpus, 1, 50, POLICY).nll
    np.testing.assert_array_equal(after, before[distributions(model, dropped)])
    again = fastlm.PrefixModel.build(left.config())
    again.restore(left.tensors())
    np.testing.assert_array_equal(again.log_probabilities([1, 2, 0]), left.log_probabilities([1, 2, 0]))


def test_kinds_of_what_is_left() -> None:
    assert without(corrected(), [2]).residual is not None and without(corrected(), [2, 3]).residual is None
    assert without(ensemble(), [0, 1]).networks == [0, 1] and without(ensemble(), [1, 2, 3]).networks == []


def test_what_is_corrected_must_stay() -> None:
    with pytest.raises(ValueError) as caught:
        without(corrected(), [1])
    assert str(caught.value) == "dropped = [1]; the first 2 parts are corrected by networks and must stay"
    with pytest.raises(ValueError, match=r"^parts is empty; at least one model was expected$"):
        without(ensemble(), [0, 1, 2, 3])


def text(seed: int) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(f"w{(5 * i + int(rng.integers(0, 4))) % 30}" for i in range(3000))


@pytest.mark.parametrize(("unit", "kinds"), [("word", 1), ("char", 3)])
def test_a_run_that_dropped_parts_is_kept_repeated_and_continued(unit: str, kinds: int, tmp_path) -> None:
    """Of words all parts but the heaviest go; of characters the n-grams, which the network corrects, must stay."""
    ruthless = Policy(negligible_weight=1.1, negligible_loss=99.0)

    def run(**options) -> fastlm.LanguageModel:
        return fastlm.train([text(1)], unit, threads=1, policy=ruthless, **options)
    lm = run(epochs=0.5, checkpoint=tmp_path / "run")
    parts = getattr(lm.model, "parts", [lm.model])
    assert len(parts) == kinds and lm.plan.dropped and lm.history.ended.endswith(" of no weight")
    assert lm.perplexity([text(2)]) < 40
    lm.save(tmp_path / "lm.fastlm")
    assert fastlm.load(tmp_path / "lm.fastlm").digest() == lm.digest()
    again = fastlm.train([text(1)], unit, plan=fastlm.load(tmp_path / "lm.fastlm").plan, threads=2)   # usual policy
    assert again.plan == lm.plan and again.digest() == lm.digest()
    assert run(epochs=0.5, checkpoint=tmp_path / "run").digest() == lm.digest()


@pytest.mark.parametrize("unit", ["word", "char"])
def test_a_part_of_no_weight_is_dropped_and_the_loss_stays(unit: str) -> None:
    """A network that has hardly been trained adds nothing to the n-grams."""
    def run(weight: float) -> fastlm.LanguageModel:
        return fastlm.train([text(3) * 3], unit, epochs=0.002, threads=1, policy=Policy(negligible_weight=weight))
    kept, less = run(0.0), run(0.01)
    assert not kept.plan.dropped and 3 in less.plan.dropped
    assert type(less.model) is Mixture and not less.model.parameters
    assert less.evaluate([text(4)]).nats_per_token == pytest.approx(kept.evaluate([text(4)]).nats_per_token, abs=0.001)
