"""Several prefix models mixed: itself a prefix model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, empty
from fastlm.batch import Batch, State
from fastlm.heads import OutputLayer
from fastlm.models.base import PrefixModel, Stepper
from fastlm.models.mixture import gate
from fastlm.models.ngram.kneser_ney import KneserNey

Array = np.ndarray


class Mixture(PrefixModel):
    """p(w|h) = sum over the parts of weight_i(h) p_i(w|h), the weights positive and of sum 1. Jelinek & Mercer 1980.

    `parts`: prefix models of one vocabulary, or their configurations. Counts and a network err on different tokens:
    mixed they are better than either. The parts are fitted by themselves; `fit` then chooses ``weights`` (K,), and
    where the first part is a KneserNey a ``gate`` (6, K) by which they depend on the context, on text that none of them
    has seen. Before that they are equal.

    >>> from fastlm.models import DecayedBag, KneserNey
    >>> Mixture(5, [KneserNey(5, order=2), DecayedBag(5, width=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]], **options: Any) -> None:
        self.parts = [PrefixModel.build(part) if isinstance(part, dict) else part for part in parts]
        super().__init__(vocab_size, parts=[part.config() for part in self.parts], **options)
        if not self.parts:
            raise ValueError("parts is empty; at least one model was expected")
        for part in self.parts:
            if part.vocab_size != vocab_size:
                raise ValueError(f"{part!r} is for {part.vocab_size} ids; one for {vocab_size} was expected")
        layer = self.mixed()
        self.output_layer, mixed = layer, layer.mixed
        self.weights = np.full(mixed, 1 / mixed)
        self.gate, self.gain = np.zeros((gate.FEATURES, mixed)), 0.0

    def mixed(self) -> Mixed:
        """The output layer."""
        return Mixed(self)

    def fit(self, nats: Sequence[Array], read: Array | None = None) -> Mixture:
        """Chooses the weights, and the gate where there is something to `read`; returns the model itself.

        nats: for each model mixed -log p (N,) float64 of the same held-out tokens. read (N, 6): of each token's
        context, see `gate.features`. ``gain``: what the gate is worth, in nats a token beside the best weights without
        one, judged on tokens held out from it; where that is nothing the gate stays zero. Raises ValueError where the
        lengths differ.
        """
        loss = np.array([np.asarray(part, np.float64) for part in nats]) if len({len(part) for part in nats}) == 1 \
            else np.zeros((0, 0))
        if loss.shape[:1] != self.weights.shape:
            raise ValueError(f"nats of {[len(part) for part in nats]} tokens were given; as many for each of the "
                             f"{len(self.weights)} parts were expected")
        if read is None:
            self.weights, self.gate, self.gain = gate.fit_weights(loss), np.zeros_like(self.gate), 0.0
        else:
            self.weights, self.gate, self.gain = gate.fit_gate(loss, read)
        return self

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self.joined(batch, [part.start(batch) for part in self.parts])

    def features(self, batch: Batch, state: State | None = None,
                 needed: Sequence[int] | None = None) -> tuple[Joined, State]:
        """What the parts' predictors read, and the states the sequences end in; of all parts or those `needed`."""
        state = state or self.start(batch.sequences)
        rows, after = [], []
        for index, (part, own) in enumerate(zip(self.parts, self.states_of(state), strict=True)):
            x, left = part.read(batch, own) if needed is None or index in needed else (_UNREAD, own)
            rows.append(x)
            after.append(left)
        return Joined(rows, batch.places), self.joined(batch.sequences, after)

    def joined(self, sequences: int, states: Sequence[State]) -> State:
        """The parts' states as one."""
        return State(sequences, **{f"{index}/{name}": array for index, state in enumerate(states)
                                   for name, array in state.arrays.items()})

    def states_of(self, state: State) -> list[State]:
        """What `joined` made one of."""
        prefixes = [f"{index}/" for index in range(len(self.parts))]
        return [State(len(state), **{name.removeprefix(prefix): array for name, array in state.arrays.items()
                                     if name.startswith(prefix)}) for prefix in prefixes]

    def stepper(self, state: State) -> Stepper:
        """That of every part, unless a subclass changes what they read."""
        return _PartsStepper(self, state) if type(self).features is Mixture.features else Stepper(self, state)

    # keeping ------------------------------------------------------------------------------------------------------

    def quantized(self) -> Mixture:
        options = self.options | {"parts": [part.quantized() for part in self.parts]}
        out = type(self)(self.vocab_size, **options)
        out.weights, out.gate = self.weights.copy(), self.gate.copy()
        return out

    def tensors(self) -> dict[str, Array]:
        return {"weights": self.weights, "gate": self.gate} | {
            f"{index}/{name}": array for index, part in enumerate(self.parts) for name, array in part.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        weights, found = tensors.get("weights"), tensors.get("gate", np.zeros_like(self.gate))
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"its weights are {weights}; {len(self.weights)} positive numbers of sum 1 were expected")
        if found.dtype != np.float64 or found.shape != self.gate.shape or not (np.abs(found) < 1e6).all():
            raise ValueError(f"its gate is {found}; finite numbers of shape {self.gate.shape} were expected")
        left = tensors.keys() - {"weights", "gate"}
        for index, part in enumerate(self.parts):
            prefix = f"{index}/"
            own = {name for name in left if name.startswith(prefix)}
            part.restore({name.removeprefix(prefix): tensors[name] for name in own})
            left -= own
        if left:
            raise ValueError(f"it holds tensors {sorted(left)} of no use")
        self.weights, self.gate = weights.copy(), found.copy()

    def labels(self) -> list[str]:
        """What is mixed, as it is shown to people."""
        return [repr(part) for part in self.parts]

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:.2f} {label}" for weight, label in zip(self.weights, self.labels(), strict=True))
        return f"<{type(self).__name__} of {parts}>"


