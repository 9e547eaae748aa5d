"""A prefix model that goes on learning while it reads: a cache of the text's own last tokens, mixed in."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.batch import Batch, State
from fastlm.models.prefix import PrefixModel
from fastlm.outputs import OutputLayer
from fastlm.tape import Tape, Variable, empty

Array = np.ndarray
_SMALL = 512                # ids up to which a text is taken for characters
_SIZES = _core.CACHE_SIZES
_FEW = 256                  # tokens of a document that is better read beside others
_LONGEST = 1 << 20


class Adaptive(PrefixModel):
    """p_m = (1 - weight_m) p_m-1 + weight_m a_m / S_m: the model's own p, then what followed the last 0, 1, ... tokens
    when they were last met.

    Cache of Kuhn & De Mori 1990 for contexts of `lowest` to `highest` tokens: a_m(w) is how often w followed the last m
    tokens within the last `window`, each time weighing exp(-age / memory), and S_m the sum over w. weight_m depends
    on the size of S_m and is chosen by `fit` on held-out text. The model mixed in, `model` or its configuration, is not
    changed. By default words are looked up after 0 to 2 tokens in the last 1,024, characters (up to 512 ids) after 1 to
    8 in the last 8,192. The state is the model's own and the window; a token costs what the window holds of it.

    >>> from fastlm.models import KneserNey
    >>> Adaptive(5, KneserNey(5, order=2)).log_probabilities([4, 0, 4]).argmax(1).tolist()
    [4, 0, 0]
    """

    def __init__(self, vocab_size: int, model: PrefixModel | dict[str, Any], window: int | None = None,
                 memory: float | None = None, lowest: int | None = None, highest: int | None = None) -> None:
        self.model = PrefixModel.build(model) if isinstance(model, dict) else model
        small = vocab_size <= _SMALL
        self.window = (8192 if small else 1024) if window is None else window
        self.memory = (2000.0 if small else 150.0) if memory is None else memory
        self.lowest = (1 if small else 0) if lowest is None else lowest
        self.highest = (8 if small else 2) if highest is None else highest
        super().__init__(vocab_size, model=self.model.config(), window=self.window, memory=self.memory,
                         lowest=self.lowest, highest=self.highest)
        if self.model.vocab_size != vocab_size:
            raise ValueError(f"{self.model!r} is for {self.model.vocab_size} ids; one for {vocab_size} was expected")
        if not 1 <= self.window <= _LONGEST:
            raise ValueError(f"window = {self.window}; 1 to {_LONGEST} tokens were expected")
        if not self.memory > 0:
            raise ValueError(f"memory = {self.memory}; a number of tokens above 0 was expected")
        if not 0 <= self.lowest <= self.highest < _core.CACHE_ORDERS:
            raise ValueError(f"contexts of {self.lowest} to {self.highest} tokens were asked for; 0 to "
                             f"{_core.CACHE_ORDERS - 1}, the lowest first, were expected")
        self._cache = self._made()
        self.width = min(self.window, vocab_size)     # of a row: the tokens that a window can hold
        self.weights = np.full((self.highest + 1, _SIZES), 0.05)
        self.output_layer = _Cached(self)

    def fit(self, inputs: Array, targets: Array, starts: Array | None = None, nats: Array | None = None) -> Adaptive:
        """Chooses the weights by expectation maximisation on a text that the model has not seen; returns itself.

        inputs (n,) int32; targets (n,) int32, what follows each, or -1; starts (n,) uint8 or None: 1 where a document
        begins; nats (n,) float64: the model's own -log p of the targets, where that is known.
        """
        wanted = targets >= 0
        total, count = (array[wanted] for array in self._counts(inputs, targets, starts))
        if nats is None:
            cuts = np.flatnonzero(starts)[1:] if starts is not None else np.zeros(0, np.int64)
            nats = np.concatenate([self._own(x, y) for x, y in zip(np.split(inputs, cuts), np.split(targets, cuts),
                                                                   strict=True)])
        own = np.exp(-nats[wanted])
        size = _sizes(total)
        weights = np.full(self.weights.shape, 0.05)
        for _ in range(20):
            steps = self._steps(own, total, count, weights)
            left, before = np.ones(len(own)), weights.copy()
            for m in range(self.highest, self.lowest - 1, -1):
                met = total[:, m] > 0
                taken = np.where(met, left * (1 - (1 - weights[m][size[:, m]]) * steps[m] / steps[m + 1]), 0)
                reached = np.bincount(size[met, m], left[met], _SIZES)
                weights[m] = (np.bincount(size[met, m], taken[met], _SIZES) + 0.5) / (reached + 10)
                left = left - taken
            if np.abs(weights - before).max() < 1e-3:
                break
        self.weights = weights
        return self

    def _counts(self, inputs: Array, targets: Array, starts: Array | None = None) -> tuple[Array, Array]:
        """S_m and a_m of the targets, (n, highest + 1) float64 each."""
        total, count = (np.zeros((len(inputs), self.highest + 1)) for _ in range(2))
        self._cache.counts(total, count, inputs, starts, targets, 0)
        return total, count

    def _steps(self, own: Array, total: Array, count: Array, weights: Array) -> list[Array]:
        """p_m of every target at [m + 1], the model's own before the lowest."""
        steps, size = [own] * (self.lowest + 1), _sizes(total)
        for m in range(self.lowest, self.highest + 1):
            weight = np.where(total[:, m] > 0, weights[m][size[:, m]], 0)
            steps.append((1 - weight) * steps[-1] + weight * count[:, m] / np.maximum(total[:, m], 1e-300))
        return steps

    def _own(self, inputs: Array, targets: Array) -> Array:
        """The model's own nats of one document."""
        nats = self.model.score(inputs, targets)
        if nats is not None:
            return nats
        nats, state, predictor = np.empty(len(targets)), None, self.model.predictor
        together = self.model.rows_together()
        with Tape(record=False):
            for first in range(0, len(inputs), together):
                part = slice(first, first + together)
                x, state = self.model.read(Batch.of([inputs[part]]), state)
                nats[part] = predictor.nats(x, targets[part])
        return nats

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self._joined(self.model.start(batch), np.full((batch, self.window), -1, np.int32))

    def features(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        """The model's own rows, what is left to them, and the cache's words and masses, (N, D + 1 + 2 width) int32."""
        state = state or self.start(batch.sequences)
        own = {name.removeprefix("model/"): array for name, array in state.arrays.items() if name != "window"}
        x, after = self.model.read(batch, State(state.sequences, **own))
        model_rows = np.ascontiguousarray(x.value if x.value.ndim == 2 else x.value[:, None]).view(np.int32)
        d = model_rows.shape[1]
        rows = np.empty((len(batch), d + 1 + 2 * self.width), np.int32)
        rows[:, :d] = model_rows
        windows = state["window"].copy()
        lengths = np.searchsorted(-batch.size.astype(np.int64), -np.arange(batch.sequences), side="left")
        for lane in np.flatnonzero(lengths):
            at = batch.offset[: lengths[lane]] + lane
            sequence = lane if batch.order is None else batch.order[lane]
            before = windows[sequence][windows[sequence] >= 0]
            ids = np.concatenate([before, batch.ids[at]])
            starts = None
            if batch.starts is not None:
                starts = np.concatenate([np.zeros(len(before), np.uint8), batch.starts[at]])
            word, mass = np.empty((len(at), self.width), np.int32), np.empty((len(at), self.width), np.float32)
            left = np.empty(len(at), np.float32)
            self._cache.rows(word, mass, left, self.weights, ids, starts, len(before))
            rows[at, d] = left.view(np.int32)
            rows[at, d + 1: d + 1 + self.width] = word
            rows[at, d + 1 + self.width:] = mass.view(np.int32)
            since = 0 if starts is None or not starts.any() else int(np.flatnonzero(starts)[-1])
            kept = ids[since:][-self.window:]
            windows[sequence] = -1
            windows[sequence, self.window - len(kept):] = kept
        return Variable(rows), self._joined(after, windows)

    def _joined(self, state: State, windows: Array) -> State:
        return State(state.sequences, window=windows, **{f"model/{name}": x for name, x in state.arrays.items()})

    def score(self, inputs: Array, targets: Array) -> Array | None:
        if len(inputs) < _FEW:
            return None
        total, count = self._counts(inputs, targets)
        left, said = (self._steps(np.full(len(inputs), own), total, keep * count, self.weights)[-1]
                      for own, keep in ((1.0, 0.0), (0.0, 1.0)))
        return _nats(self._own(inputs, targets), left, said, targets)

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        return {"weights": self.weights} | {f"model/{name}": array for name, array in self.model.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        self.use(tensors.get("weights"))
        self.model.restore({name.removeprefix("model/"): array for name, array in tensors.items()
                            if name != "weights"})

    def use(self, weights: Array | None) -> None:
        """Takes weights (highest + 1, 16) float64 that `fit` chose; ValueError for others."""
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not ((weights > 0) & (weights < 1)).all():
            raise ValueError(f"its weights are not {self.weights.shape} numbers between 0 and 1")
        self.weights = weights.copy()

    def choices(self) -> dict[str, Any]:
        """The arguments it takes beside the model."""
        return {name: value for name, value in self.options.items() if name != "model"}

    def around(self, model: PrefixModel) -> Adaptive:
        """The same around another model of the vocabulary."""
        out = Adaptive(self.vocab_size, model, **self.choices())
        out.weights = self.weights.copy()
        return out

    def quantized(self) -> Adaptive:
        return self.around(self.model.quantized())

    def _made(self) -> _core.Cache:
        decay = np.exp(np.arange(self.window) / -self.memory)
        return _core.Cache(self.vocab_size, decay, self.lowest, self.highest + 1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cache = self._made()

    def __repr__(self) -> str:
        return f"<Adaptive of {self.model!r} and its last {self.window} tokens>"


def _sizes(total: Array) -> Array:
    """The sizes of S (n, orders), as weights are chosen by."""
    return np.clip(np.frexp(total)[1] + _core.CACHE_SHIFT, 0, _SIZES - 1)


def _nats(own: Array, left: Array, said: Array, targets: Array) -> Array:
    """-log(left exp(-own) + said), 0 where a target is -1."""
    with np.errstate(divide="ignore"):      # the cache may have said nothing
        return np.where(targets < 0, 0.0, -np.logaddexp(np.log(left) - own, np.log(said)))


class _Cached(OutputLayer):
    """Hands the model's predictor its columns, and adds what the cache has."""

    losses = ()

    def __init__(self, model: Adaptive) -> None:
        self.model = model
        rows = model.model.read(Batch(np.zeros(1, np.int32), np.ones(1, np.uintp), 1))[0].value
        self.dtype, self.flat = rows.dtype, rows.ndim == 1
        self.columns = rows.nbytes // 4

    def _parts(self, x: Any) -> tuple[Array, Array, Array, Array]:
        x = x.value if isinstance(x, Variable) else x
        d, width = self.columns, self.model.width
        rows = np.ascontiguousarray(x[:, :d]).view(self.dtype)
        left, word, mass = x[:, d].copy(), x[:, d + 1: d + 1 + width], np.ascontiguousarray(x[:, d + 1 + width:])
        return rows[:, 0] if self.flat else rows, left.view(np.float32), word, mass.view(np.float32)

    def logits(self, x: Any) -> Variable:
        rows, left, word, mass = self._parts(x)
        out = empty((len(left), self.model.vocab_size))
        self.model.model.predictor.write(out, rows)
        _core.log_softmax(out, out)
        out += np.log(left)[:, None]
        at, k = np.nonzero(mass)
        ids = word[at, k]
        out[at, ids] = np.logaddexp(out[at, ids], np.log(mass[at, k]))
        return Variable(out)

    def nats(self, x: Any, targets: Array) -> Array:
        rows, left, word, mass = self._parts(x)
        said = np.where(word == targets[:, None], mass, 0).sum(1, dtype=np.float64)
        return _nats(self.model.model.predictor.nats(rows, targets), left.astype(np.float64), said, targets)

    def rows_together(self, vocab_size: int) -> int:
        return max(1, min(self.model.model.rows_together(), (1 << 21) // self.model.width))

    def check_loss(self, kind: str) -> str:
        raise ValueError("an Adaptive model is not trained by itself; train the model in it, then fit its weights")
