"""Training: batches, optimizers, schedules, and the loop that joins them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlm.training import optim
    from fastlm.training.history import History, Plan
    from fastlm.training.trainer import Trainer
else:   # names are imported when they are used: loading a model needs its history and no trainer
    from fastlm import _lazy

    __getattr__, __dir__ = _lazy.names(globals(), {"optim": "fastlm.training.optim"}, {
        "History": "fastlm.training.history", "Plan": "fastlm.training.history",
        "Trainer": "fastlm.training.trainer"})

__all__ = ["History", "Plan", "Trainer", "optim"]
