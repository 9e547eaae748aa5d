"""Measure training throughput: whole steps (batch, forward, backward, clipping, AdamW) beside the same in PyTorch.

Both compute in float32. On a CPU with AMX, PyTorch's bf16 is faster than its float32; it is not tried here.

Goal: at least twice PyTorch's tokens/s, and 65 % (LSTM, GRU) or 80 % (feed-forward) of the sgemm peak of the same run,
with the same model, batches and initial weights, 1 and 2 threads, and the same losses step for step: to 1e-4 over 50
steps (with --full; otherwise as many as fit the time). Steps are taken in turn. First both train for a few steps by
SGD, where fastlm's moves of only the touched rows of an embedding equal dense ones, and every loss must agree to 1e-4;
then the largest difference of the losses under AdamW is shown (its dense moments also move rows a batch does not touch,
which concerns the feed-forward model alone: the LSTMs' embeddings are all read or tied). Peak: the fastest of NumPy's,
PyTorch's and our product of two (1024, 1024) matrices. Share of peak: the multiply-adds of the model's matrix products,
and twice as many for the backward pass, divided by the step's time and the peak. Faults: memory pages a step of
fastlm's takes from the system, 0 where all buffers are reused. Where two threads do not reach 1.5 times the peak of
one, or a share exceeds the peak, something else had the cores: no verdict is given then.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.harness import Disagreement, Options, Rival, Table, interleave, times, torch_or_skip, verdict
from fastlm.autodiff.matmul import product
from fastlm.models import GRU, LSTM, FeedForward, PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.training import Plan
from fastlm.training.batches import StreamBatches
from fastlm.training.budget import Clock
from fastlm.training.losses import HeadLoss
from fastlm.training.optim import SGD, AdamW, Optimizer
from fastlm.training.run import Run
from fastlm.workers import Workers

BATCH_SIZE, RATE, CLIP, SETTLE, STEPS = 64, 3e-3, 1.0, 0.005, 50


@dataclass(frozen=True)
class Case:
    """A model to train, the tokens of a lane in one batch, and its goal as a share of peak."""

    name: str
    build: Callable[[], PrefixModel]
    sequence_length: int
    share: float


CASES = (
    Case("char LSTM-256, V = 65", lambda: LSTM(65, hidden=256, width=64, seed=1), 64, 0.65),
    Case("char LSTM-512, V = 65", lambda: LSTM(65, hidden=512, width=64, seed=1), 64, 0.65),
    Case("char GRU-256, V = 65", lambda: GRU(65, hidden=256, width=64, seed=1), 64, 0.65),
    Case("word LSTM-200 tied, V = 10,000", lambda: LSTM(10_000, hidden=200, tied=True, seed=1), 32, 0.65),
    Case("feed-forward 5 x 64, 256, V = 10,000", lambda: FeedForward(10_000, 5, 64, 256, seed=1), 32, 0.80),
)


def run(options: Options) -> None:
    """Print the table."""
    torch = torch_or_skip()
    table = Table("model", "threads", "fastlm", "PyTorch", "ratio", "sgemm peak", "fastlm of peak", "PyTorch of peak",
                  "loss difference", "faults", "goal")
    for case in (case for case in CASES if options.only in case.name):
        sgd = max(abs(a / b - 1) for a, b in zip(*losses_and_times(torch, case, 1, 4, SGD(lr=0.5))[:2], strict=True))
        if not sgd <= 1e-4:
            raise Disagreement(f"{case.name}: the losses under SGD differ by {sgd:.1e}")
        alone = 0.0
        for threads in (1, 2):
            peak = sgemm_peak(torch, threads)
            ours, theirs, our_times, their_times, faults = losses_and_times(
                torch, case, threads, STEPS, AdamW(lr=RATE), 300.0 if options.full else 6.0)
            peak = max(peak, sgemm_peak(torch, threads))   # the machine's, not that of its busiest moment
            alone = alone or peak
            tokens, work = BATCH_SIZE * case.sequence_length, arithmetic(case)
            mine, other = statistics.median(our_times[2:]), statistics.median(their_times[2:])
            gap = max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True))
            share = work / mine / peak
            busy = max(share, work / other / peak) > 1 or (threads == 2 and peak < 1.5 * alone)
            goal = verdict([("≥ 2× PyTorch", other / mine, 2.0),
                            (f"≥ {case.share:.0%} of peak", share, case.share)])
            if not case.name.startswith("feed-forward"):
                goal += f", {verdict([(f'losses of {len(ours)} steps ≤ 1e-4', -gap, -1e-4)])}"
            if busy:
                goal = f"no verdict: the cores were taken (peak {peak / alone:.1f}× that of one thread)"
            table.add(case.name, threads, f"{tokens / mine:,.0f} tokens/s", f"{tokens / other:,.0f} tokens/s",
                      times(other / mine), f"{peak / 1e9:.0f} GFLOP/s", f"{share:.0%}", f"{work / other / peak:.0%}",
                      f"SGD {sgd:.0e}, AdamW {gap:.0e}", f"{faults:.0f}", goal)
    table.print()
    lengths = f"{CASES[0].sequence_length} characters or {CASES[-1].sequence_length} words"
    print(f"A batch is {BATCH_SIZE} stretches of {lengths}, the state carried on; "
          f"median step of those in turn.\n")


def arithmetic(case: Case) -> float:
    """Return the floating-point operations of the matrix products of one training step, as fastlm carries them out."""
    model, tokens = case.build(), BATCH_SIZE * case.sequence_length
    products = 0
    for name, parameter in model.parameters.items():
        if parameter.value.ndim == 2 and (name != "embedding" or getattr(model, "tied", False)):
            # a dictionary smaller than the batch is projected once, not token by token
            rows = min(tokens, model.vocab_size) if name == "input0" else tokens
            products += rows * parameter.value.size
    return 3 * 2.0 * products


def sgemm_peak(torch: Any, threads: int) -> float:
    """Return the floating-point operations a second of the fastest matrix product there is."""
    a, b = (np.random.default_rng(seed).standard_normal((1024, 1024), np.float32) for seed in (1, 2))
    out, t_a, t_b = np.empty_like(a), torch.from_numpy(a), torch.from_numpy(b)
    t_out = torch.empty(1024, 1024)
    torch.set_num_threads(threads)
    parts = [slice(first, first + len(a) // threads) for first in range(0, len(a), len(a) // threads)]
    with threadpool_limits(threads, user_api="blas"), Workers(threads) as workers:
        median = interleave({"NumPy": Rival(lambda: np.matmul(a, b, out=out)),
                             "PyTorch": Rival(lambda: torch.mm(t_a, t_b, out=t_out))}, 0.5)
        time.sleep(0.3)   # OpenMP's threads spin for a while after their work
        median |= interleave({"fastlm": Rival(lambda: workers.run([lambda part=part: product(out[part], a[part], b)
                                                                   for part in parts]))}, 0.3)
    return 2 * 1024**3 / min(median.values())


def losses_and_times(torch: Any, case: Case, threads: int, steps: int, optimizer: Optimizer,
                     limit: float = 60.0) -> tuple[list[float], list[float], list[float], list[float], float]:
    """Return, of each step within `limit` seconds, five at least: our losses a token, PyTorch's, our seconds,
    PyTorch's; and the median of the pages that a step of ours takes from the system."""
    from benchmarks.rivals.torch_models import TorchTrainer, from_fastlm
    model = case.build()
    tokens = BATCH_SIZE * case.sequence_length * steps
    words = np.minimum(np.random.default_rng(3).zipf(1.2, tokens) - 1, model.vocab_size - 1)
    corpus = Corpus.from_ids([words.astype(np.int32)])
    torch.set_num_threads(threads)
    rival = TorchTrainer(from_fastlm(model), "sgd" if isinstance(optimizer, SGD) else "adamw", CLIP)
    if isinstance(optimizer, AdamW):
        optimizer.weight_decay = 0.01
    plan = Plan(model.config(), optimizer.config(), "cross_entropy", CLIP, "stream", BATCH_SIZE,
                case.sequence_length, 2, 0)
    batches = StreamBatches(corpus, BATCH_SIZE, case.sequence_length, 2, 0)
    theirs = StreamBatches(corpus, BATCH_SIZE, case.sequence_length, 1, 0)
    training = Run(model, optimizer, HeadLoss("cross_entropy"), plan, batches, None, Clock(), steps, None)
    losses: tuple[list[float], list[float]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    faults: list[int] = []
    with threadpool_limits(1, user_api="blas"), Workers(threads) as workers:
        started = time.perf_counter()
        for step in range(steps):
            if step >= 5 and time.perf_counter() - started > limit:
                break
            pages, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            loss, count, _ = training.one_step(optimizer.lr, workers)
            training.step += 1
            seconds[0].append(time.perf_counter() - begin)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages)
            losses[0].append(loss / count)
            time.sleep(SETTLE)
            begin = time.perf_counter()
            shard = theirs[step][0]
            ids = torch.from_numpy(shard.batch.ids.reshape(-1, BATCH_SIZE).astype(np.int64))
            targets = torch.from_numpy(shard.targets.reshape(-1, BATCH_SIZE).astype(np.int64))
            losses[1].append(rival.step(ids, targets, optimizer.lr, step == 0))
            seconds[1].append(time.perf_counter() - begin)
            time.sleep(SETTLE)   # OpenMP's threads spin for a while after their work
    return *losses, *seconds, statistics.median(faults)
