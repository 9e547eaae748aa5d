"""Several prefix models mixed by one weight each: itself a prefix model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch, State
from fastlm.models.prefix import PrefixModel
from fastlm.outputs import OutputLayer
from fastlm.tape import Variable, empty

Array = np.ndarray


class Mixture(PrefixModel):
    """p(w|h) = sum over the parts of weight_i p_i(w|h), the weights positive and of sum 1. Jelinek & Mercer 1980.

    `parts`: prefix models of one vocabulary, or their configurations. Counts and a network err on different tokens:
    mixed they are better than either. The parts are fitted by themselves; `fit` then chooses the weights on text that
    none of them has seen. Before that they are equal.

    >>> from fastlm.models import DecayedBag, KneserNey
    >>> Mixture(5, [KneserNey(5, order=2), DecayedBag(5, width=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]]) -> None:
        self.parts = [PrefixModel.build(part) if isinstance(part, dict) else part for part in parts]
        super().__init__(vocab_size, parts=[part.config() for part in self.parts])
        if not self.parts:
            raise ValueError("parts is empty; at least one model was expected")
        for part in self.parts:
            if part.vocab_size != vocab_size:
                raise ValueError(f"{part!r} is for {part.vocab_size} ids; one for {vocab_size} was expected")
        self.weights = np.full(len(self.parts), 1 / len(self.parts))
        self.output_layer = _Mixed(self)

    def fit(self, nats: Sequence[Array]) -> Mixture:
        """Chooses the weights by expectation maximisation (Dempster et al. 1977), and returns the model itself.

        nats: for each part -log p (N,) float64 of the same held-out tokens. Every part counts one more token than it is
        given, so that none is ever without a weight. Raises ValueError where the lengths differ.
        """
        loss = np.array([np.asarray(part, np.float64) for part in nats]) if len({len(part) for part in nats}) == 1 \
            else np.zeros((0, 0))
        if loss.shape[:1] != (len(self.parts),):
            raise ValueError(f"nats of {[len(part) for part in nats]} tokens were given; as many for each of the "
                             f"{len(self.parts)} parts were expected")
        likelihood = np.exp(loss.min(0, initial=np.inf) - loss)
        weights = np.full(len(self.parts), 1 / len(self.parts))
        for _ in range(200):
            share = weights[:, None] * likelihood
            counts = (share / share.sum(0)).sum(1) + 1
            weights, before = counts / counts.sum(), weights
            if np.abs(weights - before).max() < 1e-9:
                break
        self.weights = weights
        return self

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self._joined(batch, [part.start(batch) for part in self.parts])

    def features(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """What the parts' predictors read side by side, in float64, which holds ids and float32 numbers as they are."""
        state = state or self.start(batch.sequences)
        rows, after = [], []
        for index, part in enumerate(self.parts):
            prefix = f"{index}/"
            own = {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}
            x, left = part.read(batch, State(state.sequences, **own))
            rows.append((x.value if x.value.ndim == 2 else x.value[:, None]).astype(np.float64))
            after.append(left)
        return Variable(np.concatenate(rows, axis=1)), self._joined(batch.sequences, after)

    def _joined(self, sequences: int, states: list[State]) -> State:
        return State(sequences, **{f"{index}/{name}": array for index, state in enumerate(states)
                                   for name, array in state.arrays.items()})

    # keeping ------------------------------------------------------------------------------------------------------

    def quantized(self) -> Mixture:
        out = Mixture(self.vocab_size, [part.quantized() if part.parameters else part for part in self.parts])
        out.weights = self.weights.copy()
        return out

    def tensors(self) -> dict[str, Array]:
        return {"weights": self.weights} | {f"{index}/{name}": array for index, part in enumerate(self.parts)
                                            for name, array in part.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        weights = tensors.get("weights")
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"its weights are {weights}; {len(self.parts)} positive numbers of sum 1 were expected")
        left = tensors.keys() - {"weights"}
        for index, part in enumerate(self.parts):
            prefix = f"{index}/"
            own = {name for name in left if name.startswith(prefix)}
            part.restore({name.removeprefix(prefix): tensors[name] for name in own})
            left -= own
        if left:
            raise ValueError(f"it holds tensors {sorted(left)} of no use")
        self.weights = weights.copy()

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:.2f} {part!r}" for weight, part in zip(self.weights, self.parts, strict=True))
        return f"<Mixture of {parts}>"


class _Mixed(OutputLayer):
    """Hands every part's predictor its columns, and mixes what comes back."""

    losses = ()

    def __init__(self, model: Mixture) -> None:
        self.model = model
        self.columns: list[tuple[slice, np.dtype, bool]] = []
        end = 0
        one = Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1)
        for part in model.parts:
            rows = part.read(one)[0].value
            width = rows.size
            self.columns.append((slice(end, end + width), rows.dtype, rows.ndim == 1))
            end += width

    def _rows(self, x: Any) -> list[Array]:
        x = x.value if isinstance(x, Variable) else x
        parts = [np.ascontiguousarray(x[:, columns].astype(dtype)) for columns, dtype, _ in self.columns]
        return [part[:, 0] if flat else part for part, (_, _, flat) in zip(parts, self.columns, strict=True)]

    def logits(self, x: Any) -> Variable:
        mixed: Array | None = None
        for part, rows, weight in zip(self.model.parts, self._rows(x), self.model.weights, strict=True):
            own = empty((len(rows), self.model.vocab_size))
            part.predictor.write(own, rows)
            _core.log_softmax(own, own)
            own += np.float32(np.log(weight))
            mixed = own if mixed is None else np.logaddexp(mixed, own, out=mixed)
        assert mixed is not None
        return Variable(mixed)

    def nats(self, x: Any, targets: Array) -> Array:
        parts = [np.log(weight) - part.predictor.nats(rows, targets) for part, rows, weight
                 in zip(self.model.parts, self._rows(x), self.model.weights, strict=True)]
        return np.where(targets < 0, 0.0, -np.logaddexp.reduce(parts, axis=0))

    def rows_together(self, vocab_size: int) -> int:
        return min(part.predictor.rows_together(vocab_size) for part in self.model.parts)

    def check_loss(self, kind: str) -> str:
        raise ValueError("a Mixture is not trained by itself; train its parts, then fit its weights")
