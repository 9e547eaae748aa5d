"""Networks trained side by side, beyond the laws that every model keeps."""

import numpy as np
import pytest

import fastlm
from fastlm.autodiff import Tape
from fastlm.autodiff.tape import variable
from fastlm.batch import Batch
from fastlm.models import LSTM, CrossFittedLoss, DecayedBag, Factored, KneserNey, Mixture
from fastlm.training.batches import Shard
from fastlm.training.losses import HeadLoss

V = 7
RNG = np.random.default_rng(5)
TEXT = [RNG.integers(0, V, 40), RNG.integers(0, V, 23)]


def drawn(model, seed=0):
    rng = np.random.default_rng(seed)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.6
    return model


def gradients(model, scale, table=None, share=0.5):
    """The loss of TEXT, and the gradient of every parameter."""
    objective = HeadLoss("cross_entropy") if table is None else CrossFittedLoss(table, share)
    batch, targets = Batch.of([text[:-1] for text in TEXT]), Batch.of([text[1:] for text in TEXT]).ids.copy()
    positions = Batch.of([np.arange(39), np.arange(40, 62)]).ids
    targets[[2, 30]] = -1
    tape = Tape()
    with tape:
        x, _ = model.forward(batch)
        loss = objective(model, x, Shard(batch, targets, positions), scale)
        leaves = {name: variable(parameter) for name, parameter in model.parameters.items()}
        tape.backward()
        return loss, {name: leaf.gradient.copy() for name, leaf in leaves.items()}


def test_each_network_has_its_own_loss_and_the_gradients_norm_is_of_one() -> None:
    both = drawn(Mixture(V, [KneserNey(V, order=2), LSTM(V, hidden=5, width=3), DecayedBag(V, width=3, hidden=4)]))
    loss, found = gradients(both, 0.1)
    losses, wanted = zip(*(gradients(part, 0.1) for part in both.parts[1:]), strict=True)
    assert loss == pytest.approx(sum(losses) / 2, rel=1e-6)
    assert found.keys() == {f"{k}/{name}" for k in (1, 2) for name in wanted[k - 1]}
    for name, gradient in found.items():
        part, own = name.split("/")
        np.testing.assert_allclose(gradient, wanted[int(part) - 1][own] / 2**0.5, rtol=1e-4, atol=1e-7)


def test_two_corrected_networks_are_two_models_corrected_by_one() -> None:
    table = RNG.integers(0, 200, (2, 63, V)).astype(np.uint8)
    parts = [KneserNey(V, order=3).fit(TEXT), Factored(V, [2]).fit(TEXT)]
    both = drawn(Mixture(V, [*parts, LSTM(V, hidden=5, width=3), LSTM(V, hidden=4, width=2)], residual=True))
    loss, found = gradients(both, 0.1, table)
    total = 0.0
    for index in (2, 3):
        one = Mixture(V, [*parts, both.parts[index]], residual=True)
        for name, parameter in one.parameters.items():
            parameter.value[:] = both.parameters[
                name.replace("2", str(index)) if name.startswith(("correction", "scale")) else f"{index}/{name}"].value
        alone, wanted = gradients(one, 0.1, table)
        total += alone / 2
        for name, gradient in wanted.items():
            own = name.replace("2", str(index)) if name.startswith(("correction", "scale")) else f"{index}/{name}"
            np.testing.assert_allclose(found[own], gradient / 2**0.5, rtol=1e-4, atol=1e-7)
    assert loss == pytest.approx(total, rel=1e-6)


