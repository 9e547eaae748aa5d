"""n-grams mixed with networks that are trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlm.autodiff.tape import Variable, active
from fastlm.batch import Batch, State
from fastlm.heads import OutputLayer
from fastlm.models.base import PrefixModel
from fastlm.models.mixture.mixture import Joined, Mixed, Mixture

Array = np.ndarray


class Ensemble(Mixture):
    """A Mixture whose networks are trained at once: every batch is read by each, and each has its own loss.

    `parts`: prefix models, at least one of them with parameters; networks of other seeds err elsewhere, and mixed are
    better than any of them (Hansen & Salamon 1990). The n-grams are not read in training, which is of the mean loss of
    the networks; ``networks`` (M,): which of the parts these are.

    >>> from fastlm.models import KneserNey, LSTM
    >>> Ensemble(5, [KneserNey(5, order=2), LSTM(5, hidden=3), LSTM(5, hidden=3, seed=1)]).networks
    [1, 2]
    """

    def __init__(self, vocab_size: int, parts: Sequence[PrefixModel | dict[str, Any]], **options: Any) -> None:
        super().__init__(vocab_size, parts, **options)
        if not self.networks:
            raise ValueError(f"parts are {self.kinds()}; a network among them was expected")
        self.gather()

    @property
    def networks(self) -> list[int]:
        """Which of the parts are trained."""
        return [index for index, part in enumerate(self.parts) if part.parameters]

    def kinds(self) -> str:
        """The classes of the parts."""
        return ", ".join(type(part).__name__ for part in self.parts)

    def gather(self) -> None:
        """Makes the networks' parameters those of the model: of several networks, after the number of the part."""
        several = len(self.networks) > 1
        self.parameters = {f"{index}/{name}" if several else name: parameter for index in self.networks
                           for name, parameter in self.parts[index].parameters.items()}

    def mixed(self) -> Mixed:
        return Trained(self)

    def initialise(self, frequencies: Array) -> None:
        for index in self.networks:
            self.parts[index].initialise(frequencies)

    def read(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        tape = active()
        if tape is None or not tape.record:
            return super().read(batch, state)
        return self.features(batch, state, self.networks)

    def restore(self, tensors: dict[str, Array]) -> None:
        super().restore(tensors)
        self.gather()


class Trained(Mixed):
    """The loss of an Ensemble."""

    losses = ("cross_entropy",)

    def __init__(self, model: Ensemble) -> None:
        super().__init__(model)
        self.ensemble = model

    def check_loss(self, kind: str) -> str:
        return OutputLayer.check_loss(self, kind)

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        self.check_loss(kind)
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum())
        assert isinstance(x, Joined)
        networks = self.ensemble.networks
        # as if they were one network, so that clipping the gradient's norm means the same
        share = scale / len(networks) ** 0.5
        return sum(self.loss_of(x, index, targets, share) for index in networks) / len(networks)

    def loss_of(self, x: Joined, index: int, targets: Array, scale: float) -> float:
        """The summed loss of one network, `scale` times its gradients being added."""
        return self.ensemble.parts[index].predictor.loss(x.rows[index], targets, scale)
