"""The contract of a prefix model: what every f must offer to be trained, scored and sampled from."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff import Parameter, Variable
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.matmul import aligned
from fastlm.batch import Batch, State
from fastlm.heads import OutputLayer
from fastlm.models.initial import PER_MODEL, are_zeros, reserve, reserve_parameter, uniform

Array = np.ndarray
_ROWS = 4096   # read together: a network makes some dozen numbers a row and unit


class PrefixModel:
    """A network that scores the next token after every prefix.

    A subclass gives ``__init__`` (call ``super().__init__(vocab_size, **options)`` with every other argument it took,
    then ``self.parameter(name, values)`` for each array), ``forward`` from the primitives of ``fastlm.autodiff``,
    ``fastlm.recurrence`` and ``fastlm.attention``, and ``start`` where it carries a state. Training, scoring,
    generation and the model file then work as for the built-in ones. Those write ``features`` in place of ``forward``
    and set ``output_layer``, which makes logits of them: a target's probability, or the top k, need not cost all V.

    >>> class Bigram(PrefixModel):
    ...     def __init__(self, vocab_size, seed=0):
    ...         super().__init__(vocab_size, seed=seed)
    ...         self.table = self.parameter("table", np.zeros((vocab_size, vocab_size)))
    ...     def forward(self, batch, state=None):
    ...         return autodiff.gather(self.table, batch.ids), state or self.start(batch.sequences)
    >>> Bigram(7).log_probabilities([3]).shape
    (1, 7)
    """

    registry: ClassVar[dict[str, type[PrefixModel]]] = {}
    _ends_in_logits: ClassVar[bool] = True

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not abstract:   # what only others are made from has no name in files
            cls._register()
        if "features" in vars(cls) or "forward" in vars(cls):
            cls._ends_in_logits = "features" not in vars(cls)

    @classmethod
    def _register(cls) -> None:
        """Gives model files the class under its name; ValueError where another file's class has that name.

        A class that is defined once more in the same file, as in a notebook, takes the place of the older one.
        """
        known = PrefixModel.registry.get(cls.__name__, cls)
        if _origin(known) != _origin(cls):
            raise ValueError(f"{cls.__module__}.{cls.__qualname__} has the name of {known.__module__}."
                             f"{known.__qualname__}, and a model file holds the name alone; another name was expected")
        PrefixModel.registry[cls.__name__] = cls

    def __init__(self, vocab_size: int, **options: Any) -> None:
        if not isinstance(vocab_size, int | np.integer) or vocab_size < 1:
            raise ValueError(f"vocab_size = {vocab_size!r}; a whole number of at least 1 was expected")
        reserve(PER_MODEL, f"one more {type(self).__name__}")
        self.vocab_size = int(vocab_size)
        self.options = options
        self.parameters: dict[str, Parameter] = {}
        self.output_layer = OutputLayer()

    def parameter(self, name: str, value: Array, decay: bool | None = None) -> Parameter:
        """Registers an array as trainable, float32 from here on. Vectors are exempt from decay unless said."""
        if name in self.parameters:
            raise ValueError(f"parameter {name!r} is there already; every name may be used once")
        array = np.asarray(value)
        reserve_parameter(name, array.shape)
        decay = array.ndim > 1 if decay is None else decay
        if are_zeros(array):
            self.parameters[name] = parameter = Parameter(name, np.zeros(()), decay)
            parameter.value = aligned(array.shape, np.zeros)   # takes memory only where something is written to it
        else:
            self.parameters[name] = Parameter(name, array, decay)
        return self.parameters[name]

    def config(self) -> dict[str, Any]:
        """What `PrefixModel.build` makes this architecture from again: its class name and the arguments it took."""
        return {"name": type(self).__name__, "vocab_size": self.vocab_size, **self.options}

    @staticmethod
    def build(config: dict[str, Any]) -> PrefixModel:
        """The model that `config()` described, freshly initialised; ValueError for an unknown class or argument."""
        options = dict(config)
        name = options.pop("name", None)
        if name not in PrefixModel.registry:
            raise ValueError(f"model {name!r} is not known here; a class of that name must be imported first, or one "
                             f"of {', '.join(sorted(PrefixModel.registry))} was expected")
        try:
            return PrefixModel.registry[name](**options)
        except TypeError as error:
            raise ValueError(f"{name} cannot be built from {options}: {error}") from None

    def start(self, batch: int = 1) -> State:
        """The state of `batch` empty prefixes."""
        return State(batch)

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """Every prefix of every sequence at once: logits (N, V) and the states the sequences end in.

        Row n scores the token that follows ``batch.ids[n]``, given all of its sequence up to and including it.
        """
        x, state = self.features(batch, state)
        return self.output_layer.logits(x), state

    def features(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """What `output_layer` makes logits of: rows (N, D), and the states the sequences end in."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    @property
    def predictor(self) -> OutputLayer:
        """What reads the rows of `read`: the output layer, or for a model that writes `forward` a plain softmax."""
        return _PLAIN if self._ends_in_logits else self.output_layer

    def read(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """`features`, or the logits of a model that writes `forward`; what follows goes through `predictor`."""
        return self.forward(batch, state) if self._ends_in_logits else self.features(batch, state)

    def rows_together(self) -> int:
        """How many rows a reader of long texts should hand over at once."""
        return min(_ROWS, self.predictor.rows_together(self.vocab_size))

    def score(self, inputs: Array, targets: Array) -> Array | None:
        """-log p (n,) float64 of targets (n,), each after the inputs up to its own, where a model has a faster way to
        it than `read`; else None."""
        return None

    def initialise(self, frequencies: Array) -> None:
        """Called once before training with the tokens' counts (V,); a place to set the output bias."""
        bias = self.parameters.get("output_bias")
        if bias is not None and bias.value.shape == (self.vocab_size,):
            bias.value[:] = np.log((frequencies + 0.1) / (frequencies.sum() + 0.1 * self.vocab_size))
        self.output_layer.initialise(frequencies)

    def tensors(self) -> dict[str, Array]:
        """The arrays that the model file keeps, by name."""
        return {name + ending: array for name, parameter in self.parameters.items()
                for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        """Takes what `tensors` gave, from a file that nobody has checked; ValueError where it does not fit.

        A matrix in int8, with its scale, takes the place of the float32 one.
        """
        rounded: dict[str, Int8Parameter] = {}
        for name, parameter in self.parameters.items():
            found = tensors.get(name)
            if found is None or found.shape != parameter.shape:
                raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape "
                                 f"{parameter.shape} was expected")
            if found.dtype == np.int8 and (units := self.units(name)) and f"{name}/scale" in tensors:
                rounded[name] = Int8Parameter(name, found, tensors[f"{name}/scale"], units == "rows")
            elif found.dtype == np.float32:
                parameter.value[...] = found
            else:
                raise ValueError(f"parameter {name} is {found.dtype}; float32, or int8 with a scale, was expected")
        if extra := tensors.keys() - self.parameters.keys() - {f"{name}/scale" for name in rounded}:
            raise ValueError(f"it holds parameters {sorted(extra)} of no use")
        if rounded:
            vars(self).update(vars(self.with_parameters(rounded)))

    def check(self, ids: Array) -> Array:
        """The ids as int32; IndexError names the first that is outside the vocabulary."""
        array = np.asarray(ids)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"ids of dtype {array.dtype} were given; whole numbers were expected")
        flat = array.reshape(-1)
        outside = (flat < 0) | (flat >= self.vocab_size)
        if outside.any():
            first = int(outside.argmax())
            raise IndexError(f"ids[{first}] = {flat[first]} is outside the vocabulary of {self.vocab_size}")
        return np.ascontiguousarray(array, np.int32)

    def step(self, state: State, ids: Array | int) -> tuple[Array, State]:
        """`forward` of length one: reads one more token a sequence; logits (S, V) and the new state.

        ids (S,) or one int. The state given is not changed. Costs the same however long the prefix is; `stepper` saves
        what making the new state and logits costs.
        """
        array = self.check_step(ids, len(state))
        logits, state = self.forward(Batch(array, np.array([len(array)], np.uintp), len(array)), state)
        return logits.value, state

    def check_step(self, ids: Array | int, sequences: int) -> Array:
        """The ids of one step, int32 (S,), or what is wrong with them."""
        array = self.check(np.atleast_1d(np.asarray(ids)))
        if len(array) != sequences:
            raise ValueError(f"{len(array)} ids were given for {sequences} sequences; one a sequence was expected")
        return array

    def stepper(self, state: State) -> Stepper:
        """What reads on from a state token by token, in place; the state given is not changed."""
        return Stepper(self, state)

    def quantized(self) -> PrefixModel:
        """The same model with its matrices in one byte a weight, for prediction; biases stay as they are.

        A quarter of the memory. ValueError where there is no matrix that the model multiplies by.
        """
        rounded = {name: Int8Parameter.of(parameter, units == "rows") for name, parameter in self.parameters.items()
                   if parameter.trainable and (units := self.units(name))}
        if not rounded:
            raise ValueError(f"{self!r} has no float32 matrices to multiply by, so there is nothing to quantize")
        return self.with_parameters(rounded)

    def units(self, name: str) -> str | None:
        """Which lines of a parameter have a scale each in int8: "columns" of what is multiplied by, "rows" of what is
        looked up or multiplied by transposed, None where it has to stay float32."""
        if len(self.parameters[name].shape) != 2:
            return None
        by_rows = name in ("embedding", "ngrams") or self.output_layer.by_rows(self.parameters[name])
        return "rows" if by_rows else "columns"

    def with_parameters(self, replaced: Mapping[str, Parameter]) -> PrefixModel:
        """A copy with some parameters replaced by others of their shapes, wherever the model holds them."""
        memo: dict[int, Any] = {id(self.parameters[name]): parameter for name, parameter in replaced.items()}
        return copy.deepcopy(self, memo)

    def log_probabilities(self, ids: Array, state: State | None = None) -> Array:
        """log p of every next token (len(ids), V) float32 in nats, after each prefix of one sequence of ids."""
        array = self.check(np.asarray(ids, np.int64) if len(ids) == 0 else ids)
        if not len(array):
            return np.zeros((0, self.vocab_size), np.float32)
        logits, _ = self.forward(Batch(array, np.ones(len(array), np.uintp), 1), state)
        out = np.array(logits.value, np.float32)
        _core.log_softmax(out, out)
        return out

    def __repr__(self) -> str:
        count = sum(math.prod(parameter.shape) for parameter in self.parameters.values())
        options = ", ".join(f"{name}={value!r}" for name, value in self.config().items() if name != "name")
        return f"<{type(self).__name__}({options}), {count:,} parameters>"


