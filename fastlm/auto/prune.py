"""The parts of a mixture without which the predictions would be as good."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from fastlm.auto.evaluate import Weighed
from fastlm.auto.policy import Policy
from fastlm.models import Mixture
from fastlm.models.mixture import gate

Array = np.ndarray


def negligible_parts(mixture: Mixture, weighed: Weighed, policy: Policy) -> list[int]:
    """Return the numbers of the parts of a mixture that are dropped, ascending.

    A part is dropped where its weight stays below `negligible_weight` in every context, and the loss without it is
    certain to be worse by at most `negligible_loss` nats a token: the mean difference plus `negligible_certainty`
    standard errors. Fixed weights, which are quickly fitted, tell which parts to look at. Weights that depend on the
    context are then fitted on about `negligible_tokens` tokens, and stay in the mixture. At least one part is kept.
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
    loss_of_all, dropped = _losses(weighted, log_weights.T), list[int]()
    heaviest = np.exp(log_weights.max(0))
    for part in small_parts(mixture, heaviest, policy.negligible_weight):
        kept = distributions(mixture, [*dropped, part])
        if len(kept):
            worse = _losses(weighted[kept], log_weights.T[kept]) - loss_of_all
            error = worse.std() / np.sqrt(len(worse))
            if worse.mean() + policy.negligible_certainty * error <= policy.negligible_loss:
                dropped.append(part)
    return sorted(dropped)


def _losses(weighted: Array, log_weights: Array) -> Array:
    """Return -log p (N,) from ln(weight p) (K, N), with the weights (K, N) or (K, 1) scaled to a sum of 1."""
    return np.logaddexp.reduce(log_weights, axis=0) - np.logaddexp.reduce(weighted, axis=0)


def small_parts(mixture: Mixture, weights: Array, limit: float) -> list[int]:
    """Return the parts that may be dropped and whose weights, out of weights (K,), are all below a limit; the part of
    least weight comes first.

    N-grams that a network corrects may not be dropped, nor those that the gate reads.
    """
    first = int(mixture.gate.any()) if mixture.residual is None else mixture.residual.corrected
    heaviest = {part: float(weights[mixed].max()) for part, mixed in enumerate(owned(mixture)) if part >= first}
    return sorted((part for part, weight in heaviest.items() if weight < limit), key=heaviest.__getitem__)


def owned(mixture: Mixture) -> list[list[int]]:
    """Return for every part of a mixture the numbers of the distributions that come from it: its own prediction and,
    for a network that corrects n-grams, the corrected one."""
    out = [[part] for part in range(len(mixture.parts))]
    if mixture.residual is not None:
        for corrected, network in enumerate(mixture.networks, len(mixture.parts)):
            out[network].append(corrected)
    return out


def distributions(mixture: Mixture, dropped: Collection[int]) -> list[int]:
    """Return the numbers of the distributions of a mixture that do not come from the dropped parts, ascending."""
    return sorted(number for part, mixed in enumerate(owned(mixture)) if part not in dropped for number in mixed)


def without(mixture: Mixture, dropped: Sequence[int]) -> Mixture:
    """Return a mixture of the parts that are kept, the same objects, whose weights are still to be fitted.

    Raises ValueError where no part is kept, or where a part is dropped that a network corrects.
    """
    kept = [part for part in range(len(mixture.parts)) if part not in dropped]
    parts = [mixture.parts[part] for part in kept]
    networks = [part for part in kept if mixture.parts[part].parameters]
    if not networks or mixture.residual is None:
        return Mixture(mixture.vocab_size, parts)
    corrected = mixture.residual.corrected
    if kept[:corrected] != list(range(corrected)):
        raise ValueError(f"dropped = {list(dropped)}; the first {corrected} parts are corrected by networks and must "
                         "stay")
    out = Mixture(mixture.vocab_size, parts, residual=True)
    for number, before in zip(out.networks, networks, strict=True):
        for name in ("correction", "correction_bias", "scale", "scale_bias"):
            out.own_parameters[f"{name}{number}"].value[:] = mixture.own_parameters[f"{name}{before}"].value
    return out
