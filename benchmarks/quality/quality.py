"""Measure quality for the time given: `fastlm train --model lstm` by the command line beside the same LSTM in PyTorch.

Goal: with --full, at most 1.60 nats on tiny-shakespeare characters after 60 s (first 1,003,854 characters train, the
rest validation) and a test perplexity of at most 150 on Penn Treebank words after 300 s. Two threads. fastlm's time is
that of the whole command, text in, model out. PyTorch then gets the same seconds, its own import and reading of the
text not counted, for the same architecture, initial weights, batches and clipping, with AdamW (fused) at the same
peak rate, annealed to zero by elapsed time; its last weights are scored on the same tokens. The default budget of 10 s
shows that the benchmark works; the goals are not for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table, torch_or_none, verdict
from fastlm.models import PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training.batches import StreamBatches
from fastlm.training.schedule import learning_rate

SHAKESPEARE_TRAIN = 1_003_854   # characters: nanoGPT's split
THREADS = 2


@dataclass(frozen=True)
class Task:
    """Texts to train on, to choose the kept weights by, and to be scored on."""

    name: str
    unit: str
    train: Path
    valid: Path
    test: Path
    seconds: float
    figure: str
    goal: float


@dataclass(frozen=True)
class Recipe:
    """How a model is to be trained: fresh weights, ids, the token that a document begins after, the batches, the
    largest norm of a gradient and the peak rate of AdamW."""

    model: PrefixModel
    vocabulary: fastlm.Vocabulary
    boundary: int
    batch_size: int
    sequence_length: int
    clip: float
    rate: float

    @classmethod
    def of(cls, lm: fastlm.LanguageModel) -> Recipe:
        """Return the recipe by which fastlm trained a network."""
        plan = lm.plan
        assert plan is not None
        return cls(PrefixModel.build(lm.model.config()), lm.vocabulary, lm.boundary, plan.batch_size,
                   plan.sequence_length, plan.clip, plan.optimizer["lr"])


def run(options: Options) -> None:
    """Print the table; tasks whose corpus is absent are skipped with a reason."""
    torch = torch_or_none()
    table = Table("task", "budget", "system", "seconds", "steps", "tokens read", "score", "unknown", "goal")
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks(options, Path(folder), skipped):
            seconds = options.budget or (task.seconds if options.full else 10.0)
            model, result, taken = by_command(task, seconds, Path(folder))
            assert model.plan is not None
            read = model.history.records[-1]["tokens"]
            met = verdict([(f"≤ {task.goal:g}", -result[task.figure], -task.goal)]) if seconds >= task.seconds else ""
            table.add(task.name, f"{seconds:g} s", "fastlm train --model lstm", f"{taken:.1f}", model.plan.steps,
                      f"{read:,}", f"{result[task.figure]:.4g} {task.figure}", result["unknown"],
                      met or f"≤ {task.goal:g} at {task.seconds:g} s: not tried")
            if torch is not None:
                nats, steps, read, taken = by_torch(torch, task, Recipe.of(model), seconds)
                score = nats if task.figure == "nats_per_token" else float(np.exp(nats))
                table.add(task.name, f"{seconds:g} s", "PyTorch, same model", f"{taken:.1f}", steps, f"{read:,}",
                          f"{score:.4g} {task.figure}", "", "")
    if table.rows:
        table.print()
    if skipped:
        raise Skipped("; ".join(skipped))


def tasks(options: Options, folder: Path, skipped: list[str]) -> list[Task]:
    """Return the tasks whose corpora are there."""
    found = []
    shakespeare, treebank = options.data / "shakespeare.txt", options.data / "ptb.{}.txt"
    if shakespeare.is_file():
        text = shakespeare.read_bytes().decode()
        train, valid = folder / "train.txt", folder / "valid.txt"
        train.write_bytes(text[:SHAKESPEARE_TRAIN].encode())
        valid.write_bytes(text[SHAKESPEARE_TRAIN:].encode())
        # the goal is a validation figure, so the whole first part is trained on, as nanoGPT does
        found.append(Task("shakespeare characters", "char", train, valid, valid, 60.0, "nats_per_token", 1.60))
    else:
        skipped.append(f"{shakespeare} is absent")
    parts = [Path(str(treebank).format(part)) for part in ("train", "valid", "test")]
    absent = [str(part) for part in parts if not part.is_file()]
    if absent:
        skipped.append(f"{', '.join(absent)} absent")
    else:
        found.append(Task("Penn Treebank words", "word", parts[0], parts[1], parts[2], 300.0, "perplexity", 150.0))
    return found


def by_command(task: Task, seconds: float, folder: Path) -> tuple[fastlm.LanguageModel, dict[str, Any], float]:
    """Return the model, the figures of `fastlm eval --json`, and the wall-clock seconds of `fastlm train`."""
    model = folder / f"{task.unit}.fastlm"
    source = str(Path(fastlm.__path__[0]).parent)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))))

    def command(*arguments: str) -> str:
        return subprocess.run((sys.executable, "-m", "fastlm", *arguments), env=environment, cwd=folder, check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    begin = time.perf_counter()
    command("train", str(task.train.resolve()), "-o", str(model), "--valid", str(task.valid.resolve()),
            "--unit", task.unit, "--model", "lstm",
            "--budget", f"{seconds:g}s", "--threads", str(THREADS), "--quiet")
    taken = time.perf_counter() - begin
    result = json.loads(command("eval", str(model), str(task.test.resolve()), "--json", "--threads", str(THREADS)))
    return fastlm.load(model), result, taken


def by_torch(torch: Any, task: Task, recipe: Recipe, seconds: float) -> tuple[float, int, int, float]:
    """Train the same model in PyTorch; return nats a token on the test text, steps, tokens read and seconds."""
    from benchmarks.rivals.torch_models import TorchTrainer, from_fastlm
    torch.set_num_threads(THREADS)
    text, held_out = (replace(Corpus.read(str(path), recipe.vocabulary), boundary=recipe.boundary)
                      for path in (task.train, task.test))
    recipe.model.initialise(np.bincount(text.ids, minlength=len(recipe.vocabulary)).astype(np.float64))
    batches = StreamBatches(text, recipe.batch_size, recipe.sequence_length, 1, 0)
    trainer = TorchTrainer(from_fastlm(recipe.model).train(), clip=recipe.clip)
    step, done = 0, 0.0
    begin = time.perf_counter()
    while done < 1:
        shard = batches[step][0]
        ids = torch.from_numpy(shard.batch.ids.reshape(-1, recipe.batch_size)).long()
        targets = torch.from_numpy(shard.targets.reshape(-1, recipe.batch_size)).long()
        trainer.step(ids, targets, learning_rate(recipe.rate, done, step), step % batches.per_epoch == 0)
        step += 1
        done = min(1.0, (time.perf_counter() - begin) / seconds)
    taken = time.perf_counter() - begin
    return _score(torch, trainer.module, held_out), step, step * recipe.batch_size * recipe.sequence_length, taken


def _score(torch: Any, module: Any, corpus: Corpus) -> float:
    """Return nats a token of the text as one stream, the state carried through, as `fastlm eval` reads it."""
    stream, state, nats, count = StreamBatches(corpus, 1, 512, 1, 0), None, 0.0, 0
    module.eval()
    with torch.inference_mode():
        for index in range(stream.per_epoch):
            shard = stream[index][0]
            logits, state = module(torch.from_numpy(shard.batch.ids.reshape(-1, 1)).long(), state)
            targets = torch.from_numpy(shard.targets).long()
            nats += float(torch.nn.functional.cross_entropy(logits[:, 0], targets, reduction="sum"))
            count += len(targets)
    assert count == len(corpus.ids)
    return nats / count
