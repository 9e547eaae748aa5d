"""The arguments of `fastlm.train` and the text that it reads, as values that its stages pass on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastlm.auto.policy import Policy
from fastlm.models import Mixture
from fastlm.text.corpus import Corpus
from fastlm.text.sources.reading import Reading, log
from fastlm.text.tokenizers.given import Given
from fastlm.training import Plan
from fastlm.training.interrupt import Interrupt
from fastlm.training.optim import Optimizer
from fastlm.training.progress import ProgressLine

_CALLER = 5   # frames from `Request.warn` to the line that called `train`: read, train and what handles signals


class Notes:
    """Sentences about how a text is read: shown where the progress is shown as lines, and logged elsewhere."""

    def __init__(self, progress: Callable[[dict[str, Any]], None] | None) -> None:
        self.sentences: list[str] = []
        self._show = progress.say if isinstance(progress, ProgressLine) else log

    def __call__(self, sentence: str) -> None:
        """Keep a sentence, and show it."""
        self.sentences.append(sentence)
        self._show(sentence)


@dataclass(frozen=True)
class Request:
    """The arguments of `fastlm.train`, whose docstring says what each means.

    ``unit``: its name; ``tokenizer``: what stood in its place, None for none; ``budget``: in seconds, None where
    something else says how long to train; ``progress``: a function, or None.
    """

    unit: str
    tokenizer: Given | None
    valid: Any
    model: Any
    budget: float | None
    seed: int
    threads: int | None
    epochs: float | None
    plan: Plan | None
    documents: str
    min_count: int | None
    max_size: int | None
    order: int | None
    softmax: str
    precision: int
    optimizer: Optimizer | None
    progress: Callable[[dict[str, Any]], None] | None
    checkpoint: Any
    checkpoint_every: float
    policy: Policy
    interrupt: Interrupt
    reading: Reading
    max_bytes: int | None = None

    def notes(self) -> dict[str, str]:
        """Return what the card of the model says about how the text was read: {"reading": sentences}, or nothing."""
        said = self.reading.say.sentences if isinstance(self.reading.say, Notes) else []
        return {"reading": "; ".join(said)} if said else {}

    @property
    def blended(self) -> bool:
        """Whether n-grams and networks were asked for by name."""
        return self.plan is None and isinstance(self.model, str) and self.model in ("auto", "mixture")

    @property
    def may_be_counts_alone(self) -> bool:
        """Whether n-grams alone will do, where a network would add nothing."""
        return isinstance(self.model, str) and self.model == "auto" and self.epochs is None

    def say(self, sentence: str) -> None:
        """Show a sentence where the progress is shown as lines."""
        if isinstance(self.progress, ProgressLine):
            self.progress.say(sentence)

    def warn(self, sentence: str) -> None:
        """Show a sentence that is worth a look: where the progress is shown as lines, else as a UserWarning of the line
        that called `train`."""
        if isinstance(self.progress, ProgressLine):
            self.progress.say(sentence)
        else:
            warnings.warn(sentence, stacklevel=_CALLER)


@dataclass(frozen=True)
class Recorded:
    """A run that is repeated or continued: its ``model``, freshly initialised, and its ``plan``."""

    model: Mixture
    plan: Plan


@dataclass(frozen=True)
class Text:
    """A text, cut for training.

    ``train``: the text to train on. ``held_out``: the text by which models are evaluated and weighed, or None.
    ``whole``: both together, where they come from one source that is not too large, otherwise None. ``tokens``,
    ``bytes``: the size of the source. ``share``: the share of the source that is held out where no other text is given.
    """

    train: Corpus
    held_out: Corpus | None
    whole: Corpus | None
    tokens: int
    bytes: int
    share: float


def progress_function(progress: Callable[[dict[str, Any]], None] | bool) -> Callable[[dict[str, Any]], None] | None:
    """Return the function that `progress` stands for: a line on standard error for True, none for False."""
    if isinstance(progress, bool):
        return ProgressLine(sys.stderr) if progress else None
    return progress
