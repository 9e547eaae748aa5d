"""The learning rate as a function of how much of the run is over."""

from __future__ import annotations

WARM_UP = 0.02    # share of the run in which the rate climbs
COOL_DOWN = 1.0   # share of the run in which it falls to zero, counted from the end


def learning_rate(peak: float, progress: float, step: int, warm_up_steps: int = 20) -> float:
    """A climb over the first 2 % of the run or `warm_up_steps` steps, whichever is longer, then straight to zero.

    progress in [0, 1] may be of steps or of seconds, so that a run with a time budget always ends annealed.

    >>> learning_rate(1.0, 1.0, 500), round(learning_rate(1.0, 0.5, 500), 3)
    (0.0, 0.5)
    """
    climb = min(1.0, progress / WARM_UP if WARM_UP else 1.0, (step + 1) / warm_up_steps)
    return peak * climb * max(0.0, min(1.0, (1 - progress) / COOL_DOWN))
