"""The contract of a prefix model: what a model must offer to be trained, scored and sampled from."""

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
from fastlm.heads.base import UNSEEN, Head
from fastlm.models import initial
from fastlm.models.initial import PER_MODEL, check_sizes, lie_in_file, named, reserve, reserve_parameter, uniform
from fastlm.text.stored import PART, parts
from fastlm.workers import stop_if_asked

Array = np.ndarray
_ROWS = 4096   # at most that `forward` is asked for at once in long texts; a network holds dozens of numbers for each


class PrefixModel:
    """A network that scores the next token after every prefix.

    A subclass gives ``__init__`` (call ``super().__init__(vocab_size, **options)`` with every other argument it took,
    then ``self.parameter(name, values)`` for each array), ``forward`` from the primitives of ``fastlm.autodiff``,
    ``fastlm.recurrence`` and ``fastlm.attention``, and ``start`` where it carries a state. Training, scoring,
    generation and the model file then work as for the built-in ones.

    ``forward`` gives a row for every prefix, and ``head`` turns rows into predictions. The default head takes a row as
    the logits of the next token. The built-in networks set ``head`` to one that multiplies the rows by output weights
    itself, so that a target's probability, or the k most probable tokens, need not cost all V logits.

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
    FILE_NAMES: ClassVar[tuple[str, ...]] = ()        # names of the class in model files, where its own is not one
    FILE_OPTIONS: ClassVar[Mapping[str, str]] = {}    # option -> its name in model files, where the two differ

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not abstract:   # a class that is only a base of others never stands in a model file
            cls._register()

    @classmethod
    def _register(cls) -> None:
        """Register the class under its names in model files.

        A class that is defined once more in the same file, as in a notebook, replaces the older one. Raises ValueError
        where a class of another source file has one of the names.
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
        """Register an array as trainable under a name; return the parameter, which holds a float32 copy.

        decay: whether weight decay and L2 apply; None: to matrices and not to vectors. Raises ValueError where the name
        is used already.
        """
        if name in self.own_parameters:
            raise ValueError(f"parameter {name!r} is there already; every name may be used once")
        array = np.asarray(value)
        reserve_parameter(name, array.shape)
        decay = array.ndim > 1 if decay is None else decay
        if initial.are_zeros(array):
            parameter = Parameter(name, np.zeros(()), decay)
            parameter.value = aligned(array.shape, np.zeros)   # pages take memory once they are written to
        else:
            parameter = Parameter(name, array, decay)
        self.own_parameters[name] = parameter
        return parameter

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every array that training changes, by name; in a mixture also those of its parts."""
        return self.own_parameters

    def config(self) -> dict[str, Any]:
        """Return the configuration from which `build` makes this architecture again: the name of the class and the
        arguments of its constructor, under their names in model files."""
        name = (vars(type(self)).get("FILE_NAMES") or (type(self).__name__,))[0]
        options = {self.FILE_OPTIONS.get(option, option): value for option, value in self.options.items()}
        return {"name": name, "vocab_size": self.vocab_size, **options}

    @classmethod
    def options_from_file(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments from the options in a model file.

        name: the class's name in that file, which for some classes tells an older form of the options.
        """
        renamed = {in_file: option for option, in_file in cls.FILE_OPTIONS.items()}
        return {renamed.get(option, option): value for option, value in options.items()}

    @staticmethod
    def build(config: dict[str, Any]) -> PrefixModel:
        """Return a new model of a configuration; raise ValueError for an unknown class or argument."""
        options = dict(config)
        name = options.pop("name", None)
        if name not in PrefixModel.registry:
            raise ValueError(f"model {name!r} is not known here; a class of that name must be imported first, or one "
                             f"of {', '.join(sorted(PrefixModel.registry))} was expected")
        cls = PrefixModel.registry[name]
        try:
            return cls(**cls.options_from_file(name, options))
        except TypeError as error:
            raise ValueError(f"{name} cannot be built from {options}: {error}") from None

    def start(self, batch: int = 1) -> State:
        """Return the state of `batch` empty prefixes."""
        return State(batch)

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Any, State]:
        """Return a row for every prefix of every sequence, and the states of the sequences after the batch.

        From row n `head` predicts the token after ``batch.ids[n]``; the row depends on the state and on the tokens of
        its sequence up to and including that one. Rows are a Variable (N, D), or `Rows` where each is more than one
        float32 vector. state: before the batch, None for empty prefixes; it is not changed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def logits(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """Return logits (N, V), whose softmax predicts the token after every prefix, and the states after the batch."""
        rows, state = self.forward(batch, state)
        return self.head.logits(rows), state

    @property
    def row_width(self) -> int:
        """How many numbers a row of `forward` has, where rows are a float32 matrix; elsewhere it means nothing."""
        return self.vocab_size if self.head.width is None else self.head.width

    def rows_together(self) -> int:
        """Return for how many rows at once `forward` is best called when a long text is read."""
        return min(_ROWS, self.head.rows_together(self.vocab_size))

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        """Return whether `score` is the fastest way to score this sequence; if not, several are read side by side."""
        return False

    def score(self, inputs: Array, targets: Array) -> Array:
        """Return -log p (n,) float64 of the targets (n,) int32, each after the inputs up to its own; 0 for a target -1.

        inputs (n,) int32: one sequence, read from an empty prefix. A model that has a faster way than `forward`
        overrides this and `scores_directly`.
        """
        return self.score_on(inputs, targets)[0]

    def score_on(self, inputs: Array, targets: Array, state: State | None = None) -> tuple[Array, State | None]:
        """Return what `score` returns where the inputs (n,) follow others, and the state after them.

        state: after the inputs before, None where there were none. A long document is scored by it part by part.
        """
        nll = np.empty(len(targets), np.float64)
        together, tape = self.rows_together(), autodiff.Tape(record=False)
        for first in range(0, len(inputs), together):
            stop_if_asked()
            part = slice(first, first + together)
            with tape:   # entered anew for every part, since it lends a buffer again only after it was left
                rows, state = self.forward(Batch.one(inputs[part]), state)
                nll[part] = self.head.nats(rows, targets[part])
        return nll, state

    def initialise(self, frequencies: Array) -> None:
        """Set the output bias to the logarithm of the tokens' frequencies; `Trainer` calls it once before training.

        frequencies (V,): how often each token occurs in the training text. An override may set other parameters too.
        """
        bias = self.parameters.get("output_bias")
        if bias is not None and bias.value.shape == (self.vocab_size,):
            bias.value[:] = np.log((frequencies + UNSEEN) / (frequencies.sum() + UNSEEN * self.vocab_size))
        self.head.initialise(frequencies)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays that a model file keeps, by name."""
        return {name + ending: array for name, parameter in self.parameters.items()
                for ending, array in parameter.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        """Set the parameters to arrays that `tensors` gave; raise ValueError where they do not fit.

        They may come from a file that nobody has checked. A matrix in int8 with its scale replaces the float32 one.
        """
        if rounded := restore_parameters(self.parameters, tensors, self.units):
            vars(self).update(vars(self.with_parameters(rounded)))

    def check(self, ids: Array) -> Array:
        """Return ids as int32; raise IndexError with the first one that is outside the vocabulary, TypeError for others
        than whole numbers."""
        array = np.asarray(ids)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"ids of dtype {array.dtype} were given; whole numbers were expected")
        flat = array.reshape(-1)
        for begin, part in parts(flat) if flat.size > PART else ((0, flat),):
            outside = (part < 0) | (part >= self.vocab_size)
            if outside.any():
                first = begin + int(outside.argmax())
                raise IndexError(f"ids[{first}] = {flat[first]} is outside the vocabulary of {self.vocab_size}")
        return np.ascontiguousarray(array, np.int32)

    def step(self, state: State, ids: Array | int) -> tuple[Array, State]:
        """Read one more token of every sequence: return logits (S, V) and the new state.

        ids (S,) or one int. The given state is not changed. The cost does not grow with the prefix; a `stepper` also
        saves the allocation of a new state and of logits at every step.
        """
        array = self.check_step(ids, len(state))
        logits, state = self.logits(Batch(array, np.array([len(array)], np.uintp), len(array)), state)
        return logits.value, state

    def check_step(self, ids: Array | int, sequences: int) -> Array:
        """Return the ids of one step as int32 (S,); raise what `check` raises, and ValueError for another number."""
        array = self.check(np.atleast_1d(np.asarray(ids)))
        if len(array) != sequences:
            raise ValueError(f"{len(array)} ids were given for {sequences} sequences; one a sequence was expected")
        return array

    def stepper(self, state: State) -> Stepper:
        """Return a stepper that reads on from a state token by token, in place; the given state is not changed."""
        return Stepper(self, state)

    def quantized(self) -> PrefixModel:
        """Return the same model with its matrices in int8, for prediction; biases stay float32.

        It takes a quarter of the memory. Raises ValueError where the model multiplies by no float32 matrix.
        """
        rounded = {name: Int8Parameter.of(parameter, units == "rows") for name, parameter in self.parameters.items()
                   if parameter.trainable and (units := self.units(name))}
        if not rounded:
            raise ValueError(f"{self!r} has no float32 matrices to multiply by, so there is nothing to quantize")
        return self.with_parameters(rounded)

    def units(self, name: str) -> str | None:
        """Return which lines of a parameter have scales in int8: "columns" of a matrix that rows are multiplied by,
        "rows" of a table or of a matrix used transposed; None for a parameter that has to stay float32."""
        if len(self.parameters[name].shape) != 2:
            return None
        by_rows = name in ("embedding", "ngrams") or self.head.by_rows(self.parameters[name])
        return "rows" if by_rows else "columns"

    def with_parameters(self, replaced: Mapping[str, Parameter]) -> PrefixModel:
        """Return a copy of the model in which some parameters, by name, are replaced by others of the same shapes."""
        memo: dict[int, Any] = {id(self.parameters[name]): parameter for name, parameter in replaced.items()}
        return copy.deepcopy(self, memo)

    def log_probabilities(self, ids: Array, state: State | None = None) -> Array:
        """Return log p (n, V) float32, in nats, of every next token after each prefix of one sequence of ids (n,)."""
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
    """Reads S sequences under a prefix model one token a step. Made by ``model.stepper(state)``.

    ``advance`` reads a token of every sequence and returns the rows for ``model.head``, ``step`` returns their logits.
    The arrays returned may be buffers that the next call writes over. This class calls ``model.forward``; a model may
    offer a stepper that allocates nothing. A stepper belongs to one thread at a time. Weights that are changed in place
    take effect at once.

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


def restore_parameters(parameters: Mapping[str, Parameter], tensors: Mapping[str, Array],
                       units: Callable[[str], str | None]) -> dict[str, Int8Parameter]:
    """Copy float32 or float16 tensors into the parameters of the same names, or let these lie in the file (see
    `initial.in_file`); return int8 parameters, which the caller puts in the place of the others, for those in int8.

    units: as `PrefixModel.units`. Raises ValueError where a tensor is missing, does not fit or belongs to no parameter.
    """
    rounded: dict[str, Int8Parameter] = {}
    for name, parameter in parameters.items():
        found = tensors.get(name)
        if found is None or found.shape != parameter.shape:
            raise ValueError(f"parameter {name} is {'nothing' if found is None else found.shape}; shape "
                             f"{parameter.shape} was expected")
        if found.dtype == np.int8 and (lines := units(name)) and f"{name}/scale" in tensors:
            rounded[name] = Int8Parameter(name, found, tensors[f"{name}/scale"], lines == "rows")
        elif found.dtype not in (np.float32, np.float16):
            raise ValueError(f"parameter {name} is {found.dtype}; float16, float32, or int8 with a scale, was expected")
        elif lie_in_file():
            parameter.lie_in(found)
        else:
            parameter.value[...] = found
    if extra := tensors.keys() - parameters.keys() - {f"{name}/scale" for name in rounded}:
        raise ValueError(f"it holds parameters {sorted(extra)} of no use")
    return rounded


def _origin(cls: type) -> str:
    """Return the source file that a class is defined in, or in a notebook, which has none, the name of its module."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__


__all__ = ["Batch", "Parameter", "PrefixModel", "State", "autodiff", "check_sizes", "named", "uniform"]
