"""The learning rate as a function of how much of the run is over."""

from __future__ import annotations


def learning_rate(peak: float, progress: float, step: int, warm_up_steps: int = 20, warm_up: float = 0.02) -> float:
    """Return the learning rate of one step: a linear climb to `peak`, then a linear fall to zero at the end of the run.

    progress: the share of the run that is over, in [0, 1], of its steps or of its seconds, so that a run with a time
    budget ends with a rate of zero too. step: counted from 0. The climb takes the share `warm_up` of the run, or
    `warm_up_steps` steps where those are longer.

    >>> learning_rate(1.0, 1.0, 500), round(learning_rate(1.0, 0.5, 500), 3)
    (0.0, 0.5)
    """
    climb = min(1.0, progress / warm_up if warm_up else 1.0, (step + 1) / warm_up_steps)
    return peak * climb * max(0.0, min(1.0, 1 - progress))
