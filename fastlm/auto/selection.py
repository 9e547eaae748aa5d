"""Which models are trained on a text, and how large: by name, or what there is time for beside n-grams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastlm.auto import size as planner
from fastlm.auto.build import build
from fastlm.models import PrefixModel
from fastlm.text.vocabulary import Vocabulary
from fastlm.training.budget import Clock


@dataclass
class Selection:
    """Makes models for a vocabulary and a text of so many ``tokens``.

    ``seconds`` on the ``clock``, or ``epochs``: what there is for training; ``free``: whether there may be n-grams
    alone; ``say``: is told what was chosen, and why.
    """

    vocabulary: Vocabulary
    tokens: int
    seconds: float | None
    epochs: float | None
    clock: Clock
    threads: int | None
    seed: int
    order: int | None
    softmax: str
    free: bool
    say: Callable[[str], None]

    def alone(self, model: Any) -> PrefixModel:
        """A model by its name, or one that was given; a network as large as the time allows."""
        return self._made(model, lambda: self._choose(self.seconds, 1, self.tokens) or planner.NARROWEST, self.seed)

    def beside(self, until: float | None, tokens: int, weighed: bool) -> tuple[list[PrefixModel], float]:
        """The networks to mix n-grams with, none where there are too few tokens or too little time for one, and the
        share of the loss that is their own, see `Corrected`.

        until: seconds on the clock; tokens: those that they read; weighed: whether there is text to weigh them by.
        """
        if self.free and not weighed:
            self.say(f"n-grams alone: {self.tokens:,} tokens are too few to hold some out and weigh a network by them")
            return [], 0.0
        chosen = self._choose(until, planner.MOST, tokens, beside=True)
        if self.free and chosen is None:
            self.say(f"n-grams alone: what is left of {self.seconds:g} s is too short for a network")
            return [], 0.0
        size, chosen = len(self.vocabulary), chosen or planner.NARROWEST
        count = "an LSTM" if chosen.networks == 1 else f"{chosen.networks} LSTMs"
        lookback = planner.lookback(size, chosen.hidden)
        back = f", looking back {lookback['window']} tokens" if lookback else ""
        self.say(f"n-grams and {count} of {chosen.hidden} units with dropout {chosen.dropout:g}{back}, which will read "
                 f"{tokens:,} tokens about {chosen.passes:.2g} times")
        networks = [self._made("lstm", lambda: chosen, self.seed + index, lookback)
                    for index in range(chosen.networks)]
        return networks, planner.own_share(size, tokens, chosen)

    def _choose(self, until: float | None, most: int, tokens: int, beside: bool = False) -> planner.Choice | None:
        """The size of a network, or of up to so many; of one where it is asked for so many passes."""
        size = len(self.vocabulary)
        if until is None:
            return planner.choose(size, tokens, lambda hidden: tokens * (self.epochs or 1.0), 1)
        speed = planner.measure_speed(self.threads)
        return planner.choose(size, tokens, planner.pace(size, until - self.clock.seconds(), speed, beside), most)

    def _made(self, model: Any, choose: Callable[[], planner.Choice], seed: int,
              lookback: dict[str, int] | None = None) -> PrefixModel:
        return build(model, len(self.vocabulary), seed, self.order, self.softmax, self.vocabulary.counts, choose,
                     lookback)
