"""Stochastic gradient methods: each has a kernel, hyper-parameters, and arrays of state for every parameter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from fastlm import _core

Array = np.ndarray


@dataclass
class Optimizer:
    """The base class of the methods.

    ``lr``: peak learning rate; ``l2``: adds 1/2 l2 |p|^2 to the loss for every parameter p that decays;
    ``weight_decay``: decay that is decoupled from the gradient (Loshchilov & Hutter 2019), of the same parameters. Of a
    table of which a batch reads only some rows, only these rows are updated, decay and state included. Raises
    ValueError for a learning rate that is not above 0 and for a negative ``l2`` or ``weight_decay``.

    ``remembers``: names of the arrays of state, each of the parameter's shape; ``kernel``: the name of the C function.
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
        """Return the name and the hyper-parameters, from which `from_config` builds the same optimizer again."""
        return {"name": type(self).__name__, **asdict(self)}

    def rate(self, lr: float, scale: float, step: int, decays: bool) -> Any:
        """Return the kernel's arguments for one step.

        lr: the learning rate; scale: the factor by which clipping multiplies the gradient; step: counted from 1;
        decays: whether the parameter is one that decays.
        """
        return _core.Rate(lr=lr, scale=scale, l2=self.l2 if decays else 0.0,
                          decay=self.weight_decay if decays else 0.0, **self._more(step))

    def _more(self, step: int) -> dict[str, float]:
        return {}

    def update(self, parameter: Array, state: list[Array], gradient: Array, rate: Any) -> None:
        """Update flat slices (n,) of a parameter and of its state in place, and set the gradient (n,) to zero."""
        getattr(_core, self.kernel)(parameter, *state, gradient, rate)

    def update_rows(self, parameter: Array, state: list[Array], gradient: Array, rows: Array, rate: Any) -> None:
        """Update some rows (R,) int64 of tables (., D) in place, and set these rows of the gradient to zero."""
        getattr(_core, self.kernel + "_rows")(parameter, *state, gradient, rows, rate)


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent (Robbins & Monro 1951): p -= lr * g.

    >>> SGD(lr=0.5).lr
    0.5
    """


@dataclass
class Momentum(Optimizer):
    """Gradient descent with momentum (Polyak 1964): v = momentum * v + g; p -= lr * v.

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
    """AdaGrad (Duchi et al. 2011): a += g^2; p -= lr * g / (sqrt(a) + epsilon)."""

    epsilon: float = 1e-8
    remembers: ClassVar[tuple[str, ...]] = ("squares",)
    kernel: ClassVar[str] = "adagrad"

    def _more(self, step: int) -> dict[str, float]:
        return {"epsilon": self.epsilon}


@dataclass
class AdamW(Optimizer):
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    ``lr``: peak learning rate, 3e-3 by default; `fastlm.train` uses 1e-2. ``beta1``, ``beta2``: how much of the running
    means of the gradient and of its square every step keeps. ``beta2`` is 0.99 by default, **not 0.999** as in the
    paper, PyTorch and other libraries: the mean of the squares covers about 100 steps in place of 1,000. ``epsilon``:
    is added to the root of that mean; ``weight_decay``: 0.01 by default.

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
    """Return the optimizer that `config()` described. Raises ValueError for an unknown name."""
    known = {method.__name__: method for method in (SGD, Momentum, AdaGrad, AdamW)}
    options = dict(config)
    name = options.pop("name", None)
    if name not in known:
        raise ValueError(f"optimizer {name!r}; one of {', '.join(known)} was expected")
    return known[name](**options)


def new_state(optimizer: Optimizer, parameter: Array) -> list[Array]:
    """Return the state of one parameter before the first step: an array of zeros for each name in `remembers`."""
    return [np.zeros_like(parameter) for _ in optimizer.remembers]
