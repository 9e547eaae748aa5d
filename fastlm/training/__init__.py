"""Training: batches, optimizers, schedules, and the loop that joins them."""

from fastlm.training import optim
from fastlm.training.history import History, Plan
from fastlm.training.trainer import Trainer

__all__ = ["History", "Plan", "Trainer", "optim"]
