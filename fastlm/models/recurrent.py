"""Language models of recurrent layers: everything but the cell."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlm import autodiff, heads
from fastlm.autodiff import Parameter, Variable, cells
from fastlm.autodiff.cells import Cell
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel, Stepper, check_sizes, named, uniform
from fastlm.models.hashed_ngrams import HashedNGrams, embed
from fastlm.models.lookback import Lookback

Array = np.ndarray


class Recurrent(PrefixModel, abstract=True):
    """Embedding -> `layers` recurrent layers -> softmax. A subclass names the `CELL` that its layers are made of."""

    CELL: ClassVar[Cell]

    def __init__(self, vocab_size: int, hidden: int = 256, layers: int = 1, width: int | None = None,
                 tied: bool = False, dropout: float = 0.0, seed: int = 0, output: dict[str, Any] | None = None,
                 ngrams: dict[str, Any] | None = None, lookback: dict[str, Any] | None = None) -> None:
        width = hidden if width is None else width
        super().__init__(vocab_size, hidden=hidden, layers=layers, width=width, tied=tied, dropout=dropout, seed=seed,
                         **named(output=output, ngrams=ngrams, lookback=lookback))
        if layers < 1:
            raise ValueError(f"layers = {layers}; at least 1 was expected")
        check_sizes(hidden=hidden, width=width)
        if tied and width != hidden:
            raise ValueError(f"width = {width} and hidden = {hidden}; tied embeddings need them equal")
        rng = np.random.default_rng(seed)
        self.hidden, self.layers, self.tied, self.dropout = hidden, layers, tied, dropout
        scale = 1 / np.sqrt(hidden)
        self.embedding = self.parameter("embedding", uniform(rng, (vocab_size, width), scale if tied else 1.0))
        self.ngrams = HashedNGrams(ngrams, self.parameter)
        for layer in range(layers):
            inputs = width + self.ngrams.width if layer == 0 else hidden
            self.parameter(f"input{layer}", uniform(rng, (inputs, self.CELL.gates * hidden), 1 / np.sqrt(inputs)))
            self.parameter(f"recurrent{layer}", uniform(rng, (hidden, self.CELL.gates * hidden), scale))
            gates = np.zeros(self.CELL.gates * hidden, np.float32)
            gates[hidden: 2 * hidden] = 1   # remember at first: Gers et al. 2000
            self.parameter(f"bias{layer}", gates)
            if self.CELL.recurrent_bias:
                self.parameter(f"recurrent_bias{layer}", np.zeros(hidden, np.float32))
        self.head = heads.build(output, self.parameter, lambda shape: uniform(rng, shape, scale), vocab_size,
                                          hidden, self.embedding if tied else None)
        self.lookback = Lookback(lookback, self.parameter, hidden, rng)

    def layer_parameters(self, layer: int) -> list[Parameter]:
        """Return a layer's parameters in the order of `cells.layer`."""
        names = "input", "bias", "recurrent", *(["recurrent_bias"] if self.CELL.recurrent_bias else [])
        return [self.parameters[f"{name}{layer}"] for name in names]

    def layer_states(self, layer: int, state: State) -> list[Array]:
        """Return the arrays of a state that one layer carries."""
        return [state[f"{name}{layer}"] for name in self.CELL.states]

    def start(self, batch: int = 1) -> State:
        zeros = {f"{name}{layer}": np.zeros((batch, self.hidden), np.float32)
                 for layer in range(self.layers) for name in self.CELL.states}
        return State(batch, **zeros, **self.ngrams.start(batch), **self.lookback.start(batch))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        after: dict[str, Array] = {}
        x, rows = embed(self.embedding, self.ngrams, batch, state, after)
        for layer in range(self.layers):
            x = autodiff.dropout(x, self.dropout if rows is None or layer else 0.0)
            x, reached = cells.layer(self.CELL, x, self.layer_parameters(layer), batch, self.layer_states(layer, state),
                                     None if layer else rows)
            after.update(zip((f"{name}{layer}" for name in self.CELL.states), reached, strict=True))
        x = self.lookback.added_to(x, batch, state, after)
        return autodiff.dropout(x, self.dropout), State(batch.sequences, **after)

    def step(self, state: State, ids: Array | int) -> tuple[Array, State]:
        stepper = self.stepper(state)
        if not isinstance(stepper, RecurrentStepper):
            return super().step(state, ids)
        return stepper.step(ids), stepper.end()

    def stepper(self, state: State) -> Stepper:
        """Return a stepper that computes in buffers of its own, unless a subclass changes what is computed."""
        unchanged = type(self).forward is Recurrent.forward and not self.ngrams.width
        return RecurrentStepper(self, state) if unchanged else Stepper(self, state)


class RecurrentStepper(Stepper):
    """A `Stepper` that allocates nothing large: a copy of the layers' states moves on in place, and for few sequences
    one C call a layer reads every weight once."""

    def __init__(self, model: Recurrent, state: State) -> None:
        super().__init__(model, state.copy())
        self._ids = np.empty(len(state), np.int64)
        self._embedding, self._lookback = model.embedding, model.lookback.stepper(state)
        self._embedded = np.empty((len(state), model.embedding.shape[1]), np.float32)
        self._layers: list[cells.LayerStepper] = []
        x = self._embedded
        for layer in range(model.layers):
            self._layers.append(cells.LayerStepper(model.CELL, x, model.layer_parameters(layer),
                                                   model.layer_states(layer, self._state)))
            x = self._layers[-1].output
        self._last = x

    def advance(self, ids: Array | int) -> Array:
        if type(ids) is int and 0 <= ids < self.model.vocab_size and len(self._ids) == 1:
            self._ids[0] = ids
        else:
            self._ids[:] = self.model.check_step(ids, len(self._ids))
        self._embedding.gather(self._embedded, self._ids)
        for layer in self._layers:
            layer.advance()
        return self._last if self._lookback is None else self._lookback.added_to(self._last)

    def end(self) -> State:
        """Return the state itself, not a copy, for a stepper that takes no more steps."""
        if self._lookback is not None:
            self._state.arrays.update(self._lookback.state())
        return self._state

    @property
    def state(self) -> State:
        return self.end().copy()
