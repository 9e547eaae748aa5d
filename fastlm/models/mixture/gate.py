"""Which of several models to believe, by what n-grams know of the context before the token is seen."""

from __future__ import annotations

import numpy as np

from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
FEATURES = 6
_ROUNDS = 12
_SETTLED = 1e-3
_PRIOR = 3.0    # how strongly a gate is held to weights that do not depend on the context


def features(counts: KneserNey, nodes: Array) -> Array:
    """What the gate reads (N, 6) float64 of contexts' numbers (N,) int32.

    Of each context: its length l, s = ln(how many tokens have followed it) and b = ln gamma, what it leaves to shorter
    ones; and l b, s^2 and s b; each scaled to about 1.
    """
    child = counts.tables["child"]
    ends, first = [0], 0
    while first < len(child) - 1:   # the children of the first n-gram of an order begin the next one
        first = int(child[first])
        ends.append(first)
    node, known = np.maximum(nodes, 0), nodes >= 0
    if len(child) == 1:
        return np.zeros((len(nodes), FEATURES))
    length = np.where(known, np.searchsorted(np.array(ends), node, side="right"), 0) / 4
    followed = np.where(known, np.log(np.maximum(child[node + 1] - child[node], 1)), np.log(counts.vocab_size)) / 4
    left = np.where(known, counts.tables["backoff"][node], 0).astype(np.float64)
    return np.stack([length, followed, left, length * left, followed**2, followed * left], axis=1)


def fit_weights(loss: Array) -> Array:
    """Weights (K,) of sum 1 that predict best, by expectation maximisation (Dempster et al. 1977).

    loss (K, N): -log p of the same tokens by each model. Every model counts one more token than it is given, so that
    none is ever without a weight.
    """
    likelihood = np.exp(loss.min(0, initial=np.inf) - loss)
    weights = np.full(len(loss), 1 / len(loss))
    for _ in range(200):
        share = weights[:, None] * likelihood
        counts = (share / share.sum(0)).sum(1) + 1
        weights, before = counts / counts.sum(), weights
        if np.abs(weights - before).max() < 1e-7:
            break
    return weights


def log_weights(weights: Array, gate: Array, read: Array) -> Array:
    """ln of the weights (N, K) in contexts of features (N, F): those of softmax(ln weights + read gate)."""
    out = np.log(weights) + read @ gate
    out -= out.max(1, keepdims=True)
    return out - np.log(np.exp(out).sum(1, keepdims=True))


def fit_gate(loss: Array, read: Array) -> tuple[Array, Array, float]:
    """Weights (K,), gate (F, K) and the gain in nats a token over the best fixed weights.

    loss (K, N) as in `fit_weights`, read (N, F): the features of each token's context. The gain is that on tokens the
    gate was not fitted on: each half of them, in stretches, judged by the other. Where there is none the gate is zero.
    """
    fixed = fit_weights(loss)
    half = np.arange(loss.shape[1]) * 16 // max(1, loss.shape[1]) % 2 == 0
    gain = 0.0
    for one in (half, ~half):
        if min(one.sum(), (~one).sum()) < 100:
            return fixed, np.zeros((read.shape[1], len(loss))), 0.0
        weights = fit_weights(loss[:, one])
        tried = _ascend(loss[:, one], read[one], weights)
        gain += _log_likelihood(loss[:, ~one], log_weights(*tried, read[~one]))
        gain -= _log_likelihood(loss[:, ~one], np.log(weights)[None])
    gain /= loss.shape[1]
    if gain <= 0:
        return fixed, np.zeros((read.shape[1], len(loss))), 0.0
    return *_ascend(loss, read, fixed), gain


def _log_likelihood(loss: Array, weights: Array) -> float:
    return float(np.logaddexp.reduce(weights - loss.T, axis=1).sum())


def _ascend(loss: Array, read: Array, weights: Array) -> tuple[Array, Array]:
    """Newton's method on expectation maximisation's bound of the likelihood, which each step can but raise."""
    models, width = len(loss), read.shape[1] + 1
    x = np.concatenate([np.ones((len(read), 1)), read], axis=1)
    w = np.zeros((width, models))
    w[0] = np.log(weights)
    prior = np.full((width, models), _PRIOR)
    prior[0] = 1e-3
    likelihood = np.exp(loss.min(0) - loss).T
    for _ in range(_ROUNDS):
        g = np.exp(log_weights(np.exp(w[0] - w[0].max()), w[1:], read))
        q = g * likelihood
        q /= q.sum(1, keepdims=True)
        slope = x.T @ (g - q) + prior * (w - w.mean(1, keepdims=True))
        each = (g[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        bend = -each.T @ each
        for i in range(models):
            own = slice(i * width, (i + 1) * width)
            bend[own, own] += each[:, own].T @ x
        bend[np.diag_indices(len(bend))] += prior.T.reshape(-1)
        step = np.linalg.solve(bend, slope.T.reshape(-1)).reshape(models, width).T
        w -= step
        if np.abs(step).max() < _SETTLED:
            break
    fixed = np.exp(w[0] - w[0].max())
    return fixed / fixed.sum(), w[1:] - w[1:].mean(1, keepdims=True)
