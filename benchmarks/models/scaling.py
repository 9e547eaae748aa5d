"""Measure how a training step scales to the cores of one machine: in 1, 2, 4 and 8 shards, on one thread and two.

Goal: two threads at least 1.85 times as fast as one, and the same bytes on 1, 2, 3 and 8 threads. A step is the serial
part s (cutting the batch, starting and joining threads), measured on one thread, and the work w that threads share out:
the shards' gradients, their sum, the optimizer. Steps on one thread and on two are taken in turn; medians. More cores
than there are: projected, as s + w / min(cores, shards), from the step on one thread with as many shards, which already
pays for products of fewer rows and for more gradients to add. The projection knows no shared caches and no memory
bandwidth: the last column says what it would have made of two threads, beside what they took. `two at once` is what the
machine gives to two threads that share nothing: a product of two (512, 512) matrices in each of them.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.harness import Disagreement, Options, Table, duration, times, verdict
from benchmarks.models.training import BATCH_SIZE, CASES, RATE, Case
from fastlm.text.corpus import Corpus
from fastlm.training import Plan
from fastlm.training.batches import StreamBatches
from fastlm.training.budget import Clock
from fastlm.training.losses import HeadLoss
from fastlm.training.optim import AdamW
from fastlm.training.run import Run
from fastlm.workers import Workers

SHARDS, CORES = (1, 2, 4, 8), (4, 8)


class Watched(Workers):
    """Workers that add up the seconds in which they had tasks."""

    seconds = 0.0

    def run(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        begin = time.perf_counter()
        try:
            return super().run(tasks)
        finally:
            self.seconds += time.perf_counter() - begin


def run(options: Options) -> None:
    """Print the table."""
    table = Table("model", "shards", "1 thread", "2 threads", "ratio", "serial",
                  *(f"{cores} cores, projected" for cores in CORES), "2 threads, projected", "goal")
    with threadpool_limits(1, user_api="blas"):
        at_once = two_at_once()
        for case in CASES:
            same_bytes(case)
            for shards in SHARDS:
                (one, serial), (two, _) = in_turn(case, shards, 40.0 if options.full else 5.0)
                projected = [serial + (one - serial) / min(cores, shards) for cores in (*CORES, 2)]
                goal = verdict([("≥ 1.85×", one / two, 1.85)]) if shards > 1 else ""
                table.add(case.name, shards, duration(one), duration(two), times(one / two), f"{serial / one:.1%}",
                          *(times(one / value) for value in projected[:-1]), duration(projected[-1]), goal)
    table.print()
    print("Ratios are to one thread with as many shards. The same bytes on 1, 2, 3 and 8 threads: checked for every "
          f"model. Two at once: {times(at_once)}.\n")


def begin(case: Case, shards: int) -> Run:
    """Return a run that is about to take its first step."""
    model = case.build()
    tokens = BATCH_SIZE * case.sequence_length * 20
    words = np.minimum(np.random.default_rng(3).zipf(1.2, tokens) - 1, model.vocab_size - 1)
    optimizer = AdamW(lr=RATE)
    plan = Plan(model.config(), optimizer.config(), "cross_entropy", 1.0, "stream", BATCH_SIZE,
                case.sequence_length, shards, 0)
    batches = StreamBatches(Corpus.from_ids([words.astype(np.int32)]), BATCH_SIZE, case.sequence_length, shards, 0)
    return Run(model, optimizer, HeadLoss("cross_entropy"), plan, batches, None, Clock(), 20, None)


def in_turn(case: Case, shards: int, seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the median seconds of a step and of its serial part, on one thread and on two."""
    figures: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    with Watched(1) as one, Watched(2) as two:
        rivals = [(begin(case, shards), workers) for workers in (one, two)]
        started = time.perf_counter()
        while len(figures[0][0]) < 5 or time.perf_counter() - started < seconds:
            for (training, workers), (whole, serial) in zip(rivals, figures, strict=True):
                workers.seconds, first = 0.0, time.perf_counter()
                training.one_step(RATE, workers)
                training.step += 1
                whole.append(time.perf_counter() - first)
                serial.append(whole[-1] - workers.seconds)
    (a, b), (c, d) = ((statistics.median(whole[2:]), statistics.median(serial[2:])) for whole, serial in figures)
    return (a, b), (c, d)


def same_bytes(case: Case) -> None:
    """Raise Disagreement unless two steps in 8 shards end in the same weights on 1, 2, 3 and 8 threads."""
    digests = set()
    for threads in (1, 2, 3, 8):
        training = begin(case, 8)
        with Workers(threads) as workers:
            for step in range(2):
                training.step = step
                training.one_step(RATE, workers)
        weights = b"".join(parameter.value.tobytes() for parameter in training.model.parameters.values())
        digests.add(hashlib.sha256(weights).hexdigest())
    if len(digests) > 1:
        raise Disagreement(f"{case.name}: 1, 2, 3 and 8 threads end in {len(digests)} different models")


def two_at_once() -> float:
    """Return how many times the work of one thread two threads do that share nothing."""
    def work() -> None:
        for _ in range(40):
            np.matmul(a, a, out=np.empty_like(a))
    a = np.random.default_rng(0).standard_normal((512, 512), np.float32)
    readings: tuple[list[float], list[float]] = ([], [])
    with Workers(2) as workers:
        for _ in range(9):
            for count, into in zip((1, 2), readings, strict=True):
                first = time.perf_counter()
                workers.run([work] * count)
                into.append(time.perf_counter() - first)
    return 2 * statistics.median(readings[0]) / statistics.median(readings[1])
