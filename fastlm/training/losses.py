"""The losses that a Trainer minimises."""

from __future__ import annotations

from typing import Any, Protocol

from fastlm.heads import LOSSES
from fastlm.models.base import PrefixModel
from fastlm.training.batches import Shard


class Loss(Protocol):
    """What `Trainer` expects of a loss. ``name``: what a `Plan` records of it."""

    name: str

    def check(self, model: PrefixModel) -> None:
        """Raise ValueError where this loss cannot train the model."""

    def __call__(self, model: Any, rows: Any, shard: Shard, scale: float) -> float:
        """Return the summed loss of a shard; on a tape, add `scale` times its gradients.

        rows: what the model's `forward` returned for the shard's tokens.
        """

    def record(self) -> dict[str, Any]:
        """Return the fields of a `Plan`, besides the name, from which the same loss can be made again."""


class HeadLoss:
    """A loss that the model's head computes: "cross_entropy" or "squared". Raises ValueError for another name.

    >>> HeadLoss("squared").name
    'squared'
    """

    def __init__(self, name: str) -> None:
        if name not in LOSSES:
            raise ValueError(f"loss = {name!r}; one of {', '.join(LOSSES)} was expected")
        self.name = name

    def check(self, model: PrefixModel) -> None:
        """Raise ValueError where the model's head does not compute this loss."""
        model.head.check_loss(self.name)

    def __call__(self, model: PrefixModel, rows: Any, shard: Shard, scale: float) -> float:
        """Return the summed loss of a shard; on a tape, add `scale` times its gradients. See `Loss`."""
        return model.head.loss(rows, shard.targets, scale, self.name)

    def record(self) -> dict[str, Any]:
        """Return an empty dict: the name is enough to make the loss again."""
        return {}