class Joined(Variable):
    """The rows of several models; ``value``: side by side (N, D1 + D2 + ...) in float64, which holds ids and float32
    numbers as they are. ``places``: those of the batch."""

    __slots__ = ("places", "rows")

    def __init__(self, rows: list[Variable], places: Array | None = None) -> None:
        self.rows, self.places = rows, places

    @property
    def value(self) -> Array:   # type: ignore[override]
        parts = [x.value if x.value.ndim == 2 else x.value[:, None] for x in self.rows]
        return np.concatenate([part.astype(np.float64) for part in parts], axis=1)


class _PartsStepper(Stepper):
    """The steppers of all parts, which read the same tokens."""

    def __init__(self, model: Mixture, state: State) -> None:
        super().__init__(model, state)
        self._mixture = model
        self._parts = [part.stepper(own) for part, own in zip(model.parts, model.states_of(state), strict=True)]

    def read(self, ids: Array | int) -> Array:
        array = self.model.check_step(ids, len(self._state))
        one = int(array[0]) if len(array) == 1 else array   # what the steppers of networks need not check again
        return Joined([Variable(part.read(one)) for part in self._parts]).value

    @property
    def state(self) -> State:
        return self._mixture.joined(len(self._state), [part.state for part in self._parts])


_UNREAD = Variable(np.zeros((0, 0), np.float32))


class Mixed(OutputLayer):
    """Hands every part's predictor its columns, and mixes what comes back. ``mixed``: how many distributions."""

    losses: tuple[str, ...] = ()

    def __init__(self, model: Mixture) -> None:
        self.model, self.mixed = model, len(model.parts)
        self.columns: list[tuple[slice, np.dtype, bool]] = []
        end = 0
        one = Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1)
        for part in model.parts:
            rows = part.read(one)[0].value
            width = rows.size
            self.columns.append((slice(end, end + width), rows.dtype, rows.ndim == 1))
            end += width

    def rows(self, x: Any) -> list[Array]:
        """What each part's predictor reads."""
        if isinstance(x, Joined):
            return [part.value for part in x.rows]
        x = x.value if isinstance(x, Variable) else x
        parts = [np.ascontiguousarray(x[:, columns].astype(dtype)) for columns, dtype, _ in self.columns]
        return [part[:, 0] if flat else part for part, (_, _, flat) in zip(parts, self.columns, strict=True)]

    def log_weights(self, rows: list[Array]) -> Array:
        """ln of the weights (N, K), or (1, K) where they do not depend on the context."""
        model, read = self.model, self.read(rows) if self.model.gate.any() else None
        return np.log(model.weights)[None] if read is None else gate.log_weights(model.weights, model.gate, read)

    def read(self, rows: list[Array]) -> Array | None:
        """What the gate reads (N, 6), where the first part is a KneserNey."""
        first = self.model.parts[0]
        return gate.features(first, rows[0]) if isinstance(first, KneserNey) else None

    def each(self, rows: list[Array]) -> Iterator[Array]:
        """Log-probabilities (N, V) float32 of every model mixed."""
        for part, own in zip(self.model.parts, rows, strict=True):
            out = empty((len(own), self.model.vocab_size))
            part.predictor.write(out, own)
            _core.log_softmax(out, out)
            yield out

    def each_nats(self, rows: list[Array], targets: Array) -> list[Array]:
        """-log p (N,) float64 of the targets by every model mixed."""
        return [part.predictor.nats(own, targets) for part, own in zip(self.model.parts, rows, strict=True)]

    def logits(self, x: Any) -> Variable:
        rows = self.rows(x)
        weights = self.log_weights(rows).astype(np.float32)
        mixed: Array | None = None
        for index, own in enumerate(self.each(rows)):
            own += weights[:, index: index + 1]
            mixed = own if mixed is None else np.logaddexp(mixed, own, out=mixed)
        assert mixed is not None
        return Variable(mixed)

    def nats(self, x: Any, targets: Array) -> Array:
        rows = self.rows(x)
        weighted = self.log_weights(rows).T - np.array(self.each_nats(rows, targets))
        return np.where(targets < 0, 0.0, -np.logaddexp.reduce(weighted, axis=0))

    def rows_together(self, vocab_size: int) -> int:
        return min(part.rows_together() for part in self.model.parts)

    def check_loss(self, kind: str) -> str:
        raise ValueError("a Mixture is not trained by itself; train its parts, then fit its weights")
