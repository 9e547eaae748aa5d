"""Measure output layers for large vocabularies: the perplexity each reaches in a time, and what its predictions cost.

One body, an LSTM-128 with tied embeddings, AdamW at a peak rate of 1e-2, two threads; only the output layer differs:
the full softmax, the adaptive one with the cut-offs that `fastlm.heads.cutoffs` chooses, the sampled one with 1,024
draws a step. Texts: Penn Treebank (10,000 words; its validation text is scored) and the sources of Python's own
standard library read as words (the 50,000 most frequent; a twentieth is held out). The budget is that of training
alone; the perplexity is that of the whole held-out text, normalised exactly. --full tries 10, 30, 60 and 120 s.
"""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Options, Rival, Skipped, Table, duration, interleave, one_thread
from fastlm.auto.held_out import hold_out
from fastlm.heads.cutoffs import cutoffs
from fastlm.models import LSTM
from fastlm.scoring.documents import score_documents
from fastlm.text.corpus import Corpus
from fastlm.training import Trainer
from fastlm.training.batches import read_and_predict
from fastlm.training.optim import AdamW
from fastlm.workers import Workers, one_thread_products

THREADS, HIDDEN, SAMPLES, WORDS = 2, 128, 1024, 50_000
LAYERS = ("full", "adaptive", "sampled")


@dataclass(frozen=True)
class Text:
    """What is trained on and what is scored, and the counts (V,) of the ids."""

    name: str
    train: Corpus
    held_out: Corpus
    counts: np.ndarray


def run(options: Options) -> None:
    """Print both tables; a corpus that is absent is skipped with a reason."""
    found = [text for text in (penn_treebank(options.data), standard_library()) if text]
    budgets = (options.budget,) if options.budget else (10.0, 30.0, 60.0, 120.0) if options.full else (10.0,)
    table = Table("text", "words", "budget", *LAYERS, "steps")
    for text in found:
        for budget in budgets:
            results = [trained(text, layer, budget) for layer in LAYERS]
            table.add(text.name, f"{len(text.counts):,}", f"{budget:g} s", *(f"{p:.1f}" for p, _ in results),
                      " / ".join(str(steps) for _, steps in results))
    table.print()
    predictions(found)
    if len(found) < 2:
        raise Skipped(f"{options.data / 'ptb.train.txt'} or its validation text is absent")


def penn_treebank(folder: Path) -> Text | None:
    """Return Penn Treebank's training and validation text, or None."""
    train, valid = folder / "ptb.train.txt", folder / "ptb.valid.txt"
    if not (train.is_file() and valid.is_file()):
        return None
    vocabulary, corpus = Corpus.build(str(train))
    held_out = Corpus.read(str(valid), vocabulary)
    boundary = vocabulary.end_of_line
    return Text("Penn Treebank", replace(corpus, boundary=boundary), replace(held_out, boundary=boundary),
                vocabulary.counts)


def standard_library() -> Text:
    """Yield the .py files of Python's standard library that are UTF-8."""
    vocabulary, corpus = Corpus.build(list(_sources()), max_size=WORDS)
    train, held_out = hold_out(replace(corpus, boundary=vocabulary.end_of_line), 0.05)
    return Text("Python's library", train, held_out, vocabulary.counts)


def _sources() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in path.parts:
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            if text:
                yield text


def model_of(text: Text, layer: str) -> LSTM:
    """Return the body with one of LAYERS, untrained."""
    output: dict[str, Any] | None = None
    if layer == "adaptive":
        output = {"name": "adaptive", "cutoffs": cutoffs(text.counts, HIDDEN)}
    elif layer == "sampled":
        output = {"name": "sampled", "samples": SAMPLES}
    model = LSTM(len(text.counts), hidden=HIDDEN, tied=True, output=output)
    model.initialise(np.bincount(text.train.ids, minlength=len(text.counts)).astype(np.float64))
    return model


def trained(text: Text, layer: str, seconds: float) -> tuple[float, int]:
    """Train for a time; return the perplexity of the held-out text and the steps taken."""
    model = model_of(text, layer)
    trainer = Trainer(model, optimizer=AdamW(lr=1e-2), threads=THREADS)
    trainer.fit(text.train, text.held_out, budget=seconds)
    assert trainer.plan is not None
    return float(np.exp(scores(model, text.held_out).mean())), trainer.plan.steps


def scores(model: LSTM, corpus: Corpus) -> np.ndarray:
    """Return the nats of every token."""
    inputs, targets, _ = read_and_predict(corpus)
    with one_thread_products(), Workers(THREADS) as workers:
        return score_documents(model, inputs, targets, corpus.offsets, workers)


def predictions(texts: list[Text]) -> None:
    """Measure predictions, with the weights as they were drawn and the counts as biases."""
    table = Table("text", "softmax", "all of V after one row", "top 5 after one row", "scored tokens/s, two threads")
    for text in texts:
        few = Corpus.from_ids([text.held_out.ids[:20_000]])
        for layer in LAYERS:
            model = model_of(text, layer)
            median = after_one_row(model)
            begin = time.perf_counter()
            scores(model, few)
            speed = len(few.ids) / (time.perf_counter() - begin)
            table.add(text.name, layer, duration(median["all"]), duration(median["top"]), f"{speed:,.0f}")
    table.print()


def after_one_row(model: LSTM) -> dict[str, float]:
    """Return the seconds in which one row of features becomes the logits of all words, and the five likeliest."""
    x = np.random.default_rng(0).normal(size=(1, HIDDEN)).astype(np.float32) * 0.3
    with one_thread():
        return interleave({"all": Rival(lambda: model.head.logits(x).value),
                           "top": Rival(lambda: model.head.top(x, 5)[1])}, 0.3)
