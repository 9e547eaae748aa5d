"""From a source of text to a trained language model in one call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastlm._version import __version__
from fastlm.auto.blend import LARGE, Fitting, Mixing, Text
from fastlm.auto.build import check
from fastlm.auto.evaluate import judge
from fastlm.auto.held_out import enough, hold_out
from fastlm.auto.selection import Selection
from fastlm.language_model import LanguageModel
from fastlm.models import Factored, KneserNey, Mixture, PrefixModel
from fastlm.models.ngram.factored import usual_factors
from fastlm.text.corpus import Corpus
from fastlm.text.folding import fold_singletons
from fastlm.training import Plan
from fastlm.training import checkpoint as checkpoints
from fastlm.training.budget import Clock, parse_budget
from fastlm.training.optim import Optimizer
from fastlm.training.progress import ProgressLine

_HURRIED = 0.02           # share of the text that is held out at most in under ten seconds
_LEAST_TO_SPLIT = 2000    # tokens below which everything is trained on


def train(source: Any, unit: str = "word", valid: Any = None, model: Any = "auto",
          budget: float | str | None = "60s", seed: int = 0, threads: int | None = None, *,
          epochs: float | None = None, plan: Plan | None = None, documents: str = "file", min_count: int | None = None,
          max_size: int | None = None, order: int | None = None, softmax: str = "auto",
          optimizer: Optimizer | None = None, progress: Callable[[dict[str, Any]], None] | bool = False,
          checkpoint: Any = None, checkpoint_every: float = 60.0, clock: Clock | None = None) -> LanguageModel:
    """Trains a language model of a text, in the time given.

    source, valid: a path, a list of paths, a folder, an open file, or an iterable of documents; without `valid` a
    twentieth of a text of 2,000 tokens or more is held out, from ten places of it, but no more than 25,000 tokens or a
    two-hundredth of the text, at most 500,000; a fiftieth where "auto" has less than ten seconds. unit: "word", "char"
    or "byte". model: one of MODELS, a PrefixModel, or a function from the size of the vocabulary to one. budget:
    seconds of wall-clock for everything, or "90s", "10m", "1h"; `epochs` or a recorded `plan` replace it. documents:
    "file", "line" or "blank-line". min_count, max_size: see Vocabulary.build; by default words seen once are read as
    ``<unk>`` where they are at most a tenth of the text and it holds no ``<unk>`` of its own, so that unknown words
    are predicted sensibly. "auto" is n-grams and LSTMs, as wide and as many as the time allows here, mixed by weights
    fitted on the held-out text, which the n-grams then count too unless it is `valid`; n-grams alone where the time or
    the text is too short for more; the card says what was chosen. "mixture" has an LSTM in any case. order: tokens of
    the longest n-grams, by default 5, and 8 of vocabularies of up to 512; "kneser-ney" is counted and takes no budget,
    and no text is held out for it. softmax: how a network chosen by name predicts many words, one of SOFTMAXES; see
    `output_of`. progress: True for a line on standard error, or a function called about twice a second with the
    figures. checkpoint: see `Trainer.fit`. clock: what the budget is counted from, by default this call. Ctrl-C
    returns the best model so far. Raises ValueError or OSError, one sentence, before training.

    >>> lm = fastlm.train("my.txt", budget="60s")               # doctest: +SKIP
    """
    clock = clock or Clock()
    if epochs is not None and not 0 < epochs < float("inf"):
        raise ValueError(f"epochs = {epochs}; a number above 0 was expected")
    check(model, order, softmax)
    seconds = None if epochs is not None or plan is not None or budget is None else parse_budget(budget)
    vocabulary, corpus = Corpus.build(source, unit, min_count=1 if min_count is None else min_count,
                                      max_size=max_size, documents=documents)
    if min_count is None:
        vocabulary, corpus = fold_singletons(vocabulary, corpus)
    corpus = replace(corpus, boundary=vocabulary.boundary)
    size, tokens = len(vocabulary), len(corpus.ids)
    mixed = isinstance(model, str) and model in ("auto", "mixture") and plan is None
    line = ProgressLine(sys.stderr) if progress is True else None
    report = {"progress": line or (None if isinstance(progress, bool) else progress), "checkpoint": checkpoint,
              "checkpoint_every": checkpoint_every}
    card = {"fastlm": __version__, "documents": documents, "tokens": tokens, "bytes": corpus.bytes}

    def say(sentence: str) -> None:
        card["chosen"] = sentence
        if isinstance(report["progress"], ProgressLine):
            report["progress"].say(sentence)
    selection = Selection(vocabulary, tokens, seconds, epochs, clock, threads, seed, order, softmax,
                          model == "auto" and epochs is None, say)
    network = PrefixModel.build(plan.model) if plan else selection.alone("kneser-ney" if mixed else model)
    if network.vocab_size != size:
        raise ValueError(f"the model is for {network.vocab_size} ids and the text has {size}")
    hurried = mixed and seconds is not None and seconds < 10
    share = plan.held_out if plan else min(enough(tokens), _HURRIED if hurried else 1.0)
    if valid is not None:
        held_out = replace(Corpus.read(valid, vocabulary, documents=documents), boundary=corpus.boundary)
        text = Text(corpus, held_out, None)
    elif tokens >= _LEAST_TO_SPLIT and (mixed or not isinstance(network, KneserNey)):
        text = Text(*hold_out(corpus, share), corpus if tokens <= LARGE else None)
    else:
        text = Text(corpus, None, corpus)
    del corpus   # of a large text there is no memory to lose
    card |= {"trained_on": len(text.corpus.ids), "held_out": 0 if text.held_out is None else len(text.held_out.ids)}
    fitting = Fitting(seconds, epochs, plan, plan, seed, threads, optimizer, clock, share, unit, report)
    if isinstance(network, KneserNey) and not mixed:
        for name, value in (("epochs", epochs), ("checkpoint", checkpoint), ("optimizer", optimizer)):
            if value is not None:
                raise ValueError(f"{name} = {value!r} was given; a kneser-ney model is counted in one pass")
        network.fit(text.corpus, threads)
        history = judge(network, text.corpus, text.held_out, threads, clock)
        return LanguageModel(vocabulary, network, history, None, card)
    if not mixed and not (plan and isinstance(network, Mixture)):
        history, kept = fitting.fit(network, text)
        return LanguageModel(vocabulary, network, history, kept, card)

    settled = network if isinstance(network, Mixture) else None
    if checkpoint is not None and os.path.exists(checkpoint) and plan is None:
        fitting.recorded = checkpoints.plan_of(checkpoint)
        resumed = PrefixModel.build(fitting.recorded.model)
        if not isinstance(resumed, Mixture):
            raise ValueError(f"{checkpoint} is a checkpoint of {resumed!r}; one of n-grams and networks was expected")
        settled, card["chosen"] = resumed, f"as in the checkpoint: {resumed.kinds()}"
    letters = vocabulary.letters()
    counts = [network, *(Factored(size, factors, letters) for factors in usual_factors(letters))]
    mixing = Mixing(counts, text, fitting, settled)
    lm = LanguageModel(vocabulary, mixing.fit(selection.beside), mixing.history, mixing.plan, card)
    lm.adaptive = mixing.adaptive
    return lm
