"""Prefix models mixed by weights, beyond the laws that every model keeps."""

import numpy as np
import pytest

import fastlm
from fastlm.files import modelfile
from fastlm.models import LSTM, DecayedBag, KneserNey, Mixture, PositionalOneHot


def of_two() -> Mixture:
    """Kneser-Ney of a short text and an untrained network, 7 ids."""
    return Mixture(7, [KneserNey(7, order=2).fit([[1, 2, 3, 1, 2, 4]]), LSTM(7, hidden=3, seed=2)])


def test_by_hand() -> None:
    """Both parts know one word each: 3/4 of an even guess over 4 and 1/4 of a certainty."""
    certain, even = PositionalOneHot(4, max_length=1), PositionalOneHot(4, max_length=1)
    certain.output_bias.value[:] = [0, 90, 0, 0]
    model = Mixture(4, [even, certain])
    model.weights = np.array([0.75, 0.25])
    np.testing.assert_allclose(np.exp(model.log_probabilities([2])[0]), [3 / 16, 7 / 16, 3 / 16, 3 / 16], rtol=1e-6)
    rows, _ = model.forward(fastlm.Batch.of([[2, 0]]))
    nats = model.head.nats(rows, np.array([1, -1], np.int32))
    np.testing.assert_allclose(nats, [-np.log(7 / 16), 0], rtol=1e-6)


def test_weights_by_hand() -> None:
    """Two tokens, each impossible for one part: one count each and one for luck, so a half; a third that both give the
    same probability changes nothing; where the first part alone is ever right it has 3 of 4."""
    never = 800.0
    model = of_two()
    nll = [np.array([0, never, 1]), np.array([never, 0, 1])]
    np.testing.assert_allclose(model.estimate_weights(nll).weights, [0.5, 0.5])
    np.testing.assert_allclose(model.estimate_weights([np.zeros(2), np.full(2, never)]).weights, [0.75, 0.25])
    np.testing.assert_allclose(model.estimate_weights([np.zeros(0), np.zeros(0)]).weights, [0.5, 0.5])


def test_fitted_weights_are_the_likeliest() -> None:
    rng = np.random.default_rng(0)
    nats = rng.exponential(2, (3, 4000)) + np.array([[0.3], [0.0], [1.0]])
    model = Mixture(7, [LSTM(7, hidden=2), DecayedBag(7, width=2), KneserNey(7)]).estimate_weights(nats)

    def loss(weights):
        return -np.log(weights @ np.exp(-nats)).mean()
    assert model.weights.sum() == pytest.approx(1, abs=1e-12)
    best = loss(model.weights)
    for _ in range(50):
        moved = model.weights * np.exp(0.1 * rng.normal(size=3))
        assert loss(moved / moved.sum()) > best - 1e-6
    assert best < min(part.mean() for part in nats)


def test_it_is_kept_in_a_file(tmp_path) -> None:
    vocabulary = fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char")
    model = of_two()
    model.weights = np.array([0.3, 0.7])
    lm = fastlm.LanguageModel(vocabulary, model)
    lm.save(tmp_path / "mixed.fastlm")
    again = fastlm.load(tmp_path / "mixed.fastlm")
    assert again.digest() == lm.digest() and again.score("abcab").nats == lm.score("abcab").nats
    assert again.next_tokens("ab", 3) == lm.next_tokens("ab", 3)
    assert "".join(again.generate("a", 9, seed=4)) == "".join(lm.generate("a", 9, seed=4))


def damaged(change, tmp_path):
    """The message that loading a file gives whose tensors and metadata were changed."""
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char"), of_two())
    lm.save(tmp_path / "mixed.fastlm")
    tensors, metadata = modelfile.load(tmp_path / "mixed.fastlm")
    change(tensors, metadata)
    modelfile.save(tmp_path / "mixed.fastlm", tensors, metadata)
    with pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(tmp_path / "mixed.fastlm")
    return str(caught.value)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [[0.5, 0.5]]])
def test_weights_of_a_file_are_checked(weights, tmp_path) -> None:
    def change(tensors, metadata):
        tensors["model/weights"] = np.array(weights)
    assert "2 positive numbers of sum 1 were expected" in damaged(change, tmp_path)


def test_a_file_may_not_ask_for_large_parts(tmp_path) -> None:
    def change(tensors, metadata):
        metadata["config"] = metadata["config"].replace('"hidden": 3', '"hidden": 30000')
    assert "an array of shape (30000, 120000) would take 14,400,000,000 bytes; at most " in damaged(change, tmp_path)


def test_tensors_of_no_use_are_refused(tmp_path) -> None:
    def change(tensors, metadata):
        tensors["model/5/more"] = np.zeros(2, np.float32)
    assert "parameters ['5/more'] of no use" in damaged(change, tmp_path)


MESSAGES = {
    "parts is empty; at least one model was expected": lambda: Mixture(7, []),
    "<KneserNey(vocab_size=5, order=5, boundary=None), 5 n-grams> is for 5 ids; one for 7 was expected":
        lambda: Mixture(7, [KneserNey(5)]),
    "nll of [2, 3] tokens were given; as many for each of the 2 parts were expected":
        lambda: of_two().estimate_weights([np.zeros(2), np.zeros(3)]),
    "nll of [2] tokens were given; as many for each of the 2 parts were expected":
        lambda: of_two().estimate_weights([np.zeros(2)]),
    "a Mixture of count models is not trained; fit its parts, then estimate its weights":
        lambda: fastlm.Trainer(Mixture(7, [KneserNey(7)])),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: str) -> None:
    with pytest.raises(ValueError) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message
