"""The numbers by which the training loop goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """Say how often a run evaluates and reports, and how its learning rate climbs.

    ``evaluations``: times that a run evaluates the held-out text, evenly spread. ``evaluation_share``: share of a time
    budget that one evaluation may take; a longer text is evaluated in part. ``evaluation_tokens``: tokens of one batch
    of held-out text. ``report_every``: seconds between two calls of the progress function; below 0 it is called after
    every step. ``usable_share``: share of a time budget after which the last step has ended; the rest is for what
    nobody has measured. ``warm_up``, ``warm_up_steps``: the learning rate climbs for this share of the run, and for at
    least so many steps.
    """

    evaluations: int = 10
    evaluation_share: float = 0.005
    evaluation_tokens: int = 2048
    report_every: float = 0.5
    usable_share: float = 0.985
    warm_up: float = 0.02
    warm_up_steps: int = 20
