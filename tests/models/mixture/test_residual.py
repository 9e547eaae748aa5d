"""n-grams corrected by a network, beyond the laws that every model keeps."""

import numpy as np
import pytest

import fastlm
from fastlm.auto.cross_fit import cross_fit
from fastlm.autodiff import Tape
from fastlm.autodiff.tape import Variable, variable
from fastlm.batch import Batch
from fastlm.files import modelfile
from fastlm.models import LSTM, CrossFittedLoss, DecayedBag, Factored, KneserNey, Mixture
from fastlm.models.mixture.loss import add_coded, to_bytes
from fastlm.training.batches import Shard
from tests import oracle

V = 7
RNG = np.random.default_rng(3)
TEXT = [RNG.integers(0, V, 40), RNG.integers(0, V, 23)]


def corrected(parts, vocab_size: int = V) -> Mixture:
    return Mixture(vocab_size, parts, residual=True)


def fitted(seed: int = 0) -> Mixture:
    """Counts of TEXT and a network of random, unequal parameters."""
    model = corrected([KneserNey(V, order=3).fit(TEXT), Factored(V, [2]).fit(TEXT), LSTM(V, hidden=5, width=3)])
    rng = np.random.default_rng(seed)
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.6
    return model


def test_what_is_corrected_begins_as_the_ngrams_with_nine_tenths_of_the_weight() -> None:
    model = corrected([KneserNey(V, order=3).fit(TEXT), LSTM(V, hidden=5, seed=1)])
    ids = [3, 1, 4, 1, 5]
    counts, network = (np.exp(part.log_probabilities(ids).astype(float)) for part in model.parts)
    np.testing.assert_allclose(np.exp(model.log_probabilities(ids)), 0.95 * counts + 0.05 * network, rtol=1e-5)


def test_of_several_ngrams_the_third_begins_as_their_geometric_mean() -> None:
    """Two n-grams of 3 words say 1/2 1/4 1/4 and 1/8 1/2 3/8: sqrt(1/16), sqrt(1/8), sqrt(3/32) of a sum of 0.9097."""
    ngrams = []
    for p in ([0.5, 0.25, 0.25], [0.125, 0.5, 0.375]):
        ngrams.append(KneserNey(3, order=1).fit([[0, 1, 2]]))
        ngrams[-1].tables["unigrams"][:] = np.log(p)
    model = corrected([*ngrams, LSTM(3, hidden=2)], 3)
    model.weights = np.array([1e-9, 1e-9, 1e-9, 1 - 3e-9])
    np.testing.assert_allclose(np.exp(model.log_probabilities([1])), [[0.27481, 0.38864, 0.33657]], atol=1e-4)


def test_what_is_shown_has_all_of_the_weight() -> None:
    model = corrected([KneserNey(V, order=1), LSTM(V, hidden=2), LSTM(V, hidden=3)])
    model.weights = np.array([0.1, 0.02, 0.03, 0.35, 0.5])
    assert repr(model).endswith(", 0.35 n-grams corrected by the LSTM, 0.50 n-grams corrected by the LSTM>")


def test_probabilities_in_a_byte() -> None:
    logs = np.array([[0.0, -0.02, -0.04, -1.0, -15.9, -99.0, -np.inf]], np.float32)
    codes = to_bytes(logs)
    assert codes.tolist() == [[0, 0, 1, 16, 254, 255, 255]]
    shift, scale = Variable(np.ones((1, 7), np.float32)), Variable(np.full((1, 1), 2, np.float32))
    assert add_coded(shift, scale, codes[None], np.zeros(1, np.int32)).value.tolist() == [
        [1, 1, 0.875, -1, -30.75, -30.875, -30.875]]


def test_gradients_are_those_of_a_tenth_and_nine_of_the_losses() -> None:
    model = fitted()
    table = RNG.integers(0, 90, (2, 63, V)).astype(np.uint8)
    sequences, wanted = [text[:-1] for text in TEXT], [text[1:] for text in TEXT]
    batch, targets = Batch.of(sequences), Batch.of(wanted).ids.copy()
    positions = Batch.of([np.arange(39), np.arange(40, 62)]).ids
    targets[[2, 30]] = -1
    tape = Tape()
    with tape:
        x, _ = model.forward(batch)
        loss = CrossFittedLoss(table, 0.1)(model, x, Shard(batch, targets, positions), 0.1)
        leaves = {name: variable(parameter) for name, parameter in model.parameters.items()}
        tape.backward()
        gradients = {name: leaf.gradient.copy() for name, leaf in leaves.items()}
    logs = table[:, positions] / -16
    steps = [(np.arange(a, b), np.arange(b - a)) for a, b in batch.steps()]
    starts = np.zeros(len(batch), bool)
    state = {name: array.astype(float) for name, array in model.parts[2].start(2).arrays.items()}
    rows = np.flatnonzero(targets >= 0)

    def form(values):
        own = oracle.lstm_model(model.parts[2], values, batch.ids, steps, starts, state)
        plain = values | {"output": np.eye(5), "output_bias": np.zeros(1)}
        x = oracle.lstm_model(model.parts[2], plain, batch.ids, steps, starts, state)
        scale = x @ values["scale2"] + values["scale_bias2"]
        corrected = scale[:, [0]] * logs[0] + scale[:, [1]] * logs[1] + x @ values["correction2"]
        return -sum(share * oracle.log_softmax(logits)[rows, targets[rows]].sum()
                    for share, logits in ((0.1, own), (0.9, corrected + values["correction_bias2"])))
    values = {name: parameter.value.astype(float) for name, parameter in model.parameters.items()}
    assert loss == pytest.approx(form(values), rel=1e-6)
    for name, gradient in gradients.items():
        scale = np.abs(gradient).max()
        assert scale > 1e-4, name
        for entry in RNG.permutation(gradient.size)[:12]:
            ends = []
            for step in (1e-5, -1e-5):
                moved = values[name].copy()
                moved.reshape(-1)[entry] += step
                ends.append(form(values | {name: moved}))
            assert abs(0.1 * (ends[0] - ends[1]) / 2e-5 - gradient.reshape(-1)[entry]) < 2e-5 * scale + 1e-7, name


