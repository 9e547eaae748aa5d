"""Models whose n-grams are pruned to a size, and the weights of mixtures fitted again after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm.autodiff import Tape
from fastlm.batch import Batch
from fastlm.models.base import PrefixModel
from fastlm.models.mixture.mixture import Mixture
from fastlm.models.ngram.factored import Factored
from fastlm.models.ngram.kneser_ney import KneserNey
from fastlm.models.ngram.pruning import prune

Array = np.ndarray


def ngram_models(model: PrefixModel) -> list[KneserNey | Factored]:
    """Return the n-gram models in a model: itself, or those among its parts."""
    parts = model.parts if isinstance(model, Mixture) else [model]
    return [part for part in parts if isinstance(part, KneserNey | Factored)]


def pruned(model: PrefixModel, max_bytes: int, threads: int | None = None) -> PrefixModel:
    """Return a copy of a model whose n-grams take at most so many bytes, those that matter least being removed.

    The networks of a mixture are shared with the model that is given, and its weights stay as they are. Raises
    ValueError where there are no n-grams, or single tokens alone take more.
    """
    counts = ngram_models(model)
    if not counts:
        raise ValueError(f"{model!r} has no n-grams to prune")
    smaller = {id(part): with_tables(part, tables)
               for part, tables in zip(counts, prune(counts, max_bytes, threads), strict=True)}
    if not isinstance(model, Mixture):
        return smaller[id(model)]
    out = Mixture(model.vocab_size, [smaller.get(id(part), part) for part in model.parts], model.residual is not None)
    out.own_parameters.update(model.own_parameters)
    out.weights, out.gate = model.weights.copy(), model.gate.copy()
    return out


def with_tables(model: KneserNey | Factored, tables: dict[str, Array]) -> Any:
    """Return an n-gram model of the same options with other tables."""
    out: Any = PrefixModel.build(model.config())
    out.take(tables)
    return out


def fit_weights_again(mixture: Mixture, inputs: Array, targets: Array, starts: Array) -> None:
    """Fit the weights and the gate of a mixture on held-out text, see `Mixture.estimate_weights`.

    inputs, targets (N,) int32, -1 for no target, and starts (N,) uint8: see `training.batches.read_and_predict`.
    """
    nll, features, state = [], [], None
    together, tape = mixture.rows_together(), Tape(record=False)
    for first in range(0, len(inputs), together):
        some = slice(first, first + together)
        with tape:   # entered anew for every part, as in `PrefixModel.score_on`
            x, state = mixture.forward(Batch.rectangle(inputs[some, None], starts[some, None]), state)
            predicted = targets[some] >= 0
            nll.append(np.array(mixture.head.nll_by_part(x.value, targets[some]))[:, predicted])
            of_contexts = mixture.head.features(x.value)
            if of_contexts is not None:
                features.append(of_contexts[predicted])
    mixture.estimate_weights(list(np.concatenate(nll, axis=1)), np.concatenate(features) if features else None)
