"""The learning rate as a function of how much of the run is over."""

from __future__ import annotations


def learning_rate(peak: float, progress: float, step: int, warm_up_steps: int = 20, warm_up: float = 0.02) -> float:
    """Return the rate of one step: a climb over the share `warm_up` of the run or `warm_up_steps` steps, whichever is
    longer, then a straight fall to zero at the end.

    progress in [0, 1] may be of steps or of seconds, so that a run with a time budget always ends annealed.

    >>> learning_rate(1.0, 1.0, 500), round(learning_rate(1.0, 0.5, 500), 3)
    (0.0, 0.5)
    """
    climb = min(1.0, progress / warm_up if warm_up else 1.0, (step + 1) / warm_up_steps)
    return peak * climb * max(0.0, min(1.0, 1 - progress))
