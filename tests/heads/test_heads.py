"""Output layers: losses and gradients in blocks, exact predictions, memory."""

import numpy as np
import pytest

from fastlm import autodiff, heads, models
from fastlm.autodiff import Parameter, Tape
from fastlm.batch import Batch
from fastlm.heads import FullSoftmax, Head
from fastlm.heads import base as layer
from tests import oracle

V, D = 11, 5


@pytest.fixture
def small_blocks(monkeypatch):
    """Three rows at a time."""
    monkeypatch.setattr(layer, "BLOCK_LOGITS", 3 * V)
    monkeypatch.setattr(layer, "FEWEST_ROWS", 1)
    monkeypatch.setattr(layer, "FEWEST_ROWS_READ", 1)


def full(transpose: bool, seed: int = 0) -> FullSoftmax:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(V, D) if transpose else (D, V))
    return FullSoftmax(Parameter("weight", weight), Parameter("bias", rng.normal(size=V)), transpose)


def targets_of(rng: np.random.Generator, n: int) -> np.ndarray:
    targets = rng.integers(-1, V, n).astype(np.int32)
    targets[:1] = V - 1
    return targets


def test_two_words_on_paper() -> None:
    """x = 1, weights (0, ln 3): p = (1/4, 3/4)."""
    weight, bias = Parameter("weight", np.array([[0.0, np.log(3)]])), Parameter("bias", np.zeros(2))
    predict, x = FullSoftmax(weight, bias), Parameter("x", np.ones((2, 1)))
    targets = np.array([0, 1], np.int32)
    np.testing.assert_allclose(predict.nats(np.ones((2, 1)), targets), np.log([4, 4 / 3]), rtol=1e-6)
    with Tape() as tape:
        assert predict.loss(x, targets, 2.0) == pytest.approx(np.log(16 / 3), rel=1e-6)
        tape.backward()
        np.testing.assert_allclose(tape.leaf(bias).gradient, [2 * (-3 / 4 + 1 / 4), 2 * (3 / 4 - 1 / 4)], rtol=1e-6)
        np.testing.assert_allclose(tape.leaf(weight).gradient, [[-1, 1]], rtol=1e-6)
        np.testing.assert_allclose(tape.leaf(x).gradient, [[2 * 0.75 * np.log(3)], [-2 * 0.25 * np.log(3)]], rtol=1e-6)
    ids, logp = predict.top(np.ones((1, 1), np.float32), 5)
    assert ids.tolist() == [[1, 0]]
    np.testing.assert_allclose(np.exp(logp), [[0.75, 0.25]], rtol=1e-6)


