"""Measure training steps of a small GPT (4 layers of width 256, 4 heads, V = 65, 16 sequences of 256 tokens) beside
PyTorch and llm.c.

Goal: at least 1.5 times PyTorch's tokens/s and 3 times llm.c's, all in float32. One batch is read again and again, from
the same weights, without positions: PyTorch's attention then needs no mask, which is its fastest way, and llm.c's table
of positions starts at zeros. fastlm computes its penalties on distance all the same, with slopes of 0. PyTorch: eager,
its fused attention and fused AdamW; steps in turn with fastlm's, losses equal to 1e-4 over all of them. llm.c: its own
program, two threads, by itself, before the others; its first loss must be ours, the later ones differ by its AdamW.
Share of peak: multiply-adds of the matrix products with weights, of the fastest product of two (1024, 1024) matrices.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.harness import Disagreement, Options, Table, times, torch_or_skip, verdict
from benchmarks.models.training import CLIP, RATE, SETTLE, sgemm_peak
from fastlm.batch import Batch
from fastlm.models import Transformer
from fastlm.training import Plan
from fastlm.training.batches import Shard
from fastlm.training.budget import Clock
from fastlm.training.optim import AdamW
from fastlm.training.run import Run
from fastlm.workers import Workers

VOCABULARY, WIDTH, LAYERS, HEADS, SEQUENCES, STEPS = 65, 256, 4, 4, 16, 256
TOKENS = SEQUENCES * STEPS
PADDED = 128                   # llm.c pads the vocabulary
_MAGIC = {"model": (20240326, 3), "tokens": (20240520, 1)}


class OneBatch:
    """The same sequences at every step, in two shards, nothing carried over."""

    carries, per_epoch = False, 1

    def __init__(self, stream: np.ndarray) -> None:
        self.ids, self.targets = (stream[first: first + TOKENS].reshape(SEQUENCES, STEPS).T for first in (0, 1))
        self.shards = [Shard(Batch.rectangle(self.ids[:, half]), self.targets[:, half].reshape(-1).copy(),
                             np.arange(TOKENS).reshape(SEQUENCES, STEPS).T[:, half].reshape(-1))
                       for half in (slice(0, SEQUENCES // 2), slice(SEQUENCES // 2, None))]

    def __getitem__(self, step: int) -> list[Shard]:
        return self.shards


def build() -> Transformer:
    """Return the model, with penalties on distance of 0."""
    model = Transformer(VOCABULARY, WIDTH, LAYERS, HEADS, window=None, tied=True, seed=1)
    model.slopes[:] = 0
    return model


def run(options: Options) -> None:
    """Print the table."""
    torch = torch_or_skip()
    stream = np.minimum(np.random.default_rng(3).zipf(1.2, TOKENS + 1) - 1, VOCABULARY - 1).astype(np.int32)
    table = Table("threads", "fastlm", "PyTorch", "ratio", "llm.c", "ratio", "sgemm peak", "fastlm of peak",
                  "PyTorch of peak", "loss difference", "goal")
    weights = sum(p.value.size for p in build().parameters.values() if p.value.ndim == 2)
    for threads in (1, 2):
        theirs = by_llmc(stream, threads) if threads == 2 else None
        peak = sgemm_peak(torch, threads)
        ours, rival, seconds, rival_seconds = in_turn(torch, stream, threads)
        peak = max(peak, sgemm_peak(torch, threads))
        gap = max(abs(a / b - 1) for a, b in zip(ours, rival, strict=True))
        if gap > 1e-4:
            raise Disagreement(f"the losses of fastlm and PyTorch differ by {gap:.1e}")
        mine, other = statistics.median(seconds[1:]), statistics.median(rival_seconds[1:])
        goals = [("≥ 1.5× PyTorch", other / mine, 1.5)]
        cells = ["not run" if threads == 1 else "FASTLM_LLMC is not set", ""]
        if theirs is not None:
            losses, its_seconds = theirs
            if abs(losses[0] / ours[0] - 1) > 1e-4:
                raise Disagreement(f"the first loss is {ours[0]:.6f} and llm.c's {losses[0]:.6f}")
            its = statistics.median(its_seconds[1:])
            goals.append(("≥ 3× llm.c", its / mine, 3.0))
            cells = [f"{TOKENS / its:,.0f} tokens/s", times(its / mine)]
        work = 6.0 * TOKENS * weights
        table.add(threads, f"{TOKENS / mine:,.0f} tokens/s", f"{TOKENS / other:,.0f} tokens/s", times(other / mine),
                  *cells, f"{peak / 1e9:.0f} GFLOP/s", f"{work / mine / peak:.0%}", f"{work / other / peak:.0%}",
                  f"{gap:.0e} over {len(ours)} steps", verdict(goals))
    table.print()


def in_turn(torch: Any, stream: np.ndarray, threads: int) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return the losses a token and the seconds of each step: our losses, PyTorch's, our seconds, PyTorch's."""
    from benchmarks.rivals.torch_models import WEIGHT_DECAY, TorchTrainer, from_fastlm
    model, batches = build(), OneBatch(stream)
    torch.set_num_threads(threads)
    rival = TorchTrainer(from_fastlm(model), "adamw", CLIP)
    optimizer = AdamW(lr=RATE / 10, weight_decay=WEIGHT_DECAY)
    plan = Plan(model.config(), optimizer.config(), "cross_entropy", CLIP, "documents", SEQUENCES, STEPS, 2, 0)
    training = Run(model, optimizer, plan, batches, None, Clock(), 100, None)  # type: ignore[arg-type]
    ids, targets = (torch.from_numpy(array.astype(np.int64)) for array in (batches.ids, batches.targets))
    found: tuple[list[float], ...] = ([], [], [], [])
    with threadpool_limits(1, user_api="blas"), Workers(threads) as workers:
        for _ in range(3 + 2 * threads):
            begin = time.perf_counter()
            loss, count, _ = training.one_step(optimizer.lr, workers)
            found[2].append(time.perf_counter() - begin)
            training.step += 1
            time.sleep(SETTLE)
            begin = time.perf_counter()
            found[1].append(rival.step(ids, targets, optimizer.lr, True))
            found[3].append(time.perf_counter() - begin)
            found[0].append(loss / count)
            time.sleep(SETTLE)
    return found  # type: ignore[return-value]