def test_training_beats_the_ngrams_it_starts_from_on_new_text() -> None:
    """A long-range rule that trigrams cannot see: every ninth token repeats the first of the nine."""
    rng = np.random.default_rng(8)

    def draw(count):
        out = []
        for _ in range(count):
            nine = rng.integers(1, V, 8).tolist()
            out += [0, *nine[:2], nine[0], *nine[3:], nine[0]]
        return out
    own, other = draw(500), draw(60)
    model = corrected([KneserNey(V, order=3).fit([own]), LSTM(V, hidden=24, width=8)])
    table, _ = cross_fit(model.parts[:1], fastlm.Corpus.from_ids([own]), 8)
    loss = CrossFittedLoss(table, 0.5)
    fastlm.Trainer(model, fastlm.optim.AdamW(lr=1e-2), loss=loss, threads=2).fit([own], epochs=30)
    rows, _ = model.forward(Batch.of([other[:-1]]))
    counts, network, third = (nll.mean() for nll in model.head.nll_by_part(rows.value, np.array(other[1:], np.int32)))
    assert third < 0.9 * counts and network < counts


@pytest.mark.parametrize("small", [False, True])
def test_it_is_kept_in_a_file(small, tmp_path) -> None:
    vocabulary = fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char")
    lm = fastlm.LanguageModel(vocabulary, fitted())
    lm.model.estimate_weights([RNG.exponential(1, 400) for _ in range(4)], RNG.normal(size=(400, 6)))
    if small:
        lm = lm.quantized()
    lm.save(tmp_path / "m.fastlm")
    again = fastlm.load(tmp_path / "m.fastlm")
    assert again.digest() == lm.digest() and again.score("abcab").nats == lm.score("abcab").nats
    assert "".join(again.generate("a", 9, seed=4)) == "".join(lm.generate("a", 9, seed=4))
    assert (again.model.parameters["recurrent0"] is again.model.parts[2].parameters["recurrent0"])


@pytest.mark.parametrize(("damage", "message"), [
    (lambda t: t.pop("model/correction2"), "parameter correction2 is nothing; shape (5, 7) was expected"),
    (lambda t: t.update({"model/correction2": np.zeros((5, 6), np.float32)}),
     "parameter correction2 is (5, 6); shape (5, 7) was expected"),
    (lambda t: t.update({"model/scale2": np.zeros((5, 3), np.float32)}),
     "parameter scale2 is (5, 3); shape (5, 2) was expected"),
    (lambda t: t.update({"model/correction_bias2": np.zeros(7, np.int8)}),
     "parameter correction_bias2 is int8; float16, float32, or int8 with a scale, was expected"),
    (lambda t: t.update({"model/gate": np.zeros((6, 2))}), "finite numbers of shape (6, 4) were expected"),
    (lambda t: t.update({"model/gate": np.full((6, 4), 1e9)}), "finite numbers of shape (6, 4) were expected"),
])
def test_damaged_files(damage, message, tmp_path) -> None:
    vocabulary = fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char")
    fastlm.LanguageModel(vocabulary, fitted()).save(tmp_path / "m.fastlm")
    tensors, metadata = modelfile.load(tmp_path / "m.fastlm")
    damage(tensors)
    modelfile.save(tmp_path / "m.fastlm", tensors, metadata)
    with pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(tmp_path / "m.fastlm")
    assert message in str(caught.value)


@pytest.mark.parametrize("parts", [
    [KneserNey(V)], [KneserNey(V), KneserNey(V)], [LSTM(V, hidden=2), KneserNey(V)],
    [KneserNey(V), LSTM(V, hidden=2), KneserNey(V)], [DecayedBag(V, width=2), LSTM(V, hidden=2)],
    [KneserNey(V), Mixture(V, [KneserNey(V), DecayedBag(V, width=2)])]])
def test_what_it_cannot_be_made_of(parts) -> None:
    with pytest.raises(ValueError) as caught:
        corrected(parts)
    kinds = ", ".join(type(part).__name__ for part in parts)
    assert str(caught.value) == f"parts are {kinds}; a KneserNey first and networks last were expected"


@pytest.mark.parametrize("own", [0, 1.0, -0.1])
def test_the_networks_have_a_share_of_the_loss(own) -> None:
    with pytest.raises(ValueError, match=rf"^network_loss_share = {own}; a share of the loss between 0 and 1 was exp"):
        CrossFittedLoss(np.zeros((1, 3, V), np.uint8), own)


@pytest.mark.parametrize(("model", "message"), [
    (lambda: LSTM(V, hidden=2), r"a CrossFittedLoss trains a Mixture with a residual, not <LSTM\(.*"),
    (lambda: Mixture(V, [KneserNey(V), LSTM(V, hidden=2)]), "a CrossFittedLoss trains a Mixture with a residual, not"),
    (lambda: corrected([KneserNey(V), Factored(V, [1]), LSTM(V, hidden=2)]),
     r"log_probabilities have shape \(1, 3, 7\); 2 count models of 7 ids were expected$")])
def test_what_the_loss_trains(model, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        fastlm.Trainer(model(), loss=CrossFittedLoss(np.zeros((1, 3, V), np.uint8), 0.5))
