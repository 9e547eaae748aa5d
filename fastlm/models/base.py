"""The contract of a prefix model: what every f must offer to be trained, scored and sampled from."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastlm import _core, autodiff
from fastlm.autodiff import Parameter, Variable
from fastlm.autodiff.int8 import Int8Parameter
from fastlm.autodiff.matmul import aligned
from fastlm.batch import Batch, State
from fastlm.heads import Head
from fastlm.models.initial import PER_MODEL, are_zeros, reserve, reserve_parameter, uniform

Array = np.ndarray
_ROWS = 4096   # read together: a network makes some dozen numbers a row and unit


class PrefixModel:
    """A network that scores the next token after every prefix.

    A subclass gives ``__init__`` (call ``super().__init__(vocab_size, **options)`` with every other argument it took,
    then ``self.parameter(name, values)`` for each array), ``forward`` from the primitives of ``fastlm.autodiff``,
    ``fastlm.recurrence`` and ``fastlm.attention``, and ``start`` where it carries a state. Training, scoring,
    generation and the model file then work as for the built-in ones.

    ``forward`` gives a row for every prefix, and ``head`` reads the rows. The default head takes a row as the logits of
    the next token. The built-in networks set ``head`` to one that multiplies the rows by output weights itself, so that
    a target's probability, or the k likeliest tokens, need not cost all V logits.

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
    FILE_NAMES: ClassVar[tuple[str, ...]] = ()             # what model files call the class, where not by its name
    FILE_OPTIONS: ClassVar[Mapping[str, str]] = {}         # option -> its name in model files, where it differs

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not abstract:   # a class that only others are made from has no name in model files
            cls._register()

    @classmethod
    def _register(cls) -> None:
        """Give the class to model files by its names there; ValueError where another file's class has one of them.

        A class that is defined once more in the same file, as in a notebook, takes the place of the older one.
        """
        names = vars(cls).get("FILE_NAMES") or (cls.__name__,)
        for known in (PrefixModel.registry.get(name, cls) for name in names):
            if _origin(known) != _origin(cls):
                raise ValueError(f"{cls.__module__}.{cls.__qualname__} has the name of {known.__module__}."
                                 f"{known.__qualname__}, and a model file holds the name alone; another name was "
                                 "expected")
        PrefixModel.registry |= dict.fromkeys(names, cls)

    def __init__(self, vocab_size: int, **options: Any) -> None:
        if not isinstance(vocab_size, int | np.integer) or vocab_size < 1:
            raise ValueError(f"vocab_size = {vocab_size!r}; a whole number of at least 1 was expected")
        reserve(PER_MODEL, f"one more {type(self).__name__}")
        self.vocab_size = int(vocab_size)
        self.options = options
        self.own_parameters: dict[str, Parameter] = {}
        self.head = Head()

    def parameter(self, name: str, value: Array, decay: bool | None = None) -> Parameter:
        """Registers an array as trainable, float32 from here on. Vectors are exempt from decay unless said."""
        if name in self.own_parameters:
            raise ValueError(f"parameter {name!r} is there already; every name may be used once")
        array = np.asarray(value)
        reserve_parameter(name, array.shape)
        decay = array.ndim > 1 if decay is None else decay
        if are_zeros(array):
            parameter = Parameter(name, np.zeros(()), decay)
            parameter.value = aligned(array.shape, np.zeros)   # takes memory only where something is written to it
        else:
            parameter = Parameter(name, array, decay)
        self.own_parameters[name] = parameter
        return parameter

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every array that training changes, by name; a mixture has those of its parts too."""
        return self.own_parameters

    def config(self) -> dict[str, Any]:
        """Return what `PrefixModel.build` makes this architecture from again: its name and the arguments it took, as
        model files name them."""
        name = (vars(type(self)).get("FILE_NAMES") or (type(self).__name__,))[0]
        options = {self.FILE_OPTIONS.get(option, option): value for option, value in self.options.items()}
        return {"name": name, "vocab_size": self.vocab_size, **options}

    @classmethod
    def options_from_file(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments from those that a model file holds under the class's `name` there."""
        renamed = {in_file: option for option, in_file in cls.FILE_OPTIONS.items()}
        return {renamed.get(option, option): value for option, value in options.items()}

    @staticmethod
    def build(config: dict[str, Any]) -> PrefixModel:
        """The model that `config()` described, freshly initialised; ValueError for an unknown class or argument."""
        options = dict(config)
        name = options.pop("name", None)
        if name not in PrefixModel.registry:
            raise ValueError(f"model {name!r} is not known here; a class of that name must be imported first, or one "
                             f"of {', '.join(sorted(PrefixModel.registry))} was expected")
        found = PrefixModel.registry[name]
        try:
            return found(**found.options_from_file(name, options))
        except TypeError as error:
            raise ValueError(f"{name} cannot be built from {options}: {error}") from None

    def start(self, batch: int = 1) -> State:
        """The state of `batch` empty prefixes."""
        return State(batch)

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Any, State]:
        """Return a row for every prefix of every sequence, and the states the sequences end in.

        Row n is what `head` predicts the token after ``batch.ids[n]`` from, given all of its sequence up to and
        including it: a Variable (N, D), or `Rows` where a row is more than one float32 vector.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def logits(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """Return logits (N, V), whose softmax is the distribution of the token after every prefix, and the states the
        sequences end in."""
        rows, state = self.forward(batch, state)
        return self.head.logits(rows), state

    @property
    def row_width(self) -> int:
        """How many numbers a row of `forward` has; a model whose rows are no float32 matrix has none that is used."""
        return self.vocab_size if self.head.width is None else self.head.width

    def rows_together(self) -> int:
        """Return how many rows a reader of long texts should ask `forward` for at once."""
        return min(_ROWS, self.head.rows_together(self.vocab_size))

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        """Return whether `score` is the fastest way to score this sequence; if not, several are read side by side."""
        return False

    def score(self, inputs: Array, targets: Array) -> Array:
        """Return -log p (n,) float64 of the targets (n,) int32, each after the inputs up to its own; 0 for a target -1.

        inputs (n,) int32: one sequence, read from an empty prefix. A model that has a faster way than `forward`
        overrides this and `scores_directly`.
        """
        nll, state = np.empty(len(targets), np.float64), None
        together = self.rows_together()
        with autodiff.Tape(record=False):
            for first in range(0, len(inputs), together):
                part = slice(first, first + together)
                rows, state = self.forward(Batch.of([inputs[part]]), state)
                nll[part] = self.head.nats(rows, targets[part])
        return nll

    def initialise(self, frequencies: Array) -> None:
        """Called once before training with the tokens' counts (V,); a place to set the output bias."""
        bias = self.parameters.get("output_bias")
        if bias is not None and bias.value.shape == (self.vocab_size,):
            bias.value[:] = np.log((frequencies + 0.1) / (frequencies.sum() + 0.1 * self.vocab_size))
        self.head.initialise(frequencies)

    def tensors(self) -> dict[str, Array]:
        """The arrays that the model file keeps, by name."""
        return {name + ending: array for name, parameter in self.parameters.items()
                for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        """Takes what `tensors` gave, from a file that nobody has checked; ValueError where it does not fit.

        A matrix in int8, with its scale, takes the place of the float32 one.
        """
        if rounded := restore_parameters(self.parameters, tensors, self.units):
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
        """Read one more token of every sequence: return logits (S, V) and the new state.

        ids (S,) or one int. The state given is not changed. Costs the same however long the prefix is; `stepper` saves
        what making the new state and logits costs.
        """
        array = self.check_step(ids, len(state))
        logits, state = self.logits(Batch(array, np.array([len(array)], np.uintp), len(array)), state)
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
        by_rows = name in ("embedding", "ngrams") or self.head.by_rows(self.parameters[name])
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
        logits, _ = self.logits(Batch.one(array), state)
        out = np.array(logits.value, np.float32)
        _core.log_softmax(out, out)
        return out

    def __repr__(self) -> str:
        count = sum(math.prod(parameter.shape) for parameter in self.parameters.values())
        options = ", ".join(f"{name}={value!r}" for name, value in self.config().items() if name != "name")
        return f"<{type(self).__name__}({options}), {count:,} parameters>"


class Stepper:
    """S sequences under a prefix model, read one token a step. Made by ``model.stepper(state)``.

    ``advance`` reads a token of every sequence and gives the rows that ``model.head`` reads, ``step`` their logits.
    What they return lies in buffers of the stepper's own, which the next call writes over. This class calls
    ``model.forward``; a model may offer a stepper that allocates nothing. It belongs to one thread at a time. Weights
    changed in place are seen.

    >>> stepper = model.stepper(model.start())               # doctest: +SKIP
    >>> logits = stepper.step(5)                             # doctest: +SKIP
    """

    def __init__(self, model: PrefixModel, state: State) -> None:
        self.model = model
        self._state = state
        self._logits: Array | None = None

    def advance(self, ids: Array | int) -> Any:
        """Read one more token of every sequence, ids (S,) or one int; return rows (S, D) for `model.head`.

        Raises what `PrefixModel.step` raises; the state is then as it was.
        """
        array = self.model.check_step(ids, len(self._state))
        rows, self._state = self.model.forward(Batch(array, np.array([len(array)], np.uintp), len(array)), self._state)
        return rows.value

    def step(self, ids: Array | int) -> Array:
        """Read one more token of every sequence; return the logits (S, V) of what follows."""
        rows = self.advance(ids)
        if self._logits is None:
            self._logits = np.empty((len(self._state), self.model.vocab_size), np.float32)
        self.model.head.write(self._logits, rows)
        return self._logits

    @property
    def state(self) -> State:
        """The state reached, which later steps do not change."""
        return self._state


def check_sizes(**sizes: Any) -> None:
    """Raise ValueError for a width, or another size given by its name, that is no whole number of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} = {value!r}; a whole number of at least 1 was expected")


def restore_parameters(parameters: Mapping[str, Parameter], tensors: Mapping[str, Array],
                       units: Callable[[str], str | None]) -> dict[str, Int8Parameter]:
    """Write float32 tensors into the parameters of their names, and return int8 ones, which take the places of others.

    units: as `PrefixModel.units`. Raises ValueError where a tensor is missing, does not fit or has no use.
    """
    rounded: dict[str, Int8Parameter] = {}
    for name, parameter in parameters.items():
        found = tensors.get(name)
        if found is None or found.shape != parameter.shape:
            raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape "
                             f"{parameter.shape} was expected")
        if found.dtype == np.int8 and (lines := units(name)) and f"{name}/scale" in tensors:
            rounded[name] = Int8Parameter(name, found, tensors[f"{name}/scale"], lines == "rows")
        elif found.dtype == np.float32:
            parameter.value[...] = found
        else:
            raise ValueError(f"parameter {name} is {found.dtype}; float32, or int8 with a scale, was expected")
    if extra := tensors.keys() - parameters.keys() - {f"{name}/scale" for name in rounded}:
        raise ValueError(f"it holds parameters {sorted(extra)} of no use")
    return rounded


def current_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration out of a file as `PrefixModel.config` would write it today, its parts' included."""
    known = PrefixModel.registry.get(config.get("name", ""))
    if known is None:
        return config
    options = known.options_from_file(config["name"], {name: value for name, value in config.items() if name != "name"})
    inside = {name: [current_config(part) for part in value] if name == "parts" else
              current_config(value) if name == "model" else value for name, value in options.items()}
    renamed = {known.FILE_OPTIONS.get(name, name): value for name, value in inside.items()}
    return {"name": (vars(known).get("FILE_NAMES") or (known.__name__,))[0], **renamed}


def named(**given: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments for a model's configuration: left out where they are None, as in files that are older than they."""
    return {name: options for name, options in given.items() if options is not None}


def _origin(cls: type) -> str:
    """The file that a class was defined in, or where there is none, as in a notebook, its module."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__


__all__ = ["Batch", "Parameter", "PrefixModel", "State", "autodiff", "check_sizes", "named", "uniform"]
