"""The numbers by which `fastlm.train` decides: those that can be measured, measured again, beside what is in use.

Characters are those of tiny-shakespeare, words those of Penn Treebank; all threads of this process work, as in `train`.
Each number is measured as `fastlm.auto.policy` defines it, from whole calls, once: other work on the machine bends it.
The second table counts where all numbers come from, and names what stands behind those that are not measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import Options, Skipped, Table
from fastlm.auto.build import count_models, networks_beside, recurrent
from fastlm.auto.cross_fit import cross_fit
from fastlm.auto.evaluate import fit_cache, nll_by_part
from fastlm.auto.policy import Policy, numbers
from fastlm.auto.size import NetworkSize, measure_speed, training_cost
from fastlm.models import CrossFittedLoss, Mixture, PrefixModel
from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary
from fastlm.training import Trainer
from fastlm.training.losses import Loss
from fastlm.workers import one_thread_products

POLICY = Policy()
WIDTHS = (48, 96, 160, 256, 448, 768)   # units at which the speed of networks is measured
WIDE = 256                              # units at which what is added to a network is measured
STEPS_SECONDS = 1.5                     # of training for each speed
LEAST_STEPS = 12
_LEAVE = """
import sys, time, fastlm
lm = fastlm.load(sys.argv[1])
print(time.time(), flush=True)
lm.save(sys.argv[1])
"""


@dataclass(frozen=True)
class Texts:
    """What is measured on: vocabulary and text of both units; ``speed``: multiply-adds a second of this machine."""

    characters: tuple[Vocabulary, Corpus]
    words: tuple[Vocabulary, Corpus]
    speed: float


def run(options: Options) -> None:
    """Print both tables."""
    texts = read(options.data)
    table = Table("number", "unit", "in use", "measured", "ratio")
    found = {number.name: number for number in numbers(POLICY)}
    for measure in MEASURES.values():
        for name, value in measure(texts).items():
            number = found[name.partition("[")[0]]
            used = number.value if "[" not in name else number.value[int(name.partition("[")[2].rstrip("]"))]
            table.add(name, number.unit, f"{used:g}", f"{value:.3g}", f"{value / used:.2f}")
    table.print()
    kinds = Counter(number.source.partition(":")[0] for number in found.values())
    print(", ".join(f"{count} numbers: {kind}" for kind, count in kinds.items()), end="\n\n")
    sources = Table("number", "value", "unit", "source")
    for number in found.values():
        if not number.source.startswith("calibrate"):
            sources.add(number.name, number.value, number.unit, number.source)
    sources.print()


def read(data: Path) -> Texts:
    """Return the texts; Skipped where they are not there."""
    out = []
    for name, unit in (("shakespeare.txt", "char"), ("ptb.train.txt", "word")):
        if not (data / name).exists():
            raise Skipped(f"{data / name} is not there")
        vocabulary, corpus = Corpus.build(str(data / name), unit)
        out.append((vocabulary, replace(corpus, boundary=vocabulary.boundary)))
    return Texts(out[0], out[1], max(measure_speed(None) for _ in range(5)))


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def tokens_per_second(model: PrefixModel, corpus: Corpus, unit: str, loss: str | Loss = "cross_entropy",
                      budget: float = STEPS_SECONDS) -> float:
    """Return how fast a model is trained, the first quarter of the steps not counted; of few steps, in more time."""
    records: list[dict[str, Any]] = []
    loop = replace(POLICY.loop(), report_every=-1.0)
    trainer = Trainer(model, loss=loss, batch_size=POLICY.of(unit).batch_size,
                      sequence_length=POLICY.sequence_length, loop=loop)
    trainer.fit(corpus, budget=budget, progress=records.append)
    if len(records) < LEAST_STEPS:
        return tokens_per_second(model, corpus, unit, loss, 2 * budget)
    first = records[len(records) // 4]
    return (records[-1]["tokens"] - first["tokens"]) / (records[-1]["seconds"] - first["seconds"])


def lstm(text: tuple[Vocabulary, Corpus], hidden: int, back: dict[str, int] | None = None) -> PrefixModel:
    """Return an LSTM as `train` makes them."""
    return recurrent("lstm", text[0], NetworkSize(hidden, 0.0, 1.0), POLICY, back=back)


def narrow_networks(texts: Texts) -> dict[str, float]:
    """Return the width of a network that has 1 - 1/e of the speed of a very wide one: the best fit over some widths."""
    vocabulary, corpus = texts.words
    used = np.array([tokens_per_second(lstm(texts.words, hidden), corpus, "word")
                     * training_cost("word", len(vocabulary), hidden, POLICY) for hidden in WIDTHS])
    best = (np.inf, 0.0)
    for units in np.geomspace(20, 1000, 200):
        shape = 1 - np.exp(-np.array(WIDTHS) / units)
        scale = (used * shape).sum() / (shape**2).sum()
        best = min(best, (float((((used - scale * shape) / used) ** 2).sum()), float(units)))
    return {"narrow_units": best[1]}


def lookback(texts: Texts) -> dict[str, float]:
    """Return what looking back costs, in multiply-adds of a network of the same width."""
    out = {}
    for name, unit, text in (("words", "word", texts.words), ("characters", "char", texts.characters)):
        cost = training_cost(unit, len(text[0]), WIDE, POLICY) - POLICY.of(unit).correction_cost
        back = {"width": POLICY.lookback_width, "window": POLICY.of(unit).lookback_window}
        without, looking = (tokens_per_second(lstm(text, WIDE, each), text[1], unit) for each in (None, back))
        out[f"{name}.lookback_cost"] = cost * (without / looking - 1)
    return out


def correction(texts: Texts) -> dict[str, float]:
    """Return what the n-grams' rows cost a network that corrects them, beside its second softmax."""
    vocabulary, corpus = texts.characters
    corpus = part(corpus, 200_000)
    counts = counted(vocabulary, corpus)
    folds = POLICY.least_folds
    table, _ = cross_fit(counts, corpus, folds, folds, policy=POLICY)
    corrected = Mixture(len(vocabulary), [*counts, lstm(texts.characters, WIDE)], residual=True)
    plain = 3 * WIDE * (4 * WIDE + len(vocabulary))
    alone = tokens_per_second(lstm(texts.characters, WIDE), corpus, "char")
    ratio = alone / tokens_per_second(corrected, corpus, "char", CrossFittedLoss(table, 0.5, folds, folds))
    return {"characters.correction_cost": plain * ratio - plain - 3 * WIDE * len(vocabulary)}


