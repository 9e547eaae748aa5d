"""Weights that depend on the context."""

import numpy as np
import pytest

from fastlm.batch import Batch
from fastlm.models import LSTM, KneserNey, Mixture
from fastlm.models.mixture import gate


def test_features_by_hand() -> None:
    """The text 1 2 1 3 1 2 to order 3. After "4" nothing is known; after "1" 2 and 3 have followed; after "2" 1; after
    "1 2" 1; after "3 1" 2."""
    model = KneserNey(5, order=3).fit([[1, 2, 1, 3, 1, 2]])
    nodes = {tuple(prefix): model.forward(Batch.of([prefix]))[0].value[-1]
             for prefix in ([4], [1], [2], [1, 2], [3, 1])}
    read = gate.features(model, np.array(list(nodes.values()), np.int32))
    np.testing.assert_allclose(4 * read[:, 0], [0, 1, 1, 2, 2])
    np.testing.assert_allclose(np.exp(4 * read[:, 1]), [5, 2, 1, 1, 1])
    plain = model.unpacked()
    backoff = plain["backoff"][np.diff(plain["child"]) > 0]     # of the n-grams that are contexts
    for row, node in zip(read, nodes.values(), strict=True):
        left = 0.0 if node < 0 else float(backoff[node])
        np.testing.assert_allclose(row[2:], [left, row[0] * left, row[1] ** 2, row[1] * left])


def test_untrained_counts_have_no_features() -> None:
    assert gate.features(KneserNey(5), np.array([-1, -1], np.int32)).tolist() == [[0] * 6] * 2


def test_log_weights_by_hand() -> None:
    """ln 3 more for the second of two equal models where the feature is 1: a quarter and three quarters."""
    out = gate.log_weights(np.array([0.5, 0.5]), np.array([[0, np.log(3)]]), np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(np.exp(out), [[0.5, 0.5], [0.25, 0.75]])


def draw(tokens: int, seed: int, depends: float):
    """Two models, the first of them better where the first feature is above 0."""
    rng = np.random.default_rng(seed)
    read = rng.normal(size=(tokens, 6))
    loss = rng.exponential(1.5, (2, tokens)) + depends * np.array([-1, 1])[:, None] * np.sign(read[:, 0])
    return loss + 2, read


def test_a_gate_learns_where_each_model_is_better() -> None:
    loss, read = draw(6000, 1, 1.0)
    weights, slopes, gain = gate.fit_gate(loss, read)
    assert gain > 0.1 and weights.sum() == pytest.approx(1)
    assert slopes[0, 0] - slopes[0, 1] > 1 and np.abs(slopes[1:]).max() < 0.3
    other, features = draw(3000, 2, 1.0)

    def nats(log_weights):
        return -np.logaddexp.reduce(log_weights - other.T, axis=1).mean()
    found = nats(np.log(gate.fit_weights(loss))[None]) - nats(gate.log_weights(weights, slopes, features))
    assert found == pytest.approx(gain, abs=0.03)   # what it said of text it had not seen was true


def test_a_gate_is_at_its_best() -> None:
    loss, read = draw(2000, 5, 0.5)
    weights, slopes, _ = gate.fit_gate(loss, read)

    def nats(w, g):
        return -np.logaddexp.reduce(gate.log_weights(w, g, read) - loss.T, axis=1).sum() + 0.5 * 3 * (g**2).sum()
    best, rng = nats(weights, slopes), np.random.default_rng(0)
    for _ in range(50):
        assert nats(weights, slopes + 0.03 * rng.normal(size=slopes.shape)) > best - 0.5


@pytest.mark.parametrize("tokens", [0, 1, 150, 5000])
def test_where_nothing_is_gained_there_is_no_gate(tokens) -> None:
    loss, read = draw(tokens, 3, 0.0)
    weights, slopes, gain = gate.fit_gate(loss, read)
    if gain == 0:
        assert not slopes.any()
        np.testing.assert_array_equal(weights, gate.fit_weights(loss))
    assert gain < 0.002 and weights.sum() == pytest.approx(1)


def test_a_mixture_with_a_gate_is_a_distribution_and_scores_by_it() -> None:
    rng = np.random.default_rng(2)
    model = Mixture(7, [KneserNey(7, order=3).fit([rng.integers(0, 7, 80)]), LSTM(7, hidden=3, seed=2)])
    model.weights, model.gate = np.array([0.3, 0.7]), rng.normal(size=(6, 2))
    ids = rng.integers(0, 7, 50)
    p = np.exp(model.log_probabilities(ids[:-1]).astype(float))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    rows, _ = model.forward(Batch.of([ids[:-1]]))
    nats = model.head.nats(rows, ids[1:].astype(np.int32))
    np.testing.assert_allclose(np.exp(-nats), p[np.arange(49), ids[1:]], rtol=1e-4)
    np.testing.assert_allclose(model.head.nats(rows.value, ids[1:].astype(np.int32)), nats)
    parts = [np.exp(part.log_probabilities(ids[:-1]).astype(float)) for part in model.parts]
    shares = (p - parts[1])[:, 0] / (parts[0] - parts[1])[:, 0]
    assert 0 < shares.min() < 0.8 * shares.max() < 0.8   # it depends on the context
