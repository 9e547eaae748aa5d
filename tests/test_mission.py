"""The rows M1-M12 of the mission, each on its worked example: "I am a machine learning researcher"."""

import itertools

import numpy as np
import pytest

import fastlm
from fastlm import autodiff, models, onehot
from fastlm.autodiff import Parameter, Tape
from fastlm.autodiff.cells import LSTMCell
from fastlm.batch import Batch
from fastlm.scoring.documents import score_documents
from fastlm.workers import Workers

WORDS = {25: "I", 7: "am", 100: "a", 2: "machine", 10: "learning", 1000: "researcher"}
TEXT = "I am a machine learning researcher"
IDS = [25, 7, 100, 2, 10, 1000]
SIZE = 1001


def trained_on_the_example(model: fastlm.PrefixModel, lr: float = 0.05) -> fastlm.PrefixModel:
    fastlm.Trainer(model, optimizer=fastlm.optim.AdamW(lr=lr, weight_decay=0.0), clip=None).fit([IDS], epochs=300)
    return model


def test_M1_documents_become_pairs_of_prefix_and_target() -> None:
    ids = np.array(IDS, np.int32)
    pairs = list(fastlm.pairs(ids))
    assert [(prefix.tolist(), target) for prefix, target in pairs] == [
        ([25], 7), ([25, 7], 100), ([25, 7, 100], 2), ([25, 7, 100, 2], 10), ([25, 7, 100, 2, 10], 1000)]
    assert all(np.shares_memory(prefix, ids) for prefix, _ in pairs)
    assert type(pairs[0][1]) is int


def test_M2_the_objective_is_the_formula() -> None:
    """At parameters of zero every prefix predicts 1/V: the mean loss is ln V, or (1 - 1/V)^2 + (V - 1)/V^2."""
    documents = [[0, 1, 2], [3], [2, 2]]   # three pairs in all
    for loss, by_hand in (("cross_entropy", np.log(4)), ("squared", 0.75**2 + 3 * 0.25**2)):
        trainer = fastlm.Trainer(models.PositionalOneHot(4, 3), optimizer=fastlm.optim.SGD(lr=1e-9), loss=loss)
        history = trainer.fit(documents, epochs=1)
        assert history[-1]["tokens"] == 3
        assert history[-1]["loss"] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("unit, text, ids", [
    ("word", "b a\na", [2, 0, 1, 0]), ("char", "ba a", [2, 0, 1, 0]), ("byte", "aé", [97, 195, 169])])
def test_M3_text_becomes_ids_and_text_again(unit: str, text: str, ids: list[int]) -> None:
    tokens = {"word": ["a", "\n", "b"], "char": ["a", " ", "b"], "byte": [chr(i) for i in range(128)]}[unit]
    vocabulary = (fastlm.Vocabulary.build([b"x"], unit="byte") if unit == "byte"
                  else fastlm.Vocabulary(tokens, unit=unit))
    assert vocabulary.encode(text).tolist() == ids
    assert vocabulary.decode(ids) == text


def test_M4_the_vocabulary_has_the_ids_of_the_example() -> None:
    vocabulary = fastlm.Vocabulary(WORDS)
    assert len(vocabulary) == SIZE
    assert vocabulary.encode(TEXT).tolist() == IDS
    assert vocabulary.decode(IDS) == TEXT
    assert vocabulary.id("am") == 7 and vocabulary.token(7) == "am"
    assert "am" in vocabulary and "robot" not in vocabulary
    counted = fastlm.Vocabulary.build(["I am what I am, I"])
    assert (counted.counts[counted.id("I")], counted.counts[counted.id("am")]) == (3, 1)


def test_M5_the_indicator_vector_of_a_prefix() -> None:
    vector = onehot.indicator([25, 7], SIZE)
    assert vector.shape == (SIZE,) and np.flatnonzero(vector).tolist() == [7, 25] and set(vector) == {0.0, 1.0}
    assert (vector == onehot.indicator([7, 25, 25], SIZE)).all()   # the order is lost


