"""Train what a user would train instead, with the settings known to suit it: KenLM, an LSTM in PyTorch, nanoGPT."""

from __future__ import annotations

import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.quality import THREADS, Recipe, Task, by_torch
from fastlm.auto.policy import Policy
from fastlm.auto.size import measure_speed, narrowest, recurrent_weights, size_for
from fastlm.models import LSTM
from fastlm.text.corpus import Corpus

_TORCH = 0.55   # of the sgemm peak, which PyTorch's training steps reach: see `training`
_NANOGPT = ("--device=cpu", "--compile=False", "--eval_iters=200", "--log_interval=500", "--block_size=64",
            "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128", "--max_iters=2000", "--lr_decay_iters=2000",
            "--dropout=0.0", "--eval_interval=2000", "--out_dir=out")


@dataclass(frozen=True)
class Result:
    """What a rival reached, in the task's figure, in how many seconds, and what it was."""

    figure: float
    seconds: float
    what: str


def kenlm(task: Task, folder: Path) -> Result | None:
    """Run `lmplz`, order 5 of words or 8 of characters as words, and `query`; return None where they are absent."""
    found = os.environ.get("FASTLM_LMPLZ") or shutil.which("lmplz")
    if found is None:
        return None
    lmplz, order = Path(found), 8 if task.unit == "char" else 5
    texts = []
    for path in (task.train, task.test):
        text = path.read_text(encoding="utf-8")
        # characters as words of one line, whose contexts then run on from line to line as fastlm's do
        texts.append(" ".join(f"c{ord(c)}" for c in text) + "\n" if task.unit == "char"
                     else text.replace("<unk>", "<unknown>"))   # which lmplz keeps for itself
    (folder / "kenlm.txt").write_text(texts[0], encoding="utf-8")
    begin = time.perf_counter()
    with open(folder / "kenlm.txt", "rb") as source:
        subprocess.run([lmplz, "-o", str(order), "--discount_fallback", "-T", folder, "-S", "1G", "--arpa",
                        folder / "kenlm.arpa"], stdin=source, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - begin
    result = subprocess.run([lmplz.parent / "query", "-v", "summary", folder / "kenlm.arpa"], input=texts[1].encode(),
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    perplexity = float(next(line.split(":")[1] for line in result.splitlines() if line.startswith("Perplexity incl")))
    figure = perplexity if task.figure == "perplexity" else math.log(perplexity)
    return Result(figure, seconds, f"KenLM's lmplz, order {order}")


def torch_lstm(torch: Any, task: Task, seconds: float) -> Result:
    """Train an LSTM with a full softmax in PyTorch, as wide and with as much dropout as fastlm gives a network at
    PyTorch's speed; batches, clipping and schedule as fastlm's."""
    vocabulary, corpus = Corpus.build(str(task.train), task.unit)
    policy = Policy()
    size, numbers = len(vocabulary), policy.of(task.unit)
    speed = _TORCH * measure_speed(THREADS)
    read = {hidden: seconds * speed / (3 * (recurrent_weights(numbers, hidden) + hidden * size))
            for hidden in policy.network_sizes}
    chosen = size_for(task.unit, size, len(corpus.ids), read, policy) or narrowest(policy)
    model = LSTM(size, hidden=chosen.hidden, width=numbers.embedding_width, tied=numbers.tied, dropout=chosen.dropout)
    recipe = Recipe(model, vocabulary, vocabulary.boundary, batch_size=numbers.batch_size,
                    sequence_length=policy.sequence_length, clip=1.0, rate=policy.learning_rate)
    nats, _, read_tokens, taken = by_torch(torch, task, recipe, seconds)
    figure = nats if task.unit == "char" else math.exp(nats)
    return Result(figure, taken, f"PyTorch LSTM-{chosen.hidden}, dropout {chosen.dropout:g}, "
                                 f"{read_tokens / len(corpus.ids):.2g} passes")


def nanogpt(task: Task, folder: Path) -> Result | None:
    """Run nanoGPT's recipe for a CPU, of characters; return the loss of 200 random batches that it prints, None where
    FASTLM_NANOGPT does not name a clone of it."""
    clone = os.environ.get("FASTLM_NANOGPT") or None
    if clone is None or task.unit != "char":
        return None
    work = folder / "nanogpt"
    shutil.copytree(clone, work, ignore=shutil.ignore_patterns(".git", "assets"), dirs_exist_ok=True)
    data = work / "data" / "shakespeare_char"
    texts = [path.read_text(encoding="utf-8") for path in (task.train, task.test)]
    characters = sorted(set("".join(texts)))
    of = {character: index for index, character in enumerate(characters)}
    for name, text in zip(("train", "val"), texts, strict=True):
        np.array([of[character] for character in text], np.uint16).tofile(data / f"{name}.bin")
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(of), "stoi": of, "itos": dict(enumerate(of))}))
    begin = time.perf_counter()
    said = subprocess.run((sys.executable, "train.py", "config/train_shakespeare_char.py", *_NANOGPT), cwd=work,
                          env=dict(os.environ, OMP_NUM_THREADS=str(THREADS)), check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout
    seconds = time.perf_counter() - begin
    return Result(float(re.findall(r"val loss ([0-9.]+)", said)[-1]), seconds, "nanoGPT's recipe for a CPU")
