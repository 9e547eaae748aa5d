"""The weights of a mixture, and the gate by which they depend on what n-grams know of the context."""

from __future__ import annotations

import numpy as np

from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray
FEATURES = 6
# Features are divided by it, so that orders up to 8 and counts up to some thousand come to about 1; an assumption.
_SCALE = 4
_WEIGHT_ROUNDS = 200       # of expectation maximisation at most; where they are not enough the last weights are taken
_WEIGHTS_SETTLED = 1e-7    # the largest change of a weight at which expectation maximisation ends
_GATE_ROUNDS = 12          # of Newton's method at most
_GATE_SETTLED = 1e-3       # the largest change of a parameter of the gate, in nats a unit of a feature, that ends it
# Precision of the Gaussian priors: that of the features' factors pulls the weights towards some that do not depend on
# the context; that of the constants only keeps the equations solvable, since one number added to the constants of all
# models changes nothing.
_GATE_PRIOR = 3.0
_CONSTANT_PRIOR = 1e-3
_STRETCHES = 16            # that the held-out text is cut into; every other one fits the gate that the rest evaluates
_FEWEST_TOKENS = 100       # on either side, without which there is no gate; an assumption


def features(counts: KneserNey, nodes: Array) -> Array:
    """Return the features of contexts (N, 6) float64, from the numbers of the contexts (N,) int32.

    For each context: its length l, s = ln(number of different tokens that have followed it) and b = ln gamma, where
    gamma is the share of the probability that the context leaves to shorter ones; and l b, s^2 and s b. l and s are
    scaled to about 1.
    """
    if counts.ngrams.contexts == 0:
        return np.zeros((len(nodes), FEATURES))
    of_context = counts.ngrams.describe(np.ascontiguousarray(nodes, np.int32))
    length, followed, left = (values.astype(np.float64) for values in of_context)
    length, followed = length / _SCALE, np.log(np.maximum(followed, 1)) / _SCALE
    return np.stack([length, followed, left, length * left, followed**2, followed * left], axis=1)


def fit_weights(loss: Array) -> Array:
    """Return the weights (K,) of sum 1 that predict best, by expectation maximisation (Dempster et al. 1977).

    loss (K, N): -log p of the same tokens by each model. One more token is counted for every model than it explains,
    so that no weight becomes zero.
    """
    likelihood = np.exp(loss.min(0, initial=np.inf) - loss)
    weights = np.full(len(loss), 1 / len(loss))
    for _ in range(_WEIGHT_ROUNDS):
        share = weights[:, None] * likelihood
        counts = (share / share.sum(0)).sum(1) + 1
        weights, before = counts / counts.sum(), weights
        if np.abs(weights - before).max() < _WEIGHTS_SETTLED:
            break
    return weights


def log_weights(weights: Array, gate: Array, features: Array) -> Array:
    """Return the logarithms of the weights (N, K) in contexts of features (N, F): log softmax(ln weights + features G).

    weights (K,): those of a context whose features are zero; gate (F, K): G.
    """
    out = np.log(weights) + features @ gate
    out -= out.max(1, keepdims=True)
    return out - np.log(np.exp(out).sum(1, keepdims=True))


def fit_gate(loss: Array, features: Array) -> tuple[Array, Array, float]:
    """Return weights (K,), a gate (F, K) and its gain in nats a token over the best weights without a gate.

    loss (K, N) as in `fit_weights`; features (N, F): of each token's context. The gain is measured on tokens that the
    gate was not fitted on: every other stretch of the tokens is evaluated by a gate fitted on the rest. Where there is
    no gain the gate is zero.
    """
    fixed = fit_weights(loss)
    half = np.arange(loss.shape[1]) * _STRETCHES // max(1, loss.shape[1]) % 2 == 0
    gain = 0.0
    for fitted in (half, ~half):
        if min(fitted.sum(), (~fitted).sum()) < _FEWEST_TOKENS:
            return fixed, np.zeros((features.shape[1], len(loss))), 0.0
        weights = fit_weights(loss[:, fitted])
        gated = _fit_by_newton(loss[:, fitted], features[fitted], weights)
        gain += _log_likelihood(loss[:, ~fitted], log_weights(*gated, features[~fitted]))
        gain -= _log_likelihood(loss[:, ~fitted], np.log(weights)[None])
    gain /= loss.shape[1]
    if gain <= 0:
        return fixed, np.zeros((features.shape[1], len(loss))), 0.0
    return *_fit_by_newton(loss, features, fixed), gain


def _log_likelihood(loss: Array, log_w: Array) -> float:
    """Return the log-likelihood of all tokens, loss (K, N), under a mixture by log-weights (N, K) or (1, K)."""
    return float(np.logaddexp.reduce(log_w - loss.T, axis=1).sum())


def _fit_by_newton(loss: Array, features: Array, weights: Array) -> tuple[Array, Array]:
    """Return weights (K,) and a gate (F, K) of high likelihood: Newton steps on the bound of expectation maximisation.

    Each round sets the posteriors q of the models, and takes one Newton step of the regularised multinomial logistic
    regression that predicts q from the features; weights (K,) are where it begins.
    """
    models, width = len(loss), features.shape[1] + 1
    x = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    w = np.zeros((width, models))
    w[0] = np.log(weights)
    prior = np.full((width, models), _GATE_PRIOR)
    prior[0] = _CONSTANT_PRIOR
    likelihood = np.exp(loss.min(0) - loss).T
    for _ in range(_GATE_ROUNDS):
        g = np.exp(log_weights(np.exp(w[0] - w[0].max()), w[1:], features))
        q = g * likelihood
        q /= q.sum(1, keepdims=True)
        gradient = x.T @ (g - q) + prior * (w - w.mean(1, keepdims=True))
        weighted = (g[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        hessian = -weighted.T @ weighted
        for i in range(models):
            block = slice(i * width, (i + 1) * width)   # the second derivatives by the parameters of model i alone
            hessian[block, block] += weighted[:, block].T @ x
        hessian[np.diag_indices(len(hessian))] += prior.T.reshape(-1)
        step = np.linalg.solve(hessian, gradient.T.reshape(-1)).reshape(models, width).T
        w -= step
        if np.abs(step).max() < _GATE_SETTLED:
            break
    fixed = np.exp(w[0] - w[0].max())
    return fixed / fixed.sum(), w[1:] - w[1:].mean(1, keepdims=True)
