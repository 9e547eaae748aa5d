"""Measure what carrying a state saves: the logits after every prefix of one document of T tokens, for every model.

Goal: time linear in T, and one pass at least 100 times as fast as `forward` on every prefix anew at T = 1024. Four ways
to the same T rows, which must agree: one forward pass; T calls of `step`; `forward` on every prefix anew, f(x[1:j]) as
it is written; and anew in closed form, which rebuilds the state of the prefix in closed form where the model has one (a
sum of rows, a matrix product with powers of the rates, the last n ids) and takes one step: an LSTM has none, and it
need not be faster. The recomputing ways are timed on every prefix up to T = 64, beyond it on 64 prefixes spread evenly
and scaled up, unless --full. One thread. The exponent is the slope of a straight line through log time against log T,
from T = 64 on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.harness import ROOT, Disagreement, Options, Table, duration, one_thread, times, verdict
from fastlm.batch import Batch, State
from fastlm.models import LSTM, DecayedBag, FeedForward, PositionalOneHot, PrefixModel

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
VOCAB_SIZE = 65
_SAMPLE = 64   # prefixes recomputed of a long document
WAYS = ("one pass", "T steps", "anew", "anew, closed form")
Times = dict[str, dict[int, float]]


def run(options: Options) -> None:
    """Print the table and write docs/prefix_state.png."""
    table = Table("model", "T", "one pass", "T steps", "anew", "anew, closed form", "anew / one pass", "anew / steps",
                  "closed form / one pass", "exponent, one pass", "exponent, anew", "goal")
    found: dict[str, Times] = {}
    with one_thread():
        for name, model, state_of in models():
            seconds = measure(model, state_of, options.full)
            found[name] = seconds
            for length in LENGTHS:
                one, steps, anew, short = (seconds[way].get(length, float("nan")) for way in WAYS)
                last = length == LENGTHS[-1]
                table.add(name, length, duration(one), duration(steps), duration(anew),
                          duration(short) if short == short else "none", times(anew / one), times(anew / steps),
                          times(short / one) if short == short else "",
                          f"{exponent(seconds['one pass']):.2f}" if last else "",
                          f"{exponent(seconds['anew']):.2f}" if last else "",
                          verdict([("anew ≥ 100× one pass", anew / one, 100.0)]) if last else "")
    table.print()
    print(picture(found))


def models() -> list[tuple[str, PrefixModel, Callable[[np.ndarray], State] | None]]:
    """Return every built-in model, and what rebuilds the state of a prefix without reading it token by token."""
    linear = PositionalOneHot(VOCAB_SIZE, max_length=LENGTHS[-1])
    linear.table.value[:] = np.random.default_rng(1).standard_normal(linear.table.value.shape)
    bag, window = DecayedBag(VOCAB_SIZE, seed=1), FeedForward(VOCAB_SIZE, context=10, width=32, seed=1)

    def sums(ids: np.ndarray) -> State:
        rows = np.arange(len(ids)) * VOCAB_SIZE + ids
        return State(1, sums=linear.table.value[rows].sum(0, keepdims=True), position=np.array([len(ids)]))

    def bags(ids: np.ndarray) -> State:
        powers = bag.rates[:, None] ** np.arange(len(ids) - 1, -1, -1, dtype=np.float32)
        return State(1, bags=(powers @ bag.embedding.value[ids])[None])

    def last(ids: np.ndarray) -> State:
        newest = np.full((1, window.context - 1), -1, np.int64)
        kept = ids[::-1][: window.context - 1]
        newest[0, : len(kept)] = kept
        return State(1, ids=newest)
    return [("PositionalOneHot", linear, sums), ("DecayedBag", bag, bags), ("FeedForward", window, last),
            ("LSTM-256", LSTM(VOCAB_SIZE, hidden=256, width=64, seed=1), None)]


def one_pass(model: PrefixModel, ids: np.ndarray) -> np.ndarray:
    """Return the logits (T, V) after every prefix."""
    return model.logits(Batch.one(ids))[0].value


def by_steps(model: PrefixModel, ids: np.ndarray) -> np.ndarray:
    """Return the same, computed a token at a time."""
    state, rows = model.start(1), []
    for token in ids.tolist():
        logits, state = model.step(state, token)
        rows.append(logits[0])
    return np.array(rows)


def measure(model: PrefixModel, state_of: Callable[[np.ndarray], State] | None, full: bool) -> Times:
    """Return the seconds for all T prefixes, by way and by T, after checking that the ways agree."""
    def shortest(ids: np.ndarray) -> np.ndarray:
        assert state_of is not None
        return model.step(state_of(ids[:-1]), int(ids[-1]))[0][-1]
    each: dict[str, Callable[[np.ndarray], np.ndarray]] = {"anew": lambda ids: one_pass(model, ids)[-1]}
    if state_of is not None:
        each["anew, closed form"] = shortest
    whole = {"one pass": one_pass, "T steps": by_steps}
    document = np.random.default_rng(2).integers(0, VOCAB_SIZE, LENGTHS[-1]).astype(np.int32)
    expected = one_pass(model, document[:200])
    ways = {"T steps": by_steps(model, document[:200])}
    ways |= {name: np.array([way(document[:j]) for j in range(1, 201)]) for name, way in each.items()}
    for name, rows in ways.items():
        gap = np.abs(rows - expected).max() / np.abs(expected).max()
        if not gap <= 1e-4:
            raise Disagreement(f"{model!r}: {name} differs from one pass by {gap:.1e}")
    seconds: Times = {name: {} for name in WAYS}
    for length in LENGTHS:
        ids = document[:length]
        readings: dict[str, list[float]] = {name: [] for name in whole}
        for _ in range(5):
            for name, way in whole.items():
                begin = time.perf_counter()
                way(model, ids)
                readings[name].append(time.perf_counter() - begin)
        for name, values in readings.items():
            seconds[name][length] = float(np.median(values))
        stride = 1 if full else max(1, length // _SAMPLE)
        ends = range((stride + 1) // 2, length + 1, stride)   # the middle of every stride
        for name, backward in each.items():
            begin = time.perf_counter()
            for end in ends:
                backward(ids[:end])
            seconds[name][length] = (time.perf_counter() - begin) * length / len(ends)
    return seconds


def exponent(seconds: dict[int, float]) -> float:
    """Return the p of time ~ T^p, from T = 64 on."""
    lengths = [length for length in seconds if length >= 64]
    return float(np.polyfit(np.log(lengths), np.log([seconds[length] for length in lengths]), 1)[0])


def picture(found: dict[str, Times]) -> str:
    """Write docs/prefix_state.png; return a sentence that says so, or why not."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return "docs/prefix_state.png was not written: matplotlib is not installed\n"
    style = {"one pass": ("#0b6e4f", "-", "o"), "T steps": ("#2a6fbb", "-", "s"),
             "anew": ("#b3261e", "-", "^"), "anew, closed form": ("#8a6d3b", "--", "v")}
    labels = {"one pass": "one forward pass", "T steps": "T calls of step", "anew": "every prefix anew",
              "anew, closed form": "every prefix anew, closed form"}
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), sharex=True, sharey=True, layout="constrained")
    for panel, (name, seconds) in zip(panels.flat, found.items(), strict=True):
        for way, values in seconds.items():
            if values:
                colour, line, marker = style[way]
                panel.loglog(list(values), [1e3 * value for value in values.values()], line, color=colour,
                             marker=marker, markersize=5, label=labels[way])
        saved = seconds["anew"][LENGTHS[-1]] / seconds["one pass"][LENGTHS[-1]]
        panel.set_title(f"{name}: {saved:.0f}× at T = {LENGTHS[-1]:,}", fontsize=11)
        panel.set_xticks(LENGTHS, [str(length) for length in LENGTHS])
        panel.minorticks_off()
        panel.grid(True, color="0.9")
    figure.supxlabel("tokens in the document, T")
    figure.supylabel("milliseconds for the predictions after all T prefixes")
    handles, names = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    path = ROOT / "docs" / "prefix_state.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return "docs/prefix_state.png written\n"
