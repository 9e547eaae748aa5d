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
_OWN_TENSORS = ("weights", "gate")   # those of a model file that belong to no part
_LARGEST = 1e6   # of a gate out of a file, so that the exponentials of the weights stay finite; an assumption


class Mixture(PrefixModel):
    """p(w|h) = sum over the parts of weight_k(h) p_k(w|h), the weights positive and of sum 1. Jelinek & Mercer 1980.

    `parts`: prefix models of one vocabulary, or their configurations. Count models and networks make different errors,
    so a mixture is better than either. Count models are fitted by themselves. The networks, which are the parts with
    parameters, are trained side by side: each reads every batch, and the loss is the mean of their losses. Networks of
    different seeds make different errors too, and a mixture is better than any of them (Hansen & Salamon 1990).
    `estimate_weights` then chooses ``weights`` (K,), and where the first part is a KneserNey a ``gate`` (6, K) by which
    they depend on the context, on text that no part has seen. Before that the weights are equal.

    residual: whether each network also corrects the count models, see `Residual`; the corrected distributions are mixed
    in beside those of the parts. Such networks are trained by a `CrossFittedLoss`.

    >>> from fastlm.models import LSTM, DecayedBag, KneserNey
    >>> Mixture(5, [KneserNey(5, order=2), DecayedBag(5, width=3)]).log_probabilities([4, 0]).shape
    (2, 5)
    >>> Mixture(5, [KneserNey(5, order=2), LSTM(5, hidden=3)], residual=True).labels()[-1]
    'n-grams corrected by the LSTM'
    """

    # Model files have three names for the class: in older versions it was three classes, with and without networks that
    # are trained side by side, and with a residual.
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
        """Return the constructor's arguments from those in a file.

        "Corrected" models kept options of their training in files, which are in the replay record (`Plan`) today.
        """
        kept = {option: value for option, value in options.items() if option not in ("folds", "done", "own")}
        return kept | ({"residual": True} if name == "Corrected" else {})

    @property
    def weights(self) -> Array:
        """The weights (K,) float64, positive and of sum 1: of every part, then of every corrected distribution."""
        return self.head.weights

    @weights.setter
    def weights(self, weights: Array) -> None:
        self.head.weights = weights

    @property
    def gate(self) -> Array:
        """How the weights depend on the context (6, K) float64; zeros where they do not."""
        return self.head.gate

    @gate.setter
    def gate(self, factors: Array) -> None:
        self.head.gate = factors

    @property
    def networks(self) -> list[int]:
        """The indices of the parts that have parameters and are trained."""
        return [index for index, part in enumerate(self.parts) if part.parameters]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of the networks and of the residual; several networks' names begin with the part's index."""
        several = len(self.networks) > 1
        return {f"{index}/{name}" if several else name: parameter for index in self.networks
                for name, parameter in self.parts[index].parameters.items()} | self.own_parameters

    def kinds(self) -> str:
        """Return the names of the parts' classes, separated by commas."""
        return ", ".join(type(part).__name__ for part in self.parts)

    def initialise(self, frequencies: Array) -> None:
        for index in self.networks:
            self.parts[index].initialise(frequencies)

    def estimate_weights(self, nll: Sequence[Array], features: Array | None = None) -> Mixture:
        """Choose the weights, and with features of the contexts the gate too; return the model itself.

        nll: for each distribution mixed -log p (N,) float64 of the same held-out tokens, see `MixtureHead.nll_by_part`.
        features (N, 6): of each token's context, see `gate.features`; without them the gate becomes zero. ``gain``: by
        how many nats a token the gate is better than the best weights without one, on tokens that it was not fitted on;
        where it is no better the gate becomes zero. Raises ValueError where the lengths differ.
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
        return self.join_states(batch, [part.start(batch) for part in self.parts])

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Rows, State]:
        """Return the rows of the parts together, and the states after the batch.

        While a tape records, count models are not run and have None as their rows: training needs those of networks.
        """
        state = state or self.start(batch.sequences)
        tape = active()
        needed = self.networks if tape is not None and tape.record else range(len(self.parts))
        rows, after = [], []
        for index, (part, part_state) in enumerate(zip(self.parts, self.split_state(state), strict=True)):
            part_rows, part_state = part.forward(batch, part_state) if index in needed else (None, part_state)
            rows.append(part_rows)
            after.append(part_state)
        return Rows(*rows), self.join_states(batch.sequences, after)

    def join_states(self, sequences: int, states: Sequence[State]) -> State:
        """Return the states of the parts as one, whose arrays have the part's index before their names."""
        return State(sequences, **{f"{index}/{name}": array for index, state in enumerate(states)
                                   for name, array in state.arrays.items()})

    def split_state(self, state: State) -> list[State]:
        """Return the states of the parts, which `join_states` made into one."""
        prefixes = [f"{index}/" for index in range(len(self.parts))]
        return [State(len(state), **{name.removeprefix(prefix): array for name, array in state.arrays.items()
                                     if name.startswith(prefix)}) for prefix in prefixes]

    def stepper(self, state: State) -> Stepper:
        """Return a stepper that runs a stepper of every part, unless a subclass has a `forward` of its own."""
        return _PartsStepper(self, state) if type(self).forward is Mixture.forward else Stepper(self, state)

    # keeping ------------------------------------------------------------------------------------------------------

    def quantized(self) -> Mixture:
        out = type(self)(self.vocab_size, [part.quantized() for part in self.parts], self.residual is not None)
        out.weights, out.gate = self.weights.copy(), self.gate.copy()
        if self.residual is not None and out.residual is not None:
            out.residual.take_quantized(self.residual)
        return out

    def units(self, name: str) -> str | None:
        if name not in self.own_parameters or len(self.own_parameters[name].shape) != 2 or self.residual is None:
            return None
        return "rows" if self.residual.by_rows(name) else "columns"

    def tensors(self) -> dict[str, Array]:
        tensors = {"weights": self.weights, "gate": self.gate}
        for index, part in enumerate(self.parts):
            tensors |= {f"{index}/{name}": array for name, array in part.tensors().items()}
        return tensors | {name + ending: array for name, parameter in self.own_parameters.items()
                       for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        weights, factors = tensors.get("weights"), tensors.get("gate", np.zeros_like(self.gate))
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"its weights are {weights}; {len(self.weights)} positive numbers of sum 1 were expected")
        if factors.dtype != np.float64 or factors.shape != self.gate.shape or not (np.abs(factors) < _LARGEST).all():
            raise ValueError(f"its gate is {factors}; finite numbers of shape {self.gate.shape} were expected")
        unused = {name: array for name, array in tensors.items() if name not in _OWN_TENSORS}
        for index, part in enumerate(self.parts):
            prefix = f"{index}/"
            of_part = {name for name in unused if name.startswith(prefix)}
            part.restore({name.removeprefix(prefix): unused.pop(name) for name in of_part})
        rounded = restore_parameters(self.own_parameters, unused, self.units)
        if self.residual is not None:
            self.own_parameters.update(rounded)
        self.weights, self.gate = weights.copy(), factors.copy()

    def labels(self) -> list[str]:
        """Return a label for each distribution mixed, in the order of the weights."""
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
        self._steppers = [part.stepper(part_state)
                          for part, part_state in zip(model.parts, model.split_state(state), strict=True)]

    def advance(self, ids: Array | int) -> Rows:
        array = self.model.check_step(ids, len(self._state))
        checked = int(array[0]) if len(array) == 1 else array   # steppers of networks read an int fastest
        return Rows(*(stepper.advance(checked) for stepper in self._steppers))

    @property
    def state(self) -> State:
        return self._mixture.join_states(len(self._state), [stepper.state for stepper in self._steppers])
