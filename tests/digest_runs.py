"""Seeded training runs whose bytes are recorded: `python -m tests.digest_runs` prints a JSON object of digests.

The runs cover words, characters and bytes, every architecture that goes by a name, int8, two replayed plans and one
resumed checkpoint. They are the net under changes that must not change what is trained. `tests/test_digests.py` starts
them in a process of its own, in which NumPy and our kernels are held to AVX2, so that the machines of most people give
the same bytes; `arithmetic` tells the machines that do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
from typing import Any

import numpy as np

import fastlm
from fastlm import autodiff, models
from fastlm.training import Trainer, optim

# What the process must be started with. Variables of another processor's names are ignored.
ENVIRONMENT = {"FASTLM_ISA": "avx2", "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1",
               "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR", "PYTHONHASHSEED": "0"}


def arithmetic() -> str:
    """Return a digest of what NumPy and its BLAS compute here: equal where the recorded runs can be repeated."""
    x = (np.arange(1, 4097) * 0.37 % 5 + 0.01).astype(np.float64)
    a, b = (x * 1.7 % 1).reshape(64, 64), (x * 2.3 % 1).reshape(64, 64)
    found = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        values = x.astype(dtype)
        for function in (np.exp, np.log, np.sqrt, np.tanh, np.log1p, np.expm1, np.cumsum, np.sum):
            found.update(np.asarray(function(values)).tobytes())
        for rows in (1, 9, 33, 64):
            left, right = a[:rows].astype(dtype), b.astype(dtype)
            found.update((left @ right).tobytes() + (left @ right.T).tobytes() + (right.T @ right).tobytes())
    found.update(np.linalg.solve(a + 64 * np.eye(64), b).tobytes())
    found.update(np.logaddexp(x, x[::-1]).tobytes() + np.random.default_rng(1).normal(size=9).tobytes())
    return found.hexdigest()[:16]


def words(types: int, tokens: int, seed: int = 1) -> str:
    """Return lines of words that follow each other by a rule, with a little noise from a linear congruence."""
    out, word, noise = [], 0, seed
    for position in range(tokens):
        noise = (noise * 1103515245 + 12345) % 2**31
        word = (5 * word + noise // 65536 % 7 + position // 900) % types
        out.append(f"w{word * word % types}")
        if noise // 1024 % 9 == 0:
            out.append("\n")
    return " ".join(out)


def digest(lm: Any) -> str:
    """Return a digest of the vocabulary and of every named array that the model file keeps."""
    found = hashlib.sha256("\n".join(token or "" for token in lm.vocabulary.tokens).encode("utf-8", "replace"))
    for name, array in sorted(lm.model.tensors().items()):
        found.update(name.encode() + str(array.dtype).encode() + str(array.shape).encode() + array.tobytes())
    return found.hexdigest()[:16]


class Interrupted(models.PrefixModel):
    """A table of bigrams that interrupts its own training once, at the batch whose number is `at`."""

    at: int | None = None

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.batches = 0
        self.table = self.parameter("table", np.arange(vocab_size**2).reshape(vocab_size, -1) % 17 / 100)

    def forward(self, batch: Any, state: Any = None) -> Any:
        self.batches += 1
        if self.batches == Interrupted.at:
            signal.raise_signal(signal.SIGINT)
        return autodiff.gather(self.table, batch.ids), state or self.start(batch.sequences)


def resumed(folder: str, text: str) -> tuple[str, str]:
    """Return the digests of a run that was interrupted and resumed, and of the same run without a stop."""
    vocabulary, corpus = fastlm.Corpus.build([text], "char")

    def run(checkpoint: str | None, at: int | None) -> str:
        Interrupted.at = at
        model = Interrupted(len(vocabulary))
        trainer = Trainer(model, optim.AdamW(lr=0.03), seed=3, threads=1)
        trainer.fit(corpus, epochs=2, checkpoint=checkpoint)
        return digest(fastlm.LanguageModel(vocabulary, model))
    path = os.path.join(folder, "run")
    stopped, again, whole = run(path, 11), run(path, None), run(None, None)
    assert stopped != again, "the interrupted run was over before it was interrupted"
    return again, whole


def runs(threads: int) -> dict[str, str]:
    """Return the digest of every run, by name."""
    # 2,502 and 750 types of words, and 20 of characters: what is squared modulo a prime is half of it.
    large, medium, small = [words(5003, 9000)], [words(1499, 9000, 2)], [words(90, 1500, 3)]
    out: dict[str, str] = {}

    def train(name: str, text: list[str], unit: str, model: Any, **options: Any) -> Any:
        lm = fastlm.train(text, unit, model=model, threads=threads, seed=4, precision=32, **options)
        out[name] = digest(lm)
        return lm
    train("word lstm", medium, "word", "lstm", epochs=1, min_count=1)
    sampled = train("word lstm, sampled softmax", large, "word", "lstm", epochs=1, min_count=1)
    train("word gru", medium, "word", "gru", epochs=1)
    train("char gru", small, "char", "gru", epochs=2)
    train("char sru", small, "char", "sru", epochs=1)
    train("byte sru", small, "byte", "sru", epochs=1)
    train("char transformer", small, "char", "transformer", epochs=1)
    train("byte positional-onehot", small[0][:3000].splitlines(), "byte", "positional-onehot", epochs=2)
    train("word feed-forward", medium, "word", "feed-forward", epochs=1)
    train("char decayed-bag", small, "char", "decayed-bag", epochs=1)
    train("word kneser-ney", large, "word", "kneser-ney", order=4)
    train("byte kneser-ney", small, "byte", "kneser-ney")
    mixture = train("word mixture", medium, "word", "mixture", epochs=1)
    corrected = train("char auto, corrected", small, "char", "auto", epochs=1)
    train("byte auto, corrected", [small[0][:4000]], "byte", "auto", epochs=1)
    out["int8 of word lstm, sampled softmax"] = digest(sampled.quantized())
    out["int8 of char auto, corrected"] = digest(corrected.quantized())
    out["replay of word mixture"] = digest(fastlm.train(medium, plan=mixture.plan, threads=threads))
    out["replay of char auto, corrected"] = digest(fastlm.train(small, "char", plan=corrected.plan, threads=threads))
    with tempfile.TemporaryDirectory() as folder:
        out["resumed"], out["never stopped"] = resumed(folder, small[0])
    return out


if __name__ == "__main__":
    if sys.argv[1:] == ["--environment"]:
        print(*(f"{name}={value}" for name, value in ENVIRONMENT.items()))
        sys.exit()
    print(json.dumps({"arithmetic": arithmetic(), "digests": runs(int(sys.argv[1]) if sys.argv[1:] else 1)}, indent=1))