def by_llmc(stream: np.ndarray, threads: int, steps: int = 3) -> tuple[list[float], list[float]] | None:
    """Return losses a token and seconds of llm.c's first steps; None where FASTLM_LLMC does not name its program."""
    program = os.environ.get("FASTLM_LLMC")
    if not program:
        return None
    losses, seconds = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_llmc(folder, stream)
        line_by_line = ("stdbuf", "-oL")     # it prints a line a step, which a pipe would otherwise hold back
        with subprocess.Popen([*line_by_line, str(Path(program).resolve())], cwd=folder, stdout=subprocess.PIPE,
                              text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if match := re.match(r"step \d+: train loss (\S+) \(took (\S+) ms\)", line):
                    losses.append(float(match[1]))
                    seconds.append(float(match[2]) / 1e3)
                if len(losses) == steps:
                    process.kill()
                    break
    if len(losses) < steps:
        raise Disagreement(f"{program} made {len(losses)} steps, expected {steps}")
    return losses, seconds


def write_llmc(folder: Path, stream: np.ndarray) -> None:
    """Write the files that llm.c's trainer reads: our weights, and the batch as the text to train and validate on."""
    p = {name: parameter.value for name, parameter in build().parameters.items()}

    def header(kind: str, *values: int) -> bytes:
        out = np.zeros(256, np.int32)
        out[:2 + len(values)] = *_MAGIC[kind], *values
        return out.tobytes()
    embedding = np.zeros((PADDED, WIDTH), np.float32)
    embedding[:VOCABULARY] = p["embedding"]
    parts = [embedding, np.zeros((STEPS, WIDTH), np.float32)]
    for name in ("attention_norm", "attention_norm_bias", "qkv", "qkv_bias", "mix", "mix_bias", "mlp_norm",
                 "mlp_norm_bias", "expand", "expand_bias", "contract", "contract_bias"):
        first, bias, _ = name.partition("_bias")
        parts += [p[f"{first}{layer}{bias}"].T for layer in range(LAYERS)]
    parts += [p["norm"], p["norm_bias"]]
    (folder / "gpt2_124M.bin").write_bytes(
        header("model", STEPS, VOCABULARY, LAYERS, HEADS, WIDTH, PADDED)
        + b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    tokens = folder / "dev" / "data" / "tinyshakespeare"
    tokens.mkdir(parents=True)
    for part in ("train", "val"):
        (tokens / f"tiny_shakespeare_{part}.bin").write_bytes(
            header("tokens", len(stream)) + stream.astype(np.uint16).tobytes())