def test_what_is_corrected_in_training_is_the_table_at_the_batchs_places() -> None:
    """U, S and c are zero, so the loss is a tenth of the network's and nine tenths of the table's own."""
    table = RNG.integers(0, 200, (1, 63, V)).astype(np.uint8)
    model = Mixture(V, [KneserNey(V, order=2).fit(TEXT), LSTM(V, hidden=3)], residual=True)
    loss, _ = gradients(model, 1.0, table, 0.1)
    network, _ = gradients(model.parts[1], 1.0)
    targets = Batch.of([text[1:] for text in TEXT]).ids
    places = Batch.of([np.arange(39), np.arange(40, 62)]).ids
    counted = np.setdiff1d(np.arange(61), [2, 30])
    rows = table[0, places[counted]] / -16
    rows -= np.log(np.exp(rows).sum(1, keepdims=True))
    assert loss == pytest.approx(network / 10 - rows[np.arange(59), targets[counted]].sum() * 0.9, rel=1e-5)


class Unread(KneserNey):
    """Counts that no batch may be read by."""

    def forward(self, batch, state=None):
        raise AssertionError("the n-grams were read")


def test_ngrams_are_not_read_in_training_where_they_are_not_needed() -> None:
    text = np.random.default_rng(0).integers(0, V, 500)
    model = Mixture(V, [Unread(V, order=2).fit([text]), LSTM(V, hidden=5), LSTM(V, hidden=5, seed=1)])
    fastlm.Trainer(model, threads=1).fit([text], epochs=1)
    first, second = (part.parameters["recurrent0"].value for part in model.parts[1:])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bytes_on_any_number_of_threads(threads) -> None:
    def trained(threads):
        model = drawn(Mixture(V, [KneserNey(V, order=3).fit([text]), LSTM(V, hidden=5, dropout=0.2),
                                  LSTM(V, hidden=5, seed=1, dropout=0.2)], residual=True))
        table = np.random.default_rng(2).integers(0, 90, (1, 1500, V)).astype(np.uint8)
        fastlm.Trainer(model, loss=CrossFittedLoss(table, 0.5), threads=threads).fit([text], epochs=2)
        return b"".join(parameter.value.tobytes() for parameter in model.parameters.values())
    text = np.random.default_rng(1).integers(0, V, 1500)
    assert trained(threads) == trained(1)


@pytest.mark.parametrize("small", [False, True])
def test_it_is_kept_in_a_file(small, tmp_path) -> None:
    vocabulary = fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char")
    parts = [KneserNey(V, order=3).fit(TEXT), Factored(V, [2, 1]).fit(TEXT)]
    parts += [LSTM(V, hidden=5), LSTM(V, hidden=5, seed=1)]
    for model in (drawn(Mixture(V, parts)), drawn(Mixture(V, parts, residual=True))):
        lm = fastlm.LanguageModel(vocabulary, model)
        if small:
            lm = lm.quantized()
        lm.save(tmp_path / "m.fastlm")
        again = fastlm.load(tmp_path / "m.fastlm")
        assert again.digest() == lm.digest() and again.score("abcab").nats == lm.score("abcab").nats
        assert again.model.parameters["2/recurrent0"] is again.model.parts[2].parameters["recurrent0"]


def test_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"^a Mixture of count models is not trained; fit its parts, then estimate"):
        fastlm.Trainer(Mixture(V, [KneserNey(V), Factored(V, [1])]))
    model = Mixture(V, [KneserNey(V).fit(TEXT), LSTM(V, hidden=2)], residual=True)
    with pytest.raises(ValueError, match=r"^loss = 'cross_entropy'; networks that correct n-grams are trained by a Cr"):
        fastlm.Trainer(model, threads=1)
    with pytest.raises(ValueError, match=r"^loss = 'squared'; the output layer MixtureHead has cross_entropy$"):
        fastlm.Trainer(Mixture(V, [LSTM(V, hidden=2)]), loss="squared")


def test_a_vector_that_nothing_reads_stays_as_it_is() -> None:
    model = LSTM(V, hidden=3)
    unread, number = model.parameter("unread", np.array([1.0, 2.0])), model.parameter("number", np.array(3.0))
    fastlm.Trainer(model, threads=1).fit(TEXT, epochs=1)
    assert (unread.value.tolist(), number.value.tolist()) == ([1.0, 2.0], 3.0)
