"""Measure what each part of the model of `fastlm train` is worth: its own figure, and the mixture's without it.

Goal: every part makes the mixture better. One model a text, trained for 60 s (--budget for another time) on the
command's defaults, two threads; the weights are fitted again without each part, on the validation text, and scored on
the test text: Penn Treebank's, and of tiny-shakespeare the last 10 %, with a twentieth of the rest as validation text.
Only weights and gate are fitted again; the network of characters was trained with all parts there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table
from benchmarks.quality.quality import SHAKESPEARE_TRAIN
from fastlm.batch import Batch
from fastlm.models import Mixture
from fastlm.models.mixture import gate
from fastlm.text.corpus import Corpus
from fastlm.training.batches import read_and_predict
from fastlm.workers import one_thread_products

Array = np.ndarray
_STRETCHES = 10
_TOGETHER = 2048


def run(options: Options) -> None:
    """Print a table for each text."""
    shakespeare, treebank = options.data / "shakespeare.txt", options.data / "ptb.train.txt"
    found = False
    if treebank.is_file():
        train, valid, test = ([(options.data / f"ptb.{part}.txt").read_text(encoding="utf-8")]
                              for part in ("train", "valid", "test"))
        ladder("Penn Treebank words, test perplexity", "word", train, valid, test, options.budget or 60.0)
        found = True
    if shakespeare.is_file():
        text = shakespeare.read_bytes().decode()
        size = SHAKESPEARE_TRAIN // _STRETCHES
        pieces = [text[first: first + size] for first in range(0, size * _STRETCHES, size)]
        cut = size - size // 20
        ladder("tiny-shakespeare characters, nats", "char", [piece[:cut] for piece in pieces],
               [piece[cut:] for piece in pieces], [text[SHAKESPEARE_TRAIN:]], options.budget or 60.0)
        found = True
    if not found:
        raise Skipped(f"neither {shakespeare} nor {treebank} is there")


def ladder(name: str, unit: str, train: list[str], valid: list[str], test: list[str], budget: float) -> None:
    """Train, and print the table of one text."""
    lm = fastlm.train(train, unit, valid, budget=budget, threads=2)
    model = lm.model
    if not isinstance(model, Mixture):
        raise Skipped(f"{budget:g} s gave {model!r}, which has no parts")
    fit, judge = (of_each(lm, text) for text in (valid, test))
    labels = [type(part).__name__ for part in model.parts]
    labels += ["the n-grams, corrected"] * (len(fit[0]) - len(labels))

    def mixed(kept: list[int], gated: bool = True) -> float:
        loss, read = fit[0][kept], fit[1]
        if gated:
            weights, slopes, _ = gate.fit_gate(loss, read)
        else:
            weights, slopes = gate.fit_weights(loss), np.zeros((gate.FEATURES, len(kept)))
        nats = -np.logaddexp.reduce(gate.log_weights(weights, slopes, judge[1]) - judge[0][kept].T, axis=1).mean()
        return float(np.exp(nats)) if unit == "word" else float(nats)
    every = list(range(len(labels)))
    table = Table(name, "alone", "all without it", "the first so many", "weight")
    for index, label in enumerate(labels):
        alone = judge[0][index].mean()
        table.add(label, f"{np.exp(alone) if unit == 'word' else alone:.5g}",
                  f"{mixed([k for k in every if k != index]):.5g}", f"{mixed(every[:index + 1]):.5g}",
                  f"{model.weights[index]:.2f}")
    table.add("all, by fixed weights", "", "", f"{mixed(every, False):.5g}", "")
    table.add("all, gated", "", "", f"{mixed(every):.5g}", "")
    table.print()
    print(f"{lm.card['chosen']}; {budget:g} s\n")


def of_each(lm: fastlm.LanguageModel, texts: list[str]) -> tuple[Array, Array]:
    """Return -log p (K, N) of every token of some documents by each model mixed, and the gate's features (N, 6)."""
    model = lm.model
    assert isinstance(model, Mixture)
    head = model.head
    loss, read = [], []
    for text in texts:
        corpus = Corpus.from_ids([lm.vocabulary.encode(text)])
        inputs, targets, _ = read_and_predict(replace(corpus, boundary=lm.boundary))
        state = None
        with one_thread_products():
            for first in range(0, len(inputs), _TOGETHER):
                part = slice(first, first + _TOGETHER)
                x, state = model.forward(Batch.one(inputs[part]), state)
                rows = x.value
                loss.append(np.array(head.nll_by_part(rows, targets[part])))
                read.append(head.features(rows))
    return np.concatenate(loss, axis=1), np.concatenate(read)