class Stepper:
    """S sequences under a prefix model, read one token a step. Made by ``model.stepper(state)``.

    ``read`` moves it on and gives the rows that ``model.predictor`` reads, ``step`` their logits. What they return
    lies in buffers of the stepper's own, which the next call writes over. This class calls ``model.read``; a model may
    offer one that allocates nothing. It belongs to one thread at a time. Weights changed in place are seen.

    >>> stepper = model.stepper(model.start())               # doctest: +SKIP
    >>> logits = stepper.step(5)                             # doctest: +SKIP
    """

    def __init__(self, model: PrefixModel, state: State) -> None:
        self.model = model
        self._state = state
        self._logits: Array | None = None

    def read(self, ids: Array | int) -> Array:
        """Reads one more token of every sequence, ids (S,) or one int -> rows (S, D) for `model.predictor`.

        Raises what `PrefixModel.step` raises; the state is then as it was.
        """
        array = self.model.check_step(ids, len(self._state))
        rows, self._state = self.model.read(Batch(array, np.array([len(array)], np.uintp), len(array)), self._state)
        return rows.value

    def step(self, ids: Array | int) -> Array:
        """`read`, and the logits (S, V) of what follows."""
        rows = self.read(ids)
        if self._logits is None:
            self._logits = np.empty((len(self._state), self.model.vocab_size), np.float32)
        self.model.predictor.write(self._logits, rows)
        return self._logits

    @property
    def state(self) -> State:
        """The state reached, which later steps do not change."""
        return self._state


_PLAIN = OutputLayer()


def check_sizes(**sizes: Any) -> None:
    """Raise ValueError for a width, or another size given by its name, that is no whole number of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} = {value!r}; a whole number of at least 1 was expected")


def named(**given: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments for a model's configuration: left out where they are None, as in files that are older than they."""
    return {name: options for name, options in given.items() if options is not None}


def _origin(cls: type) -> str:
    """The file that a class was defined in, or where there is none, as in a notebook, its module."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__


__all__ = ["Batch", "Parameter", "PrefixModel", "State", "autodiff", "check_sizes", "named", "uniform"]