@pytest.mark.parametrize("kind", heads.LOSSES)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("n", [0, 1, 7, 8])
def test_full_in_blocks_is_the_plain_composition(small_blocks, n: int, transpose: bool, kind: str) -> None:
    rng = np.random.default_rng(n)
    predict, targets = full(transpose), targets_of(rng, n)
    x = Parameter("x", rng.normal(size=(n, D)))
    before = rng.normal(size=(V, D) if transpose else (D, V)).astype(np.float32)   # a gradient that is there already
    losses, gradients = [], []
    for plain in (True, False):
        with Tape() as tape:
            if n == 8:
                tape.leaf(predict.weight).grad_buffer()[:] = before
            source = autodiff.tanh(x)
            if plain:
                losses.append(Head().loss(predict.logits(source), targets, 0.5, kind))
            else:
                losses.append(predict.loss(source, targets, 0.5, kind))
            tape.backward()
            gradients.append([tape.leaf(p).gradient.copy() for p in (x, predict.weight, predict.bias)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for blocked, plain_one in zip(gradients[1], gradients[0], strict=True):
        np.testing.assert_allclose(blocked, plain_one, rtol=0, atol=2e-6)
    assert predict.loss(np.tanh(x.value), targets, 0.5, kind) == pytest.approx(losses[0], rel=1e-6)   # without a tape


@pytest.mark.parametrize("transpose", [False, True])
def test_predictions_in_blocks_are_exact(small_blocks, transpose: bool) -> None:
    rng = np.random.default_rng(0)
    predict, targets, x = full(transpose), targets_of(rng, 8), rng.normal(size=(8, D)).astype(np.float32)
    wanted = oracle.log_softmax(predict.logits(x).value.astype(float))
    nats = predict.nats(x, targets)
    assert nats.dtype == np.float64
    np.testing.assert_allclose(nats, np.where(targets < 0, 0, -wanted[np.arange(8), targets]), rtol=0, atol=1e-6)
    ids, logp = predict.top(x, 4)
    assert (ids == np.argsort(-wanted, axis=1)[:, :4]).all()
    np.testing.assert_allclose(logp, np.take_along_axis(wanted, ids, 1), rtol=0, atol=1e-6)
    assert [part.shape for part in predict.top(x[:0], 4)] == [(0, 4), (0, 4)]
    assert predict.top(x, 99)[0].shape == (8, V)


def test_ties_go_to_the_lower_id() -> None:
    assert Head().top(np.zeros((1, 4), np.float32), 3)[0].tolist() == [[0, 1, 2]]


def test_memory_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tape lends for 64 times as many rows is the rows themselves, not their logits."""
    monkeypatch.setattr(layer, "BLOCK_LOGITS", 4096)
    monkeypatch.setattr(layer, "FEWEST_ROWS", 1)
    monkeypatch.setattr(layer, "FEWEST_ROWS_READ", 1)
    rng = np.random.default_rng(0)
    lent = []
    for n in (64, 4096):
        predict = FullSoftmax(Parameter("weight", rng.normal(size=(4, 512))), Parameter("bias", np.zeros(512)))
        x, targets = Parameter("x", rng.normal(size=(n, 4))), rng.integers(0, 512, n).astype(np.int32)
        for tape in (Tape(), Tape(record=False)):
            with tape:
                predict.loss(x, targets)
                predict.nats(x, targets)
                lent.append(sum(len(buffer) for _, buffer in tape._lent))
    assert max(lent) < 200_000 < 4096 * 512


class CountlessBigram(models.PrefixModel):
    """Ends in its logits."""

    def __init__(self, vocab_size: int, seed: int = 0) -> None:
        super().__init__(vocab_size, seed=seed)
        self.table = self.parameter("table", np.random.default_rng(seed).normal(size=(vocab_size, vocab_size)))

    def forward(self, batch, state=None):
        return autodiff.gather(self.table, batch.ids), state or self.start(batch.sequences)


def test_a_model_that_writes_forward_to_logits_is_trained_and_scored_by_them() -> None:
    model = CountlessBigram(V)
    batch, targets = Batch.of([[1, 2, 3]]), np.array([4, 5, 6], np.int32)
    logits = model.logits(batch)[0].value.astype(float)
    x, _ = model.forward(batch)
    np.testing.assert_array_equal(x.value, logits.astype(np.float32))
    wanted = -oracle.log_softmax(logits)[np.arange(3), targets]
    np.testing.assert_allclose(model.head.nats(x, targets), wanted, rtol=1e-5)
    assert model.head.loss(x, targets) == pytest.approx(wanted.sum(), rel=1e-5)
    assert model.head.rows_together(V) == (1 << 22) // V


class Nats(Head):
    losses = ("cross_entropy",)


def test_a_loss_that_a_layer_has_not_is_refused_before_training() -> None:
    import fastlm
    model = models.LSTM(V, hidden=3)
    model.head = Nats()
    with pytest.raises(ValueError, match=r"^loss = 'squared'; the output layer Nats has cross_entropy$"):
        fastlm.Trainer(model, loss="squared")
    with pytest.raises(ValueError, match=r"^loss = 'hinge'; one of cross_entropy, squared was expected$"):
        fastlm.Trainer(model, loss="hinge")


def test_blocks_of_a_large_vocabulary_are_smaller_without_gradients() -> None:
    """Of a million words 256 rows with gradients, as many as fit, 16, without; of 1,000 words 8,388 either way."""
    def rows(width: int, gradients: bool) -> int:
        return next(layer.blocks(256 * 16, width, gradients)).stop
    assert [rows(10**6, True), rows(10**6, False)] == [256, 16]
    assert [rows(10**3, True), rows(10**3, False)] == [4096, 4096]
