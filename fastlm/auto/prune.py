"""Parts of a mixture that nothing would be lost without."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from fastlm.auto.evaluate import Weighed
from fastlm.auto.policy import Policy
from fastlm.models import Mixture
from fastlm.models.mixture import gate

Array = np.ndarray


def negligible_parts(mixture: Mixture, weighed: Weighed, policy: Policy) -> list[int]:
    """Return which parts of a mixture are dropped, ascending: those whose weight stays below `negligible_weight` in
    every context, if it is certain that predictions are worse by at most `negligible_loss` nats a token without them:
    their mean and `negligible_certainty` standard errors.

    Fixed weights, which are found in no time, say which parts to look at. The weights that depend on the context are
    then fitted on about `negligible_tokens`, and are left in the mixture. One part is left at the least.
    """
    mixture.estimate_weights(list(weighed.nll))
    if not small_parts(mixture, mixture.weights, policy.negligible_weight):
        return []
    some = slice(None, None, max(1, weighed.nll.shape[1] // policy.negligible_tokens))
    nll = weighed.nll[:, some]
    features = None if weighed.features is None else weighed.features[some]
    mixture.estimate_weights(list(nll), features)
    log_weights = np.log(mixture.weights)[None] if features is None else gate.log_weights(
        mixture.weights, mixture.gate, features)
    weighted = log_weights.T - nll
    with_all, dropped = _losses(weighted, log_weights.T), list[int]()
    heaviest = np.exp(log_weights.max(0))
    for part in small_parts(mixture, heaviest, policy.negligible_weight):
        kept = distributions(mixture, [*dropped, part])
        if len(kept):
            worse = _losses(weighted[kept], log_weights.T[kept]) - with_all
            error = worse.std() / np.sqrt(len(worse))
            if worse.mean() + policy.negligible_certainty * error <= policy.negligible_loss:
                dropped.append(part)
    return sorted(dropped)


def _losses(weighted: Array, log_weights: Array) -> Array:
    """Return -log p (N,) from ln(weight p) (K, N), the weights (K, N) or (K, 1) being scaled to a sum of 1."""
    return np.logaddexp.reduce(log_weights, axis=0) - np.logaddexp.reduce(weighted, axis=0)


def small_parts(mixture: Mixture, weights: Array, limit: float) -> list[int]:
    """Return the parts that may be dropped and all of whose weights (K,) are below a limit, the lightest first.

    Those that a network corrects may not be, nor the n-grams that the gate reads.
    """
    first = int(mixture.gate.any()) if mixture.residual is None else mixture.residual.count_models
    heaviest = {part: float(weights[own].max()) for part, own in enumerate(owned(mixture)) if part >= first}
    return sorted((part for part, weight in heaviest.items() if weight < limit), key=heaviest.__getitem__)


def owned(mixture: Mixture) -> list[list[int]]:
    """Return, for every part of a mixture, which of the distributions that are mixed come from it: its own, and the
    n-grams that it corrects."""
    out = [[part] for part in range(len(mixture.parts))]
    if mixture.residual is not None:
        for place, network in enumerate(mixture.networks, len(mixture.parts)):
            out[network].append(place)
    return out


def distributions(mixture: Mixture, dropped: Collection[int]) -> list[int]:
    """Return which of the distributions that are mixed are left without some of the parts, in their order."""
    return sorted(place for part, own in enumerate(owned(mixture)) if part not in dropped for place in own)


def without(mixture: Mixture, dropped: Sequence[int]) -> Mixture:
    """Return a mixture of the parts that are left, which are the same objects; its weights are still to be fitted.

    Raises ValueError where nothing is left, or where a part is dropped that a network corrects.
    """
    kept = [part for part in range(len(mixture.parts)) if part not in dropped]
    parts = [mixture.parts[part] for part in kept]
    networks = [part for part in kept if mixture.parts[part].parameters]
    if not networks or mixture.residual is None:
        return Mixture(mixture.vocab_size, parts)
    corrected = mixture.residual.count_models
    if kept[:corrected] != list(range(corrected)):
        raise ValueError(f"dropped = {list(dropped)}; the first {corrected} parts are corrected by networks and must "
                         "stay")
    out = Mixture(mixture.vocab_size, parts, residual=True)
    for place, network in zip(out.networks, networks, strict=True):
        for name in ("correction", "correction_bias", "scale", "scale_bias"):
            out.own_parameters[f"{name}{place}"].value[:] = mixture.own_parameters[f"{name}{network}"].value
    return out