def test_M6_the_positional_one_hot_matrix() -> None:
    x = onehot.encode(IDS, SIZE, max_length=8)
    assert x.shape == (SIZE, 8)
    dense = x.to_dense()
    assert dense.sum() == 6 and [int(dense[:, t].argmax()) for t in range(6)] == IDS
    assert np.flatnonzero(x.to_vector()).tolist() == [t * SIZE + i for t, i in enumerate(IDS)]
    data, indices, indptr = x.to_csr()
    assert data.tolist() == [1] * 6
    assert {row: indices[indptr[row]: indptr[row + 1]].tolist() for row in sorted(IDS)} == {
        2: [3], 7: [1], 10: [4], 25: [0], 100: [2], 1000: [5]}
    assert onehot.decode(x).tolist() == IDS and onehot.decode(dense).tolist() == IDS
    assert onehot.decode(onehot.encode(IDS, SIZE, max_length=2)).tolist() == [25, 7]


def test_M7_the_output_after_I_am_is_a() -> None:
    model = trained_on_the_example(models.PositionalOneHot(SIZE, max_length=6), lr=0.3)
    p = np.exp(model.log_probabilities([25, 7])[-1].astype(float))
    assert p.shape == (SIZE,) and p.sum() == pytest.approx(1, abs=1e-5) and (p >= 0).all()
    assert p[100] > 0.99
    assert np.delete(p, 100).max() < 0.01
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), model)
    state = model.logits(Batch.of([[25, 7]]))[1]
    row = model.logits(Batch.of([[25, 7]]))[0].value[-1:]
    assert fastlm.PrefixState(model, lm.vocabulary, state, row).next_tokens(1)[0][0] == "a"


@pytest.mark.parametrize("name", ["PositionalOneHot", "DecayedBag", "FeedForward", "LSTM", "my own"])
def test_M8_every_f_learns_the_example_behind_one_contract(name: str) -> None:
    class Bigram(fastlm.PrefixModel):
        def __init__(self, vocab_size: int) -> None:
            super().__init__(vocab_size)
            self.table = self.parameter("table", np.zeros((vocab_size, vocab_size)))

        def forward(self, batch, state=None):
            return autodiff.gather(self.table, batch.ids), state or self.start(batch.sequences)
    model = {"PositionalOneHot": lambda: models.PositionalOneHot(SIZE, 6), "my own": lambda: Bigram(SIZE),
             "DecayedBag": lambda: models.DecayedBag(SIZE, width=16, hidden=64),
             "FeedForward": lambda: models.FeedForward(SIZE, width=16, hidden=16),
             "LSTM": lambda: models.LSTM(SIZE, hidden=16)}[name]()
    trained_on_the_example(model, lr=0.3 if name in ("PositionalOneHot", "my own") else 0.015)
    predicted = np.exp(model.log_probabilities(IDS[:5]).astype(float))
    assert predicted.argmax(axis=1).tolist() == IDS[1:]
    assert predicted[np.arange(5), IDS[1:]].min() > 0.9


@pytest.mark.parametrize("method", ["SGD", "Momentum", "AdaGrad", "AdamW"])
def test_M9_stochastic_gradient_methods_go_down_and_leave_unseen_rows_alone(method: str) -> None:
    """One document, I am: only row 25 of the first position and row 7 of the second are ever read."""
    model = models.PositionalOneHot(SIZE, 2)
    table = model.parameters["table"].value
    table[:] = np.random.default_rng(0).normal(size=table.shape) * 0.01
    before = table.copy()
    optimizer = getattr(fastlm.optim, method)(lr=0.1)
    history = fastlm.Trainer(model, optimizer=optimizer).fit([[25, 7]], epochs=30)
    assert history[-1]["loss"] < history[0]["loss"]
    untouched = np.delete(np.arange(len(table)), [25, SIZE + 7])
    assert table[untouched].tobytes() == before[untouched].tobytes()
    assert (table[25] != before[25]).all()


