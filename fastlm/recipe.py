"""From a source of text to a trained language model in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import fastlm
from fastlm.language_model import LanguageModel, boundary_of
from fastlm.models import LSTM, DecayedBag, FeedForward, KneserNey, Mixture, PositionalOneHot, PrefixModel
from fastlm.outputs.cost import cutoffs
from fastlm.progress import ProgressLine
from fastlm.scoring import score_sequences
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training import History, Plan, Trainer
from fastlm.training.batches import read_and_predict
from fastlm.training.budget import Clock, parse_budget
from fastlm.training.held_out import hold_out
from fastlm.training.optim import AdamW, Optimizer, from_config
from fastlm.workers import Workers, one_thread_products

Array = np.ndarray
MODELS = ("auto", "lstm", "feed-forward", "decayed-bag", "positional-onehot", "kneser-ney", "mixture")
SOFTMAXES = ("auto", "full", "adaptive", "sampled")
_HELD_OUT = 0.05          # share of the text held out where none is given
_LEAST_TO_SPLIT = 2000    # tokens below which everything is trained on
_FULL = 2000              # words up to which the full softmax costs little
_SAMPLES = 1024           # words drawn a step for the sampled softmax
_WEIGHED = 1 << 14        # held-out tokens that a mixture's weights are fitted on, and
_WEIGHED_LOGITS = 1 << 27   # logits that a network may make for it


def train(source: Any, unit: str = "word", valid: Any = None, model: Any = "auto",
          budget: float | str | None = "60s", seed: int = 0, threads: int | None = None, *,
          epochs: float | None = None, plan: Plan | None = None, documents: str = "file", min_count: int | None = None,
          max_size: int | None = None, order: int | None = None, softmax: str = "auto",
          optimizer: Optimizer | None = None, progress: Callable[[dict[str, Any]], None] | bool = False,
          checkpoint: Any = None, checkpoint_every: float = 60.0) -> LanguageModel:
    """Trains a language model of a text, in the time given.

    source, valid: a path, a list of paths, a folder, an open file, or an iterable of documents; without `valid` a
    twentieth of a text of 2,000 tokens or more is held out, from ten places of it. unit: "word", "char" or "byte".
    model: one of MODELS, a PrefixModel, or a function from the size of the vocabulary to one. budget: seconds of
    wall-clock for everything, or "90s", "10m", "1h"; `epochs` or a recorded `plan` replace it. documents: "file",
    "line" or "blank-line". min_count, max_size: see Vocabulary.build; by default words seen once are read as
    ``<unk>`` where they are at most a tenth of the text and it holds no ``<unk>`` of its own, so that unknown words
    are predicted sensibly. order: tokens of the longest n-grams of "kneser-ney", by default 5, and 8 of vocabularies of
    up to 512; it is counted and takes no budget, and no text is held out for it. "mixture" is those n-grams and an
    LSTM, mixed by weights fitted on the held-out text, which the n-grams then count too unless it is `valid`. softmax:
    how a network chosen by name predicts many words, one of SOFTMAXES; see `output_of`. progress: True for a line on
    standard error, or a function called about twice a second with the figures. checkpoint: see `Trainer.fit`. Ctrl-C
    returns the best model so far. Raises ValueError or OSError, one sentence, before training.

    >>> lm = fastlm.train("my.txt", budget="60s")               # doctest: +SKIP
    """
    clock = Clock()
    seconds = None if epochs is not None or plan is not None or budget is None else parse_budget(budget)
    vocabulary, corpus = Corpus.build(source, unit, min_count=1 if min_count is None else min_count,
                                      max_size=max_size, documents=documents)
    if min_count is None:
        vocabulary, corpus = fold_singletons(vocabulary, corpus)
    corpus = replace(corpus, boundary=boundary_of(vocabulary))
    text_bytes, tokens = corpus.bytes, len(corpus.ids)
    whole = corpus
    network = (PrefixModel.build(plan.model) if plan
               else build(model, len(vocabulary), len(corpus.ids), seconds, seed, order, softmax, vocabulary.counts))
    if valid is not None:
        held_out: Corpus | None = replace(Corpus.read(valid, vocabulary, documents=documents), boundary=corpus.boundary)
    elif tokens >= _LEAST_TO_SPLIT and not isinstance(network, KneserNey):
        corpus, held_out = hold_out(corpus, _HELD_OUT)
    else:
        held_out = None
    if network.vocab_size != len(vocabulary):
        raise ValueError(f"the model is for {network.vocab_size} ids and the text has {len(vocabulary)}")
    card = {"fastlm": fastlm.__version__, "documents": documents, "tokens": tokens, "bytes": text_bytes,
            "trained_on": len(corpus.ids), "held_out": 0 if held_out is None else len(held_out.ids)}
    if isinstance(network, KneserNey):
        for name, value in (("epochs", epochs), ("checkpoint", checkpoint), ("optimizer", optimizer)):
            if value is not None:
                raise ValueError(f"{name} = {value!r} was given; a kneser-ney model is counted in one pass")
        return LanguageModel(vocabulary, network, count(network, corpus, held_out, threads, clock), None, card)
    mixture = network if isinstance(network, Mixture) and (plan is not None or model == "mixture") else None
    if mixture is not None:
        counts, network = mixture.parts
        assert isinstance(counts, KneserNey)
        counts.fit(corpus, threads)
        before = clock.seconds()
        held_out_nats(network, held_out, threads)
        now = clock.seconds()
        if seconds is not None:   # fitting the weights will take as long again: spent in advance, the budget being kept
            clock.spent(max(now, min(now + 2 * (now - before), seconds / 2)))
        plan = plan and replace(plan, model=network.config())
    network.initialise(np.bincount(corpus.ids, minlength=len(vocabulary)).astype(np.float64))
    trainer = Trainer(network, from_config(plan.optimizer) if plan else optimizer or AdamW(lr=1e-2),
                      seed=plan.seed if plan else seed, threads=threads)
    line = ProgressLine(sys.stderr) if progress is True else None
    report = line if line is not None else None if isinstance(progress, bool) else progress
    history = trainer.fit(corpus, held_out, epochs=epochs, budget=seconds, plan=plan, progress=report, clock=clock,
                          checkpoint=checkpoint, checkpoint_every=checkpoint_every)
    if line is not None:
        line.close()
    if mixture is None:
        return LanguageModel(vocabulary, network, history, trainer.plan, card)
    assert isinstance(counts, KneserNey) and trainer.plan is not None
    mixture.fit([held_out_nats(part, held_out, threads) for part in mixture.parts])
    if valid is None and held_out is not None:
        counts.fit(whole, threads)
    history.ended += f"; mixed with n-grams of up to {counts.order} tokens, which weigh {mixture.weights[0]:.2f}"
    return LanguageModel(vocabulary, mixture, history, replace(trainer.plan, model=mixture.config()), card)


def held_out_nats(model: PrefixModel, corpus: Corpus | None, threads: int | None) -> Array:
    """-log p (N,) float64 of the first tokens of every held-out document, some 16,000 in all, fewer of many words."""
    if corpus is None:
        return np.zeros(0)
    inputs, targets, _ = read_and_predict(corpus)
    spans = list(zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True))
    most = min(_WEIGHED, _WEIGHED_LOGITS // model.vocab_size)
    share = min(1.0, most / max(1, len(corpus.ids)))
    parts = [slice(first, first + int(np.ceil(share * (last - first)))) for first, last in spans]
    with one_thread_products(), Workers(threads) as workers:
        nats = score_sequences(model, [inputs[part] for part in parts], [targets[part] for part in parts], workers)
    return np.concatenate([*nats, np.zeros(0)])


def count(model: KneserNey, corpus: Corpus, held_out: Corpus | None, threads: int | None, clock: Clock) -> History:
    """Fits a count model; the history says how long it took, and what it makes of the held-out text."""
    model.fit(corpus, threads)
    seconds = clock.seconds()
    history = History(ended=f"counted {len(model.tables['word']):,} n-grams of up to {model.order} tokens in "
                            f"{seconds:.2f} s")
    if held_out is not None:
        losses = []
        for text in (corpus, held_out):
            inputs, targets, _ = read_and_predict(text)
            spans = [slice(a, b) for a, b in zip(text.offsets[:-1].tolist(), text.offsets[1:].tolist(), strict=True)]
            with Workers(threads) as workers:
                nats = score_sequences(model, [inputs[s] for s in spans], [targets[s] for s in spans], workers)
            losses.append(float(np.concatenate(nats).sum()) / max(1, int((targets >= 0).sum())))
        history.records.append({"step": 1, "seconds": round(seconds, 3), "tokens": len(corpus.ids), "loss": losses[0],
                                "valid": losses[1], "rate": 0.0})
    return history


def fold_singletons(vocabulary: Vocabulary, corpus: Corpus) -> tuple[Vocabulary, Corpus]:
    """Words seen once become ``<unk>``, where that leaves at least nine tenths of the text as it is."""
    unknown = vocabulary.unknown
    if vocabulary.unit != "word" or unknown is None or vocabulary.counts[unknown] > 0:
        return vocabulary, corpus
    once = vocabulary.counts == 1
    if vocabulary.end_of_line is not None:
        once[vocabulary.end_of_line] = False
    if not once.any() or once.sum() > 0.1 * len(corpus.ids):
        return vocabulary, corpus
    counts = vocabulary.counts.copy()
    counts[unknown] = once.sum()
    keep = np.flatnonzero(~once)
    keep = keep[np.argsort(-counts[keep], kind="stable")]
    new_id = np.empty(len(vocabulary), np.int32)
    new_id[keep] = np.arange(len(keep))
    new_id[once] = new_id[unknown]
    tokens = [vocabulary.token(int(i)) for i in keep]
    unknown_at = np.flatnonzero(once[corpus.ids])
    return (Vocabulary(tokens, unit="word", counts=counts[keep]),
            replace(corpus, ids=new_id[corpus.ids], unknown_at=unknown_at))


def build(model: Any, vocab_size: int, tokens: int, seconds: float | None, seed: int,
          order: int | None = None, softmax: str = "auto", counts: Array | None = None) -> PrefixModel:
    """The model a name stands for, sized by the vocabulary, the text and the time; ValueError for an unknown name."""
    if softmax not in SOFTMAXES:
        raise ValueError(f"softmax = {softmax!r}; one of {', '.join(SOFTMAXES)} was expected")
    if softmax != "auto" and model not in ("auto", "lstm", "feed-forward", "decayed-bag", "mixture"):
        raise ValueError(f"softmax = {softmax!r} was given; only the models lstm, feed-forward, decayed-bag and "
                         "mixture have a choice of it by name")
    if order is not None and model not in ("kneser-ney", "mixture"):
        raise ValueError(f"order = {order} was given; only the models kneser-ney and mixture have one")
    if isinstance(model, PrefixModel):
        return model
    if callable(model):
        return model(vocab_size)
    small = vocab_size <= 512
    time = seconds if seconds is not None else 60.0
    if model in ("auto", "lstm"):
        if small:
            hidden = 128 if time < 15 or tokens < 50_000 else 256 if time < 200 else 512
            return LSTM(vocab_size, hidden=hidden, width=64, seed=seed, dropout=0.0 if time < 200 else 0.2,
                        output=output_of(softmax, vocab_size, counts, hidden))
        hidden = 64 if time < 15 or tokens < 50_000 else 128 if time < 100 else 200 if time < 900 else 400
        dropout = 0.0 if time < 100 else 0.2 if time < 200 else 0.3
        return LSTM(vocab_size, hidden=hidden, seed=seed, tied=True, dropout=dropout,
                    output=output_of(softmax, vocab_size, counts, hidden))
    if model == "feed-forward":
        return FeedForward(vocab_size, context=10 if small else 5, width=32 if small else 64, hidden=256, seed=seed,
                           output=output_of(softmax, vocab_size, counts, 256))
    if model == "decayed-bag":
        return DecayedBag(vocab_size, width=64, hidden=256, seed=seed,
                          output=output_of(softmax, vocab_size, counts, 256))
    if model == "positional-onehot":
        return PositionalOneHot(vocab_size, max_length=max(1, min(64, 20_000_000 // vocab_size**2)), seed=seed)
    if model == "kneser-ney":
        return KneserNey(vocab_size, order=(8 if small else 5) if order is None else order)
    if model == "mixture":
        return Mixture(vocab_size, [build("kneser-ney", vocab_size, tokens, seconds, seed, order),
                                    build("lstm", vocab_size, tokens, seconds, seed, None, softmax, counts)])
    raise ValueError(f"model = {model!r}; one of {', '.join(MODELS)}, a PrefixModel or a function was expected")


def output_of(softmax: str, vocab_size: int, counts: Array | None, width: int) -> dict[str, Any] | None:
    """The argument `output` of a model for a name out of SOFTMAXES, its ids' counts (V,) and the width it reads.

    "auto" is the full softmax for up to 2,000 words, and for ids that are not in the order of their counts; else the
    sampled one, which docs/measurements.md shows ahead of the others at every budget tried.
    """
    falling = counts is not None and bool((np.diff(counts) <= 0).all())
    if softmax == "auto":
        softmax = "sampled" if vocab_size > _FULL and falling else "full"
    if softmax == "full":
        return None
    if not falling:
        raise ValueError(f"softmax = {softmax!r} needs ids in the order of their counts; these are not")
    if softmax == "sampled":
        return {"name": "sampled", "samples": min(_SAMPLES, vocab_size)}
    assert counts is not None
    cuts = cutoffs(counts, width)
    return {"name": "adaptive", "cutoffs": cuts} if cuts else None
