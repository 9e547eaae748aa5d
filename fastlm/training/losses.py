"""What a step of training goes down: the losses that a Trainer takes."""

from __future__ import annotations

from typing import Any, Protocol

from fastlm.heads import LOSSES
from fastlm.models.base import PrefixModel
from fastlm.training.batches import Shard


class Loss(Protocol):
    """A loss that needs more than rows and targets; ``name``: what `Plan` calls it."""

    name: str

    def check(self, model: PrefixModel) -> None:
        """Raise ValueError where the model is none that this loss trains."""

    def __call__(self, model: Any, rows: Any, shard: Shard, scale: float) -> float:
        """Return the summed loss of a shard; on a tape, add `scale` times its gradients."""

    def record(self) -> dict[str, Any]:
        """Return what `Plan` must hold for the loss to be made again."""


class HeadLoss:
    """A loss that the model's own head has, by its name. Raises ValueError for another name.

    >>> HeadLoss("squared").name
    'squared'
    """

    def __init__(self, name: str) -> None:
        if name not in LOSSES:
            raise ValueError(f"loss = {name!r}; one of {', '.join(LOSSES)} was expected")
        self.name = name

    def check(self, model: PrefixModel) -> None:
        """Raise ValueError where the head has no such loss."""
        model.head.check_loss(self.name)

    def __call__(self, model: PrefixModel, rows: Any, shard: Shard, scale: float) -> float:
        """Return the summed loss of a shard; on a tape, add `scale` times its gradients."""
        return model.head.loss(rows, shard.targets, scale, self.name)

    def record(self) -> dict[str, Any]:
        """Return nothing: the name is all."""
        return {}
