"""Training: batches, optimizers, schedules, and the loop that joins them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlm.training import optim
    from fastlm.training.history import History, Plan
    from fastlm.training.trainer import Trainer
else:   # so that loading a model, which needs its history, does not import what trains
    from fastlm import _lazy

    __getattr__, __dir__ = _lazy.names(globals(), {"optim": "fastlm.training.optim"}, {
        "History": "fastlm.training.history", "Plan": "fastlm.training.history",
        "Trainer": "fastlm.training.trainer"})

__all__ = ["History", "Plan", "Trainer", "optim"]
