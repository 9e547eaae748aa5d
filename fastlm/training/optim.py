"""Stochastic gradient methods: each a kernel, its hyper-parameters, and the arrays it remembers per parameter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from fastlm import _core

Array = np.ndarray


@dataclass
class Optimizer:
    """Base of the methods. ``lr``: peak learning rate; ``l2``: adds 1/2 l2 |p|^2 to the loss, per parameter that
    decays; ``weight_decay``: decoupled from the gradient. Tables of which a batch touches only some rows move in these
    rows alone, decay and moments included.
    """

    lr: float = 0.1
    l2: float = 0.0
    weight_decay: float = 0.0
    remembers: ClassVar[tuple[str, ...]] = ()
    kernel: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"lr = {self.lr}; a learning rate above 0 was expected")
        for name in ("l2", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}; at least 0 was expected")

    def config(self) -> dict[str, Any]:
        """Name and hyper-parameters, enough to build it again with `from_config`."""
        return {"name": type(self).__name__, **asdict(self)}

    def rate(self, lr: float, scale: float, step: int, decays: bool) -> Any:
        """The kernel's arguments for one step; step counts from 1, scale is the clipping factor."""
        return _core.Rate(lr=lr, scale=scale, l2=self.l2 if decays else 0.0,
                          decay=self.weight_decay if decays else 0.0, **self._more(step))

    def _more(self, step: int) -> dict[str, float]:
        return {}

    def update(self, parameter: Array, state: list[Array], gradient: Array, rate: Any) -> None:
        """Moves flat slices (n,) of a parameter and of its state, and zeroes the gradient."""
        getattr(_core, self.kernel)(parameter, *state, gradient, rate)

    def update_rows(self, parameter: Array, state: list[Array], gradient: Array, rows: Array, rate: Any) -> None:
        """The same for some rows (R,) int64 of tables (., D)."""
        getattr(_core, self.kernel + "_rows")(parameter, *state, gradient, rows, rate)


@dataclass
class SGD(Optimizer):
    """p -= lr * g. Robbins & Monro 1951.

    >>> SGD(lr=0.5).lr
    0.5
    """


@dataclass
class Momentum(Optimizer):
    """v = momentum * v + g; p -= lr * v. Polyak 1964.

    >>> Momentum(lr=0.1, momentum=0.8).momentum
    0.8
    """

    momentum: float = 0.9
    remembers: ClassVar[tuple[str, ...]] = ("velocity",)
    kernel: ClassVar[str] = "momentum"

    def _more(self, step: int) -> dict[str, float]:
        return {"momentum": self.momentum}


@dataclass
class AdaGrad(Optimizer):
    """a += g^2; p -= lr * g / (sqrt(a) + epsilon). Duchi et al. 2011."""

    epsilon: float = 1e-8
    remembers: ClassVar[tuple[str, ...]] = ("squares",)
    kernel: ClassVar[str] = "adagrad"

    def _more(self, step: int) -> dict[str, float]:
        return {"epsilon": self.epsilon}


@dataclass
class AdamW(Optimizer):
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    >>> AdamW(lr=3e-3).beta2
    0.99
    """

    lr: float = 3e-3
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    remembers: ClassVar[tuple[str, ...]] = ("mean", "square")
    kernel: ClassVar[str] = "adamw"

    def _more(self, step: int) -> dict[str, float]:
        return {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon,
                "correct1": 1 - self.beta1**step, "correct2": 1 - self.beta2**step}


def from_config(config: dict[str, Any]) -> Optimizer:
    """The optimizer that `config()` described; ValueError for a name that is not one."""
    known = {method.__name__: method for method in (SGD, Momentum, AdaGrad, AdamW)}
    options = dict(config)
    name = options.pop("name", None)
    if name not in known:
        raise ValueError(f"optimizer {name!r}; one of {', '.join(known)} was expected")
    return known[name](**options)


def new_state(optimizer: Optimizer, parameter: Array) -> list[Array]:
    """Zeros for what the optimizer remembers of one parameter, in the order of `remembers`."""
    return [np.zeros_like(parameter) for _ in optimizer.remembers]
