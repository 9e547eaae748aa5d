"""Several prefix models mixed: itself a prefix model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlm.autodiff.tape import Parameter, active
from fastlm.batch import Batch, Rows, State
from fastlm.models.base import PrefixModel, Stepper, restore_parameters
from fastlm.models.mixture import gate
from fastlm.models.mixture.heads import MixtureHead
from fastlm.models.mixture.residual import Residual

Array = np.ndarray
_KEPT = ("weights", "gate")   # the mixture's own tensors


class Mixture(PrefixModel):
    """p(w|h) = sum over the parts of weight_k(h) p_k(w|h), the weights positive and of sum 1. Jelinek & Mercer 1980.

    `parts`: prefix models of one vocabulary, or their configurations. Counts and a network err on different tokens:
    mixed they are better than either. Count models are fitted by themselves. The networks, the parts that have
    parameters, are trained side by side: every batch is read by each, and the loss is the mean of theirs; networks of
    other seeds err elsewhere, and mixed are better than any of them (Hansen & Salamon 1990). `estimate_weights` then
    chooses ``weights`` (K,), and where the first part is a KneserNey a ``gate`` (6, K) by which they depend on the
    context, on text that no part has seen. Before that they are equal.

    residual: whether each network also predicts what the n-grams miss, see `Residual`; what each of them makes of the
    n-grams is mixed in as well. Such networks are trained by a `CrossFittedLoss`.

    >>> from fastlm.models import LSTM, DecayedBag, KneserNey
    >>> Mixture(5, [KneserNey(5, order=2), DecayedBag(5, width=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    >>> Mixture(5, [KneserNey(5, order=2), LSTM(5, hidden=3)], residual=True).labels()[-1]
    'n-grams corrected by the LSTM'
    """

    # Before networks were trained beside each other in one class, files knew three.
    FILE_NAMES: ClassVar[tuple[str, ...]] = ("Mixture", "Ensemble", "Corrected")

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]], residual: bool = False) -> None:
        self.parts = [PrefixModel.build(part) if isinstance(part, dict) else part for part in parts]
        super().__init__(vocab_size, parts=[part.config() for part in self.parts],
                         **({"residual": True} if residual else {}))
        if not self.parts:
            raise ValueError("parts is empty; at least one model was expected")
        for part in self.parts:
            if part.vocab_size != vocab_size:
                raise ValueError(f"{part!r} is for {part.vocab_size} ids; one for {vocab_size} was expected")
        self.residual = Residual(self.parts, self.own_parameters, self.parameter) if residual else None
        self.head: MixtureHead = MixtureHead(self.parts, self.residual)
        self.gain = 0.0

    @classmethod
    def options_from_file(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments; how "Corrected" networks were trained is for `Plan` to know."""
        kept = {option: value for option, value in options.items() if option not in ("folds", "done", "own")}
        return kept | ({"residual": True} if name == "Corrected" else {})

    @property
    def weights(self) -> Array:
        """(K,) float64, positive and of sum 1: of every part, then of what each network makes of the n-grams."""
        return self.head.weights

    @weights.setter
    def weights(self, weights: Array) -> None:
        self.head.weights = weights

    @property
    def gate(self) -> Array:
        """(6, K) float64: how the weights depend on the context; zeros where they do not."""
        return self.head.gate

    @gate.setter
    def gate(self, factors: Array) -> None:
        self.head.gate = factors

    @property
    def networks(self) -> list[int]:
        """Which of the parts have parameters and are trained."""
        return [index for index, part in enumerate(self.parts) if part.parameters]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Those of the networks, after the number of the part where there are several, and those of the residual."""
        several = len(self.networks) > 1
        return {f"{index}/{name}" if several else name: parameter for index in self.networks
                for name, parameter in self.parts[index].parameters.items()} | self.own_parameters

    def kinds(self) -> str:
        """Return the classes of the parts."""
        return ", ".join(type(part).__name__ for part in self.parts)

    def initialise(self, frequencies: Array) -> None:
        for index in self.networks:
            self.parts[index].initialise(frequencies)

    def estimate_weights(self, nll: Sequence[Array], features: Array | None = None) -> Mixture:
        """Choose the weights, and the gate where there are features of the contexts; return the model itself.

        nll: for each distribution mixed -log p (N,) float64 of the same held-out tokens, see `MixtureHead.nll_by_part`.
        features (N, 6): of each token's context, see `gate.features`. ``gain``: what the gate is worth, in nats a token
        beside the best weights without one, judged on tokens held out from it; where that is nothing the gate stays
        zero. Raises ValueError where the lengths differ.
        """
        loss = np.array([np.asarray(part, np.float64) for part in nll]) if len({len(part) for part in nll}) == 1 \
            else np.zeros((0, 0))
        if loss.shape[:1] != self.weights.shape:
            raise ValueError(f"nll of {[len(part) for part in nll]} tokens were given; as many for each of the "
                             f"{len(self.weights)} parts were expected")
        if features is None:
            self.weights, self.gate, self.gain = gate.fit_weights(loss), np.zeros_like(self.gate), 0.0
        else:
            self.weights, self.gate, self.gain = gate.fit_gate(loss, features)
        return self

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self.joined(batch, [part.start(batch) for part in self.parts])

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Rows, State]:
        """Return what the parts' heads read, and the states the sequences end in.

        While a tape records, count models are not read: training needs the networks' rows alone.
        """
        state = state or self.start(batch.sequences)
        tape = active()
        needed = self.networks if tape is not None and tape.record else range(len(self.parts))
        rows, after = [], []
        for index, (part, part_state) in enumerate(zip(self.parts, self.states_of(state), strict=True)):
            x, left = part.forward(batch, part_state) if index in needed else (None, part_state)
            rows.append(x)
            after.append(left)
        return Rows(*rows), self.joined(batch.sequences, after)

    def joined(self, sequences: int, states: Sequence[State]) -> State:
        """Return the parts' states as one."""
        return State(sequences, **{f"{index}/{name}": array for index, state in enumerate(states)
                                   for name, array in state.arrays.items()})

    def states_of(self, state: State) -> list[State]:
        """Return what `joined` made one of."""
        prefixes = [f"{index}/" for index in range(len(self.parts))]
        return [State(len(state), **{name.removeprefix(prefix): array for name, array in state.arrays.items()
                                     if name.startswith(prefix)}) for prefix in prefixes]

    def stepper(self, state: State) -> Stepper:
        """Return that of every part, unless a subclass changes what they read."""
        return _PartsStepper(self, state) if type(self).forward is Mixture.forward else Stepper(self, state)

    # keeping ------------------------------------------------------------------------------------------------------

    def quantized(self) -> Mixture:
        out = type(self)(self.vocab_size, [part.quantized() for part in self.parts], self.residual is not None)
        out.weights, out.gate = self.weights.copy(), self.gate.copy()
        if self.residual is not None and out.residual is not None:
            out.residual.take_quantized(self.residual)
        return out

    def units(self, name: str) -> str | None:
        return "columns" if name in self.own_parameters and len(self.own_parameters[name].shape) == 2 else None

    def tensors(self) -> dict[str, Array]:
        kept = {"weights": self.weights, "gate": self.gate}
        for index, part in enumerate(self.parts):
            kept |= {f"{index}/{name}": array for name, array in part.tensors().items()}
        return kept | {name + ending: array for name, parameter in self.own_parameters.items()
                       for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        weights, found = tensors.get("weights"), tensors.get("gate", np.zeros_like(self.gate))
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"its weights are {weights}; {len(self.weights)} positive numbers of sum 1 were expected")
        if found.dtype != np.float64 or found.shape != self.gate.shape or not (np.abs(found) < 1e6).all():
            raise ValueError(f"its gate is {found}; finite numbers of shape {self.gate.shape} were expected")
        left = {name: array for name, array in tensors.items() if name not in _KEPT}
        for index, part in enumerate(self.parts):
            prefix = f"{index}/"
            inside = {name for name in left if name.startswith(prefix)}
            part.restore({name.removeprefix(prefix): left.pop(name) for name in inside})
        rounded = restore_parameters(self.own_parameters, left, self.units)
        if self.residual is not None:
            self.own_parameters.update(rounded)
        self.weights, self.gate = weights.copy(), found.copy()

    def labels(self) -> list[str]:
        """Return what is mixed, as it is shown to people."""
        names = [type(self.parts[index]).__name__ for index in self.networks] if self.residual is not None else []
        return [repr(part) for part in self.parts] + [f"n-grams corrected by the {name}" for name in names]

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:.2f} {label}" for weight, label in zip(self.weights, self.labels(), strict=True))
        return f"<{type(self).__name__} of {parts}>"


class _PartsStepper(Stepper):
    """The steppers of all parts, which read the same tokens."""

    def __init__(self, model: Mixture, state: State) -> None:
        super().__init__(model, state)
        self._mixture = model
        self._parts = [part.stepper(own) for part, own in zip(model.parts, model.states_of(state), strict=True)]

    def advance(self, ids: Array | int) -> Rows:
        array = self.model.check_step(ids, len(self._state))
        one = int(array[0]) if len(array) == 1 else array   # what the steppers of networks need not check again
        return Rows(*(part.advance(one) for part in self._parts))

    @property
    def state(self) -> State:
        return self._mixture.joined(len(self._state), [part.state for part in self._parts])