def test_M10_gradients_of_a_composition_are_those_of_differences() -> None:
    """d/dw of -log softmax(tanh(w) w)[1] for one row: by the tape, by hand, and by differences."""
    w = Parameter("w", np.array([[0.5, -1.0, 2.0]], np.float32))
    with Tape() as tape:
        loss = autodiff.cross_entropy(autodiff.multiply(autodiff.tanh(w), w), np.array([1], np.int32))
        tape.backward()
        gradient = tape.leaf(w).gradient[0].copy()
    x = w.value[0].astype(float)

    def f(x: np.ndarray) -> float:
        z = np.tanh(x) * x
        return float(np.log(np.exp(z).sum()) - z[1])
    assert loss == pytest.approx(f(x), rel=1e-6)
    p = np.exp(np.tanh(x) * x) / np.exp(np.tanh(x) * x).sum()
    by_hand = (p - [0, 1, 0]) * (np.tanh(x) + x * (1 - np.tanh(x) ** 2))
    differences = [(f(x + e) - f(x - e)) / 2e-5 for e in np.eye(3) * 1e-5]
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-6)
    np.testing.assert_allclose(gradient, differences, rtol=1e-5)


@pytest.mark.parametrize("model", [models.PositionalOneHot(SIZE, 4), models.DecayedBag(SIZE, width=4, hidden=4),
                                   models.FeedForward(SIZE, width=4, hidden=4), models.LSTM(SIZE, hidden=4)],
                         ids=lambda model: type(model).__name__)
def test_M11_steps_equal_forward_and_read_one_token_each(model: fastlm.PrefixModel, monkeypatch) -> None:
    logits, _ = model.logits(Batch.of([IDS]))
    read = []
    forward = model.forward

    def counted(batch, state=None):
        read.append(len(batch))
        return forward(batch, state)
    model.forward = counted

    class Counted(LSTMCell):   # the LSTM reads on without forward: one call is one token
        """Notes how many sequences every step reads."""

        def step(self, h, *arrays):
            read.append(len(h))
            super().step(h, *arrays)
    monkeypatch.setattr(models.LSTM, "CELL", Counted())
    state, rows = model.start(), []
    for token in IDS:
        row, state = model.step(state, token)
        rows.append(row)
    np.testing.assert_allclose(np.concatenate(rows), logits.value, rtol=0, atol=1e-5)
    assert read == [1] * 6                                       # all T prefixes cost T updates, not T(T+1)/2
    size = sum(array.nbytes for array in state.arrays.values())  # and the state does not grow with the prefix
    assert size == sum(array.nbytes for array in model.start().arrays.values())


def test_M12_the_predictions_after_every_prefix_in_one_call() -> None:
    model = trained_on_the_example(models.LSTM(SIZE, hidden=16))
    lm = fastlm.LanguageModel(fastlm.Vocabulary({0: "\n", **WORDS}), model)
    whole = lm.predict_all("I am a machine", k=None)
    assert whole.shape == (4, SIZE)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    top = lm.predict_all("I am a machine", k=2)
    state = lm.start()
    for token, row, best in zip(["I", "am", "a", "machine"], whole, top, strict=True):
        logp = state.step(token)
        np.testing.assert_allclose(row, np.exp(logp), atol=1e-6)
        assert [text for text, _ in best] == [text for text, _ in state.next_tokens(2)]
    assert [best[0][0] for best in top[1:]] == ["a", "machine", "learning"]


def test_M2_the_score_of_documents_is_the_sum_over_their_pairs() -> None:
    """The reported loss of a trained model against every pair taken by itself, from scratch."""
    model = trained_on_the_example(models.LSTM(SIZE, hidden=16))
    by_pair = [-float(model.log_probabilities(prefix)[-1, target]) for prefix, target in fastlm.pairs(np.array(IDS))]
    with Workers(1) as workers:
        nats = score_documents(model, np.array(IDS[:5], np.int32), np.array(IDS[1:], np.int32),
                                              np.array([0, 5]), workers)
    np.testing.assert_allclose(nats, by_pair, rtol=1e-5, atol=1e-6)
    assert len(list(itertools.pairwise(IDS))) == len(nats)
