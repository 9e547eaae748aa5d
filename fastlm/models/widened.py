"""A model of fewer tokens as one of a larger vocabulary, so that models of different vocabularies can be mixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.tape import Variable, empty
from fastlm.batch import Batch, State
from fastlm.heads import Head
from fastlm.models.base import PrefixModel

Array = np.ndarray
_ROUNDING = 1e-3    # by which the shares of a token may miss 1


class Widened(PrefixModel):
    """p(v) = share(v) p(own(v)): each id of a larger vocabulary is a share of a token of the model inside.

    Where the model inside lacks a word its token is ``<unk>``, and its share is how likely this word is among all that
    ``<unk>`` may be. `model`: a prefix model, which is not changed, or its configuration. ``own`` (V,) int32 and
    ``share`` (V,) float64, which `use` sets: by default the ids of both are the same, as far as they go, and those
    beyond have the share 0 (a probability of 0).

    >>> from fastlm.models import KneserNey
    >>> model = Widened(3, KneserNey(2, order=1)).use([0, 1, 1], [1, 0.75, 0.25])
    >>> np.exp(model.log_probabilities([0])).round(4).tolist()
    [[0.5, 0.375, 0.125]]
    """

    def __init__(self, vocab_size: int, model: PrefixModel | dict[str, Any]) -> None:
        self.model = PrefixModel.build(model) if isinstance(model, dict) else model
        super().__init__(vocab_size, model=self.model.config())
        if self.model.vocab_size > vocab_size:
            raise ValueError(f"{self.model!r} is for {self.model.vocab_size} ids; at most {vocab_size} were expected")
        self.own = np.minimum(np.arange(vocab_size), self.model.vocab_size - 1).astype(np.int32)
        self.share = (np.arange(vocab_size) < self.model.vocab_size).astype(np.float64)
        self.head = _WidenedHead(self)

    def use(self, own: Any, share: Any) -> Widened:
        """Set which token (V,) of the model inside each id is, and which share (V,) of it; return the model itself.

        Raises ValueError where these are no ids of the model inside, or the shares of one of its tokens do not sum to
        one.
        """
        ids, shares = np.asarray(own, np.int32), np.asarray(share, np.float64)
        if ids.shape != (self.vocab_size,) or shares.shape != ids.shape:
            raise ValueError(f"own {ids.shape} and share {shares.shape}; {(self.vocab_size,)} each was expected")
        if (ids < 0).any() or (ids >= self.model.vocab_size).any():
            raise ValueError(f"own has ids outside the {self.model.vocab_size} of {self.model!r}")
        sums = np.bincount(ids, shares, self.model.vocab_size)
        if not (shares >= 0).all() or not (np.abs(sums - 1) <= _ROUNDING).all():
            raise ValueError(f"the shares of token {int(np.argmax(np.abs(sums - 1)))} sum to "
                             f"{sums[np.argmax(np.abs(sums - 1))]:.6g}; 1 was expected")
        self.own, self.share = ids, shares
        return self

    def start(self, batch: int = 1) -> State:
        return self.model.start(batch)

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Any, State]:
        """Return what the model inside does for its own tokens."""
        inner = Batch(self.own[batch.ids], batch.size, batch.sequences, batch.starts, batch.order)
        return self.model.forward(inner, state)

    def scores_directly(self, inputs: Array, targets: Array) -> bool:
        return self.model.scores_directly(self.own[inputs], self.of_targets(targets))

    def score_on(self, inputs: Array, targets: Array, state: State | None = None) -> tuple[Array, State | None]:
        nats, after = self.model.score_on(self.own[inputs], self.of_targets(targets), state)
        return nats + self.more(targets), after

    def of_targets(self, targets: Array) -> Array:
        """Return the tokens (n,) of the model inside for targets (n,), -1 where there is none."""
        return np.where(targets < 0, -1, self.own[targets]).astype(np.int32)

    def more(self, targets: Array) -> Array:
        """Return -ln of the shares (n,) of targets (n,), 0 where a target is -1."""
        with np.errstate(divide="ignore"):
            return np.where(targets < 0, 0.0, -np.log(self.share[targets]))

    def rows_together(self) -> int:
        return min(self.model.rows_together(), self.head.rows_together(self.vocab_size))

    def tensors(self) -> dict[str, Array]:
        inner = {f"model/{name}": array for name, array in self.model.tensors().items()}
        return inner | {"own": self.own, "share": self.share}

    def restore(self, tensors: dict[str, Array]) -> None:
        own, share = tensors.get("own"), tensors.get("share")
        if own is None or share is None or own.dtype != np.int32 or share.dtype != np.float64:
            raise ValueError("it lacks own or share; int32 and float64 numbers were expected")
        self.use(own, share)
        self.model.restore({name.removeprefix("model/"): array for name, array in tensors.items()
                            if name not in ("own", "share")})

    def quantized(self) -> Widened:
        return Widened(self.vocab_size, self.model.quantized()).use(self.own, self.share)

    def __repr__(self) -> str:
        return f"<Widened to {self.vocab_size:,} tokens: {self.model!r}>"


class _WidenedHead(Head):
    """Gives each id its share of the probability of its token."""

    losses = ()

    def __init__(self, model: Widened) -> None:
        self.model = model

    def logits(self, x: Any) -> Variable:
        inner = self.model.model
        own = np.array(inner.head.logits(x).value, np.float32)
        _core.log_softmax(own, own)
        out = empty((len(own), self.model.vocab_size))
        np.take(own, self.model.own, axis=1, out=out)
        with np.errstate(divide="ignore"):
            out += np.log(self.model.share).astype(np.float32)
        return Variable(out)

    def nats(self, x: Any, targets: Array) -> Array:
        return self.model.model.head.nats(x, self.model.of_targets(targets)) + self.model.more(targets)

    def check_loss(self, kind: str) -> str:
        raise ValueError("a Widened model is not trained by itself; train the model in it")
