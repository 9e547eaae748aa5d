"""The tuned numbers of the training loop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """How often a run evaluates and reports, and how its learning rate climbs.

    ``evaluations``: how often a run evaluates the held-out text, at even distances. ``evaluation_share``: the share of
    a time budget that one evaluation may take; where the text takes longer, only its beginning is evaluated.
    ``evaluation_tokens``: tokens of one batch of held-out text; of a large vocabulary fewer, so that the batch has at
    most ``evaluation_logits`` logits. ``report_every``: seconds between two calls of the progress function; below 0, it
    is called after every step. ``usable_share``: the share of a time budget by which the
    last step has ended; the rest is a reserve for work that is not measured. ``warm_up``: the share of the run during
    which the learning rate climbs; ``warm_up_steps``: the least number of steps for that.
    """

    evaluations: int = 10
    evaluation_share: float = 0.005
    evaluation_tokens: int = 2048
    report_every: float = 0.5
    usable_share: float = 0.985
    warm_up: float = 0.02
    warm_up_steps: int = 20
    evaluation_logits: int = 1 << 26
