"""The cache model: a prefix model into which what followed the same tokens earlier in the document is mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, empty
from fastlm.batch import Batch, Rows, State
from fastlm.heads import Head
from fastlm.models.base import PrefixModel
from fastlm.models.initial import reserve

Array = np.ndarray
_SIZES = _core.CACHE_SIZES
_FEW_TOKENS = 256           # documents of fewer tokens are scored faster side by side than each by itself
_LONGEST_WINDOW = 1 << 20   # tokens; an assumption
_SCORED_TOGETHER = 1 << 16  # tokens whose sums, of 16 bytes for every length of context, are in memory together
_ROW_NUMBERS = 1 << 21      # words and probabilities of the cache that are in memory together, 8 bytes each: 16 MB
_FIRST_WEIGHT = 0.05        # of every context and size until weights are fitted; an assumption
_ROUNDS = 20                # of expectation maximisation at most
_SETTLED = 1e-3             # the largest change of a weight at which it ends
# A weight is estimated as if 10 more tokens had reached the cache and it had explained half a one of them, so that a
# size that was hardly ever met keeps a weight near 0.05.
_PRIOR_EXPLAINED, _PRIOR_TOKENS = 0.5, 10
_LEAST_TOTAL = 1e-300       # a divisor of counts that are zero, so that 0 / 0 is 0
# Defaults for each unit: the window in tokens, the age in tokens at which a count has fallen to 1/e, contexts of
# `lowest` to `highest` tokens. Chosen on the validation texts of the benchmarks: docs/tried.md, "Adapting".
WORD_CACHE: dict[str, Any] = {"window": 1024, "decay": 150.0, "lowest": 0, "highest": 2}
CHARACTER_CACHE: dict[str, Any] = {"window": 8192, "decay": 2000.0, "lowest": 1, "highest": 8}
CACHES = {"word": WORD_CACHE, "piece": WORD_CACHE, "tokenizer": WORD_CACHE,
          "char": CHARACTER_CACHE, "byte": CHARACTER_CACHE}


class CacheModel(PrefixModel):
    """p_m = (1 - weight_m) p_m-1 + weight_m a_m / S_m for m = `lowest` ... `highest`, beginning with a model's own p.

    A cache (Kuhn & De Mori 1990) of contexts of m tokens: a_m(w) is how often w followed the last m tokens within the
    last `window` tokens, an occurrence counting exp(-age / decay), and S_m is the sum over w. Where the last m tokens
    do not occur in the window p_m = p_m-1. weight_m depends on the size of S_m, in powers of two, and is chosen by
    `fit` on held-out text.

    `model`: a prefix model, which is not changed, or its configuration. `CACHES` holds the defaults for words and
    characters. The state is that of the model and the window; a token costs as much as it has occurrences there.

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
        if not 1 <= self.window <= _LONGEST_WINDOW:
            raise ValueError(f"window = {self.window}; 1 to {_LONGEST_WINDOW} tokens were expected")
        reserve(16 * self.window, f"a cache of {self.window} tokens")
        if not self.decay > 0:
            raise ValueError(f"decay = {self.decay}; a number of tokens above 0 was expected")
        if not 0 <= self.lowest <= self.highest < _core.CACHE_ORDERS:
            raise ValueError(f"contexts of {self.lowest} to {self.highest} tokens were asked for; 0 to "
                             f"{_core.CACHE_ORDERS - 1}, the lowest first, were expected")
        self._cache = self._build_cache()
        self.width = min(self.window, vocab_size)     # of the cache's rows: how many different words a window can hold
        self.weights = np.full((self.highest + 1, _SIZES), _FIRST_WEIGHT)
        self.head = _CacheHead(self)

    def fit(self, inputs: Array, targets: Array, starts: Array | None = None, nats: Array | None = None) -> CacheModel:
        """Choose the weights by expectation maximisation on a text that the model has not seen; return the cache model.

        inputs (n,) int32; targets (n,) int32: the token after each, or -1 for none; starts (n,) uint8 or None: 1 where
        a document begins; nats (n,) float64: -log p of the targets by the model inside, computed where None is given.
        """
        used = targets >= 0
        total, count = (array[used] for array in self._counts(inputs, targets, starts))
        if nats is None:
            cuts = np.flatnonzero(starts)[1:] if starts is not None else np.zeros(0, np.int64)
            nats = np.concatenate([self.model.score(x, y) for x, y in zip(np.split(inputs, cuts),
                                                                          np.split(targets, cuts), strict=True)])
        p_model = np.exp(-nats[used])
        size = _sizes(total)
        weights = np.full(self.weights.shape, _FIRST_WEIGHT)
        for _ in range(_ROUNDS):
            p = self._mix(p_model, total, count, weights)
            # The posterior probability that a target came from the model or the cache of a context up to m.
            reached, before = np.ones(len(p_model)), weights.copy()
            for m in range(self.highest, self.lowest - 1, -1):
                met = total[:, m] > 0
                explained = np.where(met, reached * (1 - (1 - weights[m][size[:, m]]) * p[m] / p[m + 1]), 0)
                tokens = np.bincount(size[met, m], reached[met], _SIZES)
                weights[m] = (np.bincount(size[met, m], explained[met], _SIZES) + _PRIOR_EXPLAINED) \
                    / (tokens + _PRIOR_TOKENS)
                reached = reached - explained
            if np.abs(weights - before).max() < _SETTLED:
                break
        self.weights = weights
        return self

    def _counts(self, inputs: Array, targets: Array, starts: Array | None = None) -> tuple[Array, Array]:
        """Return S_m and a_m of the targets, (n, highest + 1) float64 each."""
        total, count = (np.zeros((len(inputs), self.highest + 1)) for _ in range(2))
        self._cache.counts(total, count, inputs, starts, targets, 0)
        return total, count

    def _mix(self, p_model: Array, total: Array, count: Array, weights: Array) -> list[Array]:
        """Return p_m (n,) of every target at [m + 1]; the entries up to [lowest] are the probabilities p_model."""
        p, size = [p_model] * (self.lowest + 1), _sizes(total)
        for m in range(self.lowest, self.highest + 1):
            weight = np.where(total[:, m] > 0, weights[m][size[:, m]], 0)
            p.append((1 - weight) * p[-1] + weight * count[:, m] / np.maximum(total[:, m], _LEAST_TOTAL))
        return p

    # predicting ---------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        return self._join(self.model.start(batch), np.full((batch, self.window), -1, np.int32))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Rows, State]:
        """Return Rows of four parts, and the states after the batch.

        The parts: the rows of the model inside, the share of the probability that is left to that model (N,) float32,
        and words of the cache (N, width) int32 with their probabilities (N, width) float32.
        """
        state = state or self.start(batch.sequences)
        rows, after = self.model.forward(batch, self._inner(state))
        word, mass = np.empty((len(batch), self.width), np.int32), np.empty((len(batch), self.width), np.float32)
        left, windows = np.empty(len(batch), np.float32), state["window"].copy()
        lengths = batch.lengths()
        for lane in np.flatnonzero(lengths):
            at = batch.offset[: lengths[lane]] + lane
            sequence = lane if batch.order is None else batch.order[lane]
            starts = None if batch.starts is None else batch.starts[at]
            word[at], mass[at], left[at] = self._read_sequence(batch.ids[at], starts, windows[sequence])
        return Rows(rows, left, word, mass), self._join(after, windows)

    def _read_sequence(self, ids: Array, starts: Array | None, window: Array) -> tuple[Array, Array, Array]:
        """Return the words, their probabilities and the share left to the model after each of ids (n,); see `forward`.

        window (self.window,): the last tokens before them, which the last tokens after them replace.
        """
        before = window[window >= 0]
        text = np.concatenate([before, ids])
        if starts is not None:
            starts = np.concatenate([np.zeros(len(before), np.uint8), starts])
        word, mass = np.empty((len(ids), self.width), np.int32), np.empty((len(ids), self.width), np.float32)
        left = np.empty(len(ids), np.float32)
        self._cache.rows(word, mass, left, self.weights, text, starts, len(before))
        since = 0 if starts is None or not starts.any() else int(np.flatnonzero(starts)[-1])
        _keep_last(window, text[since:])
        return word, mass, left

    def _inner(self, state: State) -> State:
        """Return the state of the model inside."""
        return State(state.sequences, **{name.removeprefix("model/"): array for name, array in state.arrays.items()
                                         if name != "window"})

    def _join(self, state: State, windows: Array) -> State:
        return State(state.sequences, window=windows, **{f"model/{name}": x for name, x in state.arrays.items()})

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        return len(inputs) >= _FEW_TOKENS

    def score_on(self, inputs: Array, targets: Array, state: State | None = None) -> tuple[Array, State | None]:
        """Return what `PrefixModel.score_on` does; the cache is looked up for the targets alone, not for every word."""
        state = state or self.start(1)
        window, inner = state["window"][0].copy(), self._inner(state)
        out = np.empty(len(inputs))
        for first in range(0, len(inputs), _SCORED_TOGETHER):
            x, y = (array[first: first + _SCORED_TOGETHER] for array in (inputs, targets))
            before = window[window >= 0]
            text = np.concatenate([before, x])
            total, count = (np.zeros((len(x), self.highest + 1)) for _ in range(2))
            self._cache.counts(total, count, text, None, y, len(before))
            left = self._mix(np.ones(len(x)), total, 0.0 * count, self.weights)[-1]
            mass = self._mix(np.zeros(len(x)), total, count, self.weights)[-1]
            nll, after = self.model.score_on(x, y, inner)
            inner = inner if after is None else after
            out[first: first + len(x)] = _mixed_nll(nll, left, mass, y)
            _keep_last(window, text)
        return out, self._join(inner, window[None])

    # keeping ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        return {"weights": self.weights} | {f"model/{name}": array for name, array in self.model.tensors().items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        self.use(tensors.get("weights"))
        self.model.restore({name.removeprefix("model/"): array for name, array in tensors.items()
                            if name != "weights"})

    def use(self, weights: Array | None) -> None:
        """Set the weights (highest + 1, 16) float64 that `fit` chose before; raise ValueError where they do not fit."""
        if weights is None or weights.dtype != np.float64 or weights.shape != self.weights.shape \
                or not ((weights > 0) & (weights < 1)).all():
            raise ValueError(f"its weights are not {self.weights.shape} numbers between 0 and 1")
        self.weights = weights.copy()

    def choices(self) -> dict[str, Any]:
        """Return the constructor's arguments but the vocabulary size and the model."""
        return {name: value for name, value in self.options.items() if name != "model"}

    def choices_in_file(self) -> dict[str, Any]:
        """Return the arguments that `choices` gives under their names in model files."""
        return {name: value for name, value in self.config().items() if name not in ("name", "vocab_size", "model")}

    def around(self, model: PrefixModel) -> CacheModel:
        """Return a cache model with the same arguments and weights around another model of the vocabulary."""
        out = CacheModel(self.vocab_size, model, **self.choices())
        out.weights = self.weights.copy()
        return out

    def quantized(self) -> CacheModel:
        return self.around(self.model.quantized())

    def _build_cache(self) -> _core.Cache:
        decay = np.exp(np.arange(self.window) / -self.decay)
        return _core.Cache(self.vocab_size, decay, self.lowest, self.highest + 1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cache = self._build_cache()

    def __repr__(self) -> str:
        return f"<CacheModel of {self.model!r} and its last {self.window} tokens>"


def _keep_last(window: Array, text: Array) -> None:
    """Set a window to the last tokens of a text, behind places of -1 where these are fewer."""
    kept = text[-len(window):]
    window[:] = -1
    window[len(window) - len(kept):] = kept


def _sizes(total: Array) -> Array:
    """Return the sizes of S (n, orders): whole numbers, one for each power of two, which choose the weights."""
    return np.clip(np.frexp(total)[1] + _core.CACHE_SHIFT, 0, _SIZES - 1)


def _mixed_nll(model_nll: Array, left: Array, mass: Array, targets: Array) -> Array:
    """Return -log(left exp(-model_nll) + mass), 0 where a target is -1; mass: what the cache adds to a target."""
    with np.errstate(divide="ignore"):      # the mass is zero where the target is not in the cache
        return np.where(targets < 0, 0.0, -np.logaddexp(np.log(left) - model_nll, np.log(mass)))


class _CacheHead(Head):
    """Gives the model's own head its rows, and mixes in the words of the cache."""

    losses = ()

    def __init__(self, model: CacheModel) -> None:
        self.model = model

    def logits(self, x: Any) -> Variable:
        rows, left, word, mass = x.value.parts
        out = empty((len(left), self.model.vocab_size))
        self.model.model.head.write(out, rows)
        _core.log_softmax(out, out)
        out += np.log(left)[:, None]
        row, column = np.nonzero(mass)
        ids = word[row, column]
        out[row, ids] = np.logaddexp(out[row, ids], np.log(mass[row, column]))
        return Variable(out)

    def nats(self, x: Any, targets: Array) -> Array:
        rows, left, word, mass = x.value.parts
        of_target = np.where(word == targets[:, None], mass, 0).sum(1, dtype=np.float64)
        return _mixed_nll(self.model.model.head.nats(rows, targets), left.astype(np.float64), of_target, targets)

    def rows_together(self, vocab_size: int) -> int:
        return max(1, min(self.model.model.rows_together(), _ROW_NUMBERS // self.model.width))

    def check_loss(self, kind: str) -> str:
        raise ValueError("a CacheModel is not trained by itself; train the model in it, then fit its weights")