def part(corpus: Corpus, tokens: int) -> Corpus:
    """Return the first tokens of a text, as one document."""
    return replace(Corpus.from_ids([corpus.ids[:tokens]]), boundary=corpus.boundary)


def counted(vocabulary: Vocabulary, corpus: Corpus) -> list[Any]:
    """Return the n-grams of the default, counted."""
    return [model.fit(corpus) for model in count_models(vocabulary, None, POLICY)]


def factored(texts: Texts) -> dict[str, float]:
    """Return how much longer each factored model takes to count than plain n-grams, of words and of characters."""
    ratios = {}
    for unit, (vocabulary, corpus) in (("words", texts.words), ("characters", texts.characters)):
        plain, *others = count_models(vocabulary, None, POLICY)
        first = seconds(lambda model=plain, corpus=corpus: model.fit(corpus))
        for index, model in enumerate(others):
            taken = seconds(lambda model=model, corpus=corpus: model.fit(corpus))
            ratios[f"{unit}.factored_seconds[{index}]"] = taken / first
    return ratios


def folds(texts: Texts) -> dict[str, float]:
    """Return how long one fold takes beside what counting again is expected to."""
    vocabulary, corpus = texts.characters
    corpus = part(corpus, 400_000)
    counting = POLICY.recount_seconds * seconds(lambda: counted(vocabulary, corpus))
    models, count = counted(vocabulary, corpus), POLICY.least_folds
    return {"fold_seconds": seconds(lambda: cross_fit(models, corpus, count, count, policy=POLICY)) / count / counting}


def gate(texts: Texts) -> dict[str, float]:
    """Return how long fitting the gate and the cache of a mixture takes for each token weighed."""
    vocabulary, corpus = texts.words
    train, held_out = part(corpus, 100_000), part(replace(corpus, ids=corpus.ids[100_000:]), 50_000)
    networks = networks_beside(vocabulary, NetworkSize(48, 0.0, 1.0, 2), POLICY)
    mixture = Mixture(len(vocabulary), [*counted(vocabulary, train), *networks])
    weighed = nll_by_part(mixture, held_out, None, POLICY.weighed_tokens, POLICY)

    def fit() -> None:
        with one_thread_products():
            mixture.estimate_weights(list(weighed.nll), weighed.features)
            fit_cache(mixture, held_out, weighed, POLICY.words)
    return {"gate_seconds": seconds(fit) / weighed.nll.shape[1]}


def saving(texts: Texts) -> dict[str, float]:
    """Return how long a process takes to write a small model and end, and how many bytes of a large one a second."""
    vocabulary, corpus = texts.characters
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")

        def save(tokens: int) -> tuple[float, int]:
            model = Mixture(len(vocabulary), counted(vocabulary, part(corpus, tokens)))
            lm = fastlm.LanguageModel(vocabulary, model)
            return min(seconds(lambda: lm.save(path)) for _ in range(3)), size_of(model)
        (most, large), (least, small) = save(len(corpus)), save(1000)
        leaving = []
        for _ in range(3):
            told = subprocess.run([sys.executable, "-c", _LEAVE, path], stdout=subprocess.PIPE, check=True).stdout
            leaving.append(time.time() - float(told))
    return {"saving_seconds": min(leaving), "saving_speed": (large - small) / max(1e-9, most - least)}


def size_of(model: PrefixModel) -> int:
    """Return the bytes of a model's tensors."""
    return sum(array.nbytes for array in model.tensors().values())


MEASURES: dict[str, Callable[[Texts], dict[str, float]]] = {
    "narrow networks": narrow_networks, "lookback": lookback, "correction": correction, "factored n-grams": factored,
    "cross-fitting": folds, "gate": gate, "saving": saving}
