"""A prefix model that goes on learning while it reads: a cache of the text's own last tokens, mixed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Tape, Variable, empty
from fastlm.batch import Batch, Rows, State
from fastlm.heads import Head
from fastlm.models.base import PrefixModel
from fastlm.models.initial import reserve

Array = np.ndarray
_SIZES = _core.CACHE_SIZES
_FEW = 256                  # tokens of a document that is better read beside others
_LONGEST = 1 << 20
# What suits a unit: tokens of the window, the age in tokens at which one weighs 1/e, contexts from `lowest` tokens to
# `highest`. Chosen on the validation texts of the benchmarks: docs/tried.md, "Adapting".
WORD_CACHE: dict[str, Any] = {"window": 1024, "decay": 150.0, "lowest": 0, "highest": 2}
CHARACTER_CACHE: dict[str, Any] = {"window": 8192, "decay": 2000.0, "lowest": 1, "highest": 8}
CACHES = {"word": WORD_CACHE, "char": CHARACTER_CACHE, "byte": CHARACTER_CACHE}


class CacheModel(PrefixModel):
    """p_m = (1 - weight_m) p_m-1 + weight_m a_m / S_m: the model's own p, then what followed the last 0, 1, ... tokens
    when they were last met.

    Cache of Kuhn & De Mori 1990 for contexts of `lowest` to `highest` tokens: a_m(w) is how often w followed the last m
    tokens within the last `window`, each time weighing exp(-age / decay), and S_m the sum over w. weight_m depends on
    the size of S_m and is chosen by `fit` on held-out text. The model mixed in, `model` or its configuration, is not
    changed. `CACHES` holds what suits words and characters. The state is the model's own and the window; a token costs
    what the window holds of it.

    >>> from fastlm.models import KneserNey
    >>> CacheModel(5, KneserNey(5, order=2)).log_probabilities([4, 0, 4]).argmax(1).tolist()
    [4, 0, 0]
    """

    FILE_NAMES: ClassVar[tuple[str, ...]] = ("Adaptive",)
    FILE_OPTIONS: ClassVar[Mapping[str, str]] = {"decay": "memory"}

    def __init__(self, vocab_size: int, model: PrefixModel | dict[str, Any], window: int = 1024, decay: float = 150.0,
                 lowest: int = 0, highest: int = 2) -> None:
        self.model = PrefixModel.build(model) if isinstance(model, dict) else model
        self.window, self.decay, self.lowest, self.highest = window, decay, lowest, highest
        super().__init__(vocab_size, model=self.model.config(), window=self.window, decay=self.decay,
                         lowest=self.lowest, highest=self.highest)
        if self.model.vocab_size != vocab_size:
            raise ValueError(f"{self.model!r} is for {self.model.vocab_size} ids; one for {vocab_size} was expected")
        if not 1 <= self.window <= _LONGEST:
            raise ValueError(f"window = {self.window}; 1 to {_LONGEST} tokens were expected")
        reserve(16 * self.window, f"a cache of {self.window} tokens")
        if not self.decay > 0:
            raise ValueError(f"decay = {self.decay}; a number of tokens above 0 was expected")
        if not 0 <= self.lowest <= self.highest < _core.CACHE_ORDERS:
            raise ValueError(f"contexts of {self.lowest} to {self.highest} tokens were asked for; 0 to "
                             f"{_core.CACHE_ORDERS - 1}, the lowest first, were expected")
        self._cache = self._made()
        self.width = min(self.window, vocab_size)     # of a row: the tokens that a window can hold
        self.weights = np.full((self.highest + 1, _SIZES), 0.05)
        self.head = _CacheHead(self)

    def fit(self, inputs: Array, targets: Array, starts: Array | None = None, nats: Array | None = None) -> CacheModel:
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
        nats, state = np.empty(len(targets)), None
        together = self.model.rows_together()
        with Tape(record=False):
            for first in range(0, len(inputs), together):
                part = slice(first, first + together)
                x, state = self.model.forward(Batch.of([inputs[part]]), state)
                nats[part] = self.model.head.nats(x, targets[part])
        return nats

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self._joined(self.model.start(batch), np.full((batch, self.window), -1, np.int32))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Rows, State]:
        """Return Rows of four parts, and the states the sequences end in: what the model's own head reads, the share
        that is left to it (N,) float32, and the cache's words (N, width) int32 with their probabilities float32."""
        state = state or self.start(batch.sequences)
        own = {name.removeprefix("model/"): array for name, array in state.arrays.items() if name != "window"}
        rows, after = self.model.forward(batch, State(state.sequences, **own))
        word, mass = np.empty((len(batch), self.width), np.int32), np.empty((len(batch), self.width), np.float32)
        left, windows = np.empty(len(batch), np.float32), state["window"].copy()
        lengths = batch.lengths()
        for lane in np.flatnonzero(lengths):
            at = batch.offset[: lengths[lane]] + lane
            sequence = lane if batch.order is None else batch.order[lane]
            found = self._read_document(batch.ids[at], None if batch.starts is None else batch.starts[at],
                                        windows[sequence])
            word[at], mass[at], left[at] = found
        return Rows(rows, left, word, mass), self._joined(after, windows)

    def _read_document(self, ids: Array, starts: Array | None, window: Array) -> tuple[Array, Array, Array]:
        """Return words, masses and what is left after each of ids (n,), and move the window (self.window,) on."""
        before = window[window >= 0]
        text = np.concatenate([before, ids])
        if starts is not None:
            starts = np.concatenate([np.zeros(len(before), np.uint8), starts])
        word, mass = np.empty((len(ids), self.width), np.int32), np.empty((len(ids), self.width), np.float32)
        left = np.empty(len(ids), np.float32)
        self._cache.rows(word, mass, left, self.weights, text, starts, len(before))
        since = 0 if starts is None or not starts.any() else int(np.flatnonzero(starts)[-1])
        kept = text[since:][-self.window:]
        window[:] = -1
        window[self.window - len(kept):] = kept
        return word, mass, left

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
        """Return the arguments it takes beside the model."""
        return {name: value for name, value in self.options.items() if name != "model"}

    def choices_in_file(self) -> dict[str, Any]:
        """Return the same by the names that model files have for them."""
        return {name: value for name, value in self.config().items() if name not in ("name", "vocab_size", "model")}

    def around(self, model: PrefixModel) -> CacheModel:
        """The same around another model of the vocabulary."""
        out = CacheModel(self.vocab_size, model, **self.choices())
        out.weights = self.weights.copy()
        return out

    def quantized(self) -> CacheModel:
        return self.around(self.model.quantized())

    def _made(self) -> _core.Cache:
        decay = np.exp(np.arange(self.window) / -self.decay)
        return _core.Cache(self.vocab_size, decay, self.lowest, self.highest + 1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cache = self._made()

    def __repr__(self) -> str:
        return f"<CacheModel of {self.model!r} and its last {self.window} tokens>"


def _sizes(total: Array) -> Array:
    """The sizes of S (n, orders), as weights are chosen by."""
    return np.clip(np.frexp(total)[1] + _core.CACHE_SHIFT, 0, _SIZES - 1)


def _nats(own: Array, left: Array, said: Array, targets: Array) -> Array:
    """-log(left exp(-own) + said), 0 where a target is -1."""
    with np.errstate(divide="ignore"):      # the cache may have said nothing
        return np.where(targets < 0, 0.0, -np.logaddexp(np.log(left) - own, np.log(said)))


class _CacheHead(Head):
    """Hands the model's own head its rows, and adds what the cache has."""

    losses = ()

    def __init__(self, model: CacheModel) -> None:
        self.model = model

    def logits(self, x: Any) -> Variable:
        rows, left, word, mass = x.value.parts
        out = empty((len(left), self.model.vocab_size))
        self.model.model.head.write(out, rows)
        _core.log_softmax(out, out)
        out += np.log(left)[:, None]
        at, k = np.nonzero(mass)
        ids = word[at, k]
        out[at, ids] = np.logaddexp(out[at, ids], np.log(mass[at, k]))
        return Variable(out)

    def nats(self, x: Any, targets: Array) -> Array:
        rows, left, word, mass = x.value.parts
        said = np.where(word == targets[:, None], mass, 0).sum(1, dtype=np.float64)
        return _nats(self.model.model.head.nats(rows, targets), left.astype(np.float64), said, targets)

    def rows_together(self, vocab_size: int) -> int:
        return max(1, min(self.model.model.rows_together(), (1 << 21) // self.model.width))

    def check_loss(self, kind: str) -> str:
        raise ValueError("a CacheModel is not trained by itself; train the model in it, then fit its weights")
